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
      integer("left_window", standard.leftWindow)
      integer("right_window", standard.rightWindow)
      choice("scores", standard.scores, OpSpelling.attentionScores)
      if let type = standard.softmaxPrecision { put("softmax_precision", .word(TypeText.spelled(type))) }
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

  mutating func spell(_ rotary: RotaryEmbedding) {
    mnemonic = "rotary_embedding"
    integer("heads", rotary.heads, unless: 0)
    integer("rotated_dims", rotary.rotatedDims, unless: 0)
    flag("interleaved", rotary.interleaved)
  }

  mutating func spell(_ recurrence: RecurrenceOp) {
    switch recurrence {
    case .linearAttention(let form):
      mnemonic = "linear_attention"
      integer("q_heads", form.queryHeads)
      integer("kv_heads", form.keyHeads)
      number("scale", form.scale, unless: 0)
      choice("rule", form.rule, OpSpelling.attentionRules)
    case .causalConvolution(let swish):
      mnemonic = "causal_convolution"
      flag("swish", swish)
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
            scale: try attributes.optionalFloat("scale"), softcap: try attributes.float("softcap", default: 0), causal: try attributes.flag("causal"),
            leftWindow: try attributes.optionalInt("left_window"), rightWindow: try attributes.optionalInt("right_window"),
            scores: try attributes.choice("scores", OpSpelling.attentionScores),
            softmaxPrecision: try optionalElementType("softmax_precision", &attributes))))
    case "packed_attention":
      .attention(
        .packedProjection(
          heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), qkvHiddenSizes: try attributes.integers("qkv_hidden_sizes"),
          causal: try attributes.flag("causal")))
    case "multi_head_attention":
      .attention(
        .multiHead(heads: try attributes.int("heads"), scale: try attributes.optionalFloat("scale"), causal: try attributes.flag("causal")))
    case "rotary_embedding":
      .rotary(
        RotaryEmbedding(
          heads: try attributes.int("heads", default: 0), rotatedDims: try attributes.int("rotated_dims", default: 0),
          interleaved: try attributes.flag("interleaved")))
    case "linear_attention":
      .recurrence(
        .linearAttention(
          LinearAttention(
            queryHeads: try attributes.int("q_heads"), keyHeads: try attributes.int("kv_heads"), scale: try attributes.float("scale", default: 0),
            rule: try attributes.choice("rule", OpSpelling.attentionRules))))
    case "causal_convolution": .recurrence(.causalConvolution(swish: try attributes.flag("swish")))
    default: nil
    }
  }
}
