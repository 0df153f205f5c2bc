internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ attention: AttentionOp) {
    switch attention {
    case .standard(let standard):
      mnemonic = "attention"
      integer("q_heads", standard.queryHeads, unless: 0)
      integer("kv_heads", standard.keyHeads, unless: 0)
      number("scale", standard.scale)
      number("softcap", standard.softcap, unless: 0)
      flag("causal", standard.causal)
    case .packedProjection(let heads, let scale, let sizes, let causal):
      mnemonic = "packed_attention"
      integer("heads", heads)
      number("scale", scale)
      list("qkv_hidden_sizes", sizes)
      flag("causal", causal)
    case .multiHead(let heads, let scale, let causal):
      mnemonic = "multi_head_attention"
      integer("heads", heads)
      number("scale", scale)
      flag("causal", causal)
    }
  }
}

extension OpReading {
  static func attention(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "attention":
      .attention(
        .standard(
          StandardAttention(
            queryHeads: try attributes.int("q_heads", default: 0), keyHeads: try attributes.int("kv_heads", default: 0),
            scale: try attributes.optionalFloat("scale"), softcap: try attributes.float("softcap", default: 0), causal: try attributes.flag("causal"))))
    case "packed_attention":
      .attention(
        .packedProjection(
          heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), qkvHiddenSizes: try attributes.integers("qkv_hidden_sizes"),
          causal: try attributes.flag("causal")))
    case "multi_head_attention":
      .attention(
        .multiHead(heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), causal: try attributes.flag("causal")))
    default: nil
    }
  }
}
