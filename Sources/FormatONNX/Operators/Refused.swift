/// Operators that are known and will not get a meaning here, each with the reason. Models that hold them are read and
/// written, with a warning that says the reason; they cannot be run.
enum RefusedOperators {
  static func reason(domain: String, opType: String) -> String? { reasons[domain]?[opType] }

  private static let reasons: [String: [String: String]] = [
    "com.microsoft": [
      "BeamSearch": search, "GreedySearch": search, "Sampling": search, "WhisperBeamSearch": search, "NGramRepeatBlock": text,
      "Tokenizer": text, "WordConvEmbedding": text, "MurmurHash3": text,
      "PackedAttention": packed, "PackedMultiHeadAttention": packed, "PagedAttention": packed, "RemovePadding": packed, "RestorePadding": packed,
      "SparseAttention": "its sparse layout has no kernel on CPUs",
      "DecoderAttention": decoder, "DecoderMaskedMultiHeadAttention": decoder, "DecoderMaskedSelfAttention": decoder, "LongformerAttention": decoder,
      "MoE": experts, "QMoE": experts, "ShardedMoE": experts, "AllReduce": sharded, "AllGather": sharded, "AllToAll": sharded,
      "QOrderedMatMul": ordered, "QOrderedAttention": ordered, "QOrderedGelu": ordered, "QOrderedLayerNormalization": ordered,
      "QOrderedLongformerAttention": ordered, "QuantizeWithOrder": ordered, "DequantizeWithOrder": ordered,
      "QuantizeBFP": blocks, "DequantizeBFP": blocks,
      "MatMulFpQ4": "its packed weights are laid out for one machine",
      "EPContext": "it holds a program that another runtime compiled for one device",
      "GemmFloat8": "it exists on GPUs only",
    ]
  ]

  private static let search = "it generates text in a loop around a whole decoder, which is a program and no layer"
  private static let text = "it is made for text and takes no part in vision models"
  private static let packed = "it packs a batch without padding, for GPUs only"
  private static let decoder = "it belongs to text decoders and exists on GPUs only, or its cache is laid out for them"
  private static let experts = "its experts are laid out for GPUs"
  private static let sharded = "it talks to other machines"
  private static let ordered = "its order of elements is that of one GPU library"
  private static let blocks = "its block floating point is laid out for one device"
}
