/// Operators that are known and will not get a meaning here, each with the reason. Models that hold them are read and
/// written, with a warning that says the reason; they cannot be run.
///
/// Every operator of ai.onnx, ai.onnx.ml and the preview domains has a meaning, so that all of these are of com.microsoft.
enum RefusedOperators {
  static func reason(domain: String, opType: String) -> String? { domains[domain] ?? reasons[domain]?[opType] }

  static func names(domain: String) -> [String] { (reasons[domain] ?? [:]).keys.sorted() }

  /// Whole domains.
  private static let domains = [
    "com.microsoft.nchwc": "its layout is that of one machine's vectors: save the model before that optimization, at the extended level",
    "com.ms.internal.nhwc": "it exists inside one runtime's session only",
    "com.microsoft.dml": "it holds a program for one device",
  ]

  private static let reasons: [String: [String: String]] = [
    "com.microsoft": [
      "BeamSearch": search, "GreedySearch": search, "Sampling": search, "WhisperBeamSearch": search,
      "NGramRepeatBlock": text, "Tokenizer": text, "WordConvEmbedding": text, "MurmurHash3": text, "NGramHashMapping": text,
      "VarlenNGramHashMapping": text, "RelativePositionBias": text, "GatedRelativePositionBias": text, "AttnLSTM": text, "BifurcationDetector": text,
      "DynamicTimeWarping": text, "EngramGate": text, "GatedAdd": text, "GatedRMSNorm": text, "BranchwiseRMSNorm": text, "ScaledSiLU": text,
      "HyperConnectionPreMix": text, "HyperConnectionPostMix": text, "LinearAttentionGate": text, "GatedDeltaNet": text, "MRotaryEmbedding": text,
      "GemmaRotaryEmbedding": text, "VarlenCausalConvWithState": text,
      "PackedAttention": packed, "PackedMultiHeadAttention": packed, "PagedAttention": packed, "RemovePadding": packed, "RestorePadding": packed,
      "SparseAttention": sparse, "DynamicSparseAttention": sparse, "SparsePagedAttention": sparse, "SparseAttentionIndexer": sparse,
      "PackedSparseAttentionIndexer": sparse,
      "SparseToDenseMatMul": "an operand of it is a sparse tensor, which no value of a graph is here",
      "DecoderAttention": decoder, "DecoderMaskedSelfAttention": decoder, "LongformerAttention": decoder,
      "MoE": experts, "QMoE": experts, "ShardedMoE": experts, "AllReduce": sharded, "AllGather": sharded, "AllToAll": sharded,
      "QOrderedMatMul": ordered, "QOrderedAttention": ordered, "QOrderedGelu": ordered, "QOrderedLayerNormalization": ordered,
      "QOrderedLongformerAttention": ordered, "QuantizeWithOrder": ordered, "DequantizeWithOrder": ordered,
      "QuantizeBFP": blocks, "DequantizeBFP": blocks,
      "MatMulFpQ4": "its packed weights are laid out for one machine",
      "MatMulNBitsMlp": device, "MatMulNBitsQkv": device, "MatMulBlockQuantizedFp4Weight": device, "MatMulBlockQuantizedFp8Weight": device,
      "EPContext": program, "Snpe": program,
      "GemmFloat8": "it exists on GPUs only",
      "DynamicQuantizeLSTM": "it rounds its operands as it goes, and how is not documented",
      "ConvTransposeWithDynamicPads": "its padding is an operand, which no exporter in use writes",
      "MaxpoolWithMask": "it is for internal use, and its text says no more",
      "Irfft": "how its result is scaled is not documented",
      "IsAllFinite": "it steers the training of mixed precision",
      "SampleOp": "it is an example",
    ]
  ]

  private static let search = "it generates text in a loop around a whole decoder, which is a program and no layer"
  private static let text = "it is made for text and sound and takes no part in vision models"
  private static let packed = "it packs a batch without padding, for GPUs only"
  private static let sparse = "its sparse layout serves the decoding of long texts"
  private static let decoder = "it belongs to text decoders and exists on GPUs only, or its cache is laid out for them"
  private static let experts = "how it chooses and weighs its experts differs from device to device and is not documented"
  private static let sharded = "it talks to other machines"
  private static let ordered = "its order of elements is that of one GPU library"
  private static let blocks = "its block floating point is laid out for one device"
  private static let device = "it was fused for one device, whose layout of weights is not documented"
  private static let program = "it holds a program that another runtime compiled for one device"
}
