internal import Diagnostics
internal import GraphIR

/// Operators of language models that carry positions or a state along their tokens.
enum RecurrenceRules {
  static let standard: [String: ReadingRule] = [
    "RotaryEmbedding": { view throws(Failure) in
      let heads = try view.int("num_heads", default: 0)
      let rotated = try view.int("rotary_embedding_dim", default: 0)
      guard heads >= 0, rotated >= 0 else { throw view.bad("num_heads", "or 'rotary_embedding_dim' is negative") }
      return .op(.rotary(.init(heads: heads, rotatedDims: rotated, interleaved: try view.flag("interleaved"))), of: view)
    },
    "LinearAttention": { view throws(Failure) in
      // How many tokens are taken at once changes nothing but the time.
      view.ignore("chunk_size")
      guard let queryHeads = try view.int("q_num_heads"), let keyHeads = try view.int("kv_num_heads"), queryHeads > 0, keyHeads > 0 else {
        throw view.bad("q_num_heads", "or 'kv_num_heads' is missing or not positive")
      }
      let rule: LinearAttention.Rule
      switch try view.string("update_rule", default: "gated_delta") {
      case "linear": rule = .linear
      case "gated": rule = .gated
      case "delta": rule = .delta
      case "gated_delta": rule = .gatedDelta
      default: throw view.bad("update_rule", "has an unknown value")
      }
      let scale = try view.float("scale", default: 0)
      return .op(.recurrence(.linearAttention(.init(queryHeads: queryHeads, keyHeads: keyHeads, scale: scale, rule: rule))), of: view)
    },
    "CausalConvWithState": { view throws(Failure) in
      switch try view.string("activation", default: "none") {
      case "none": .op(.recurrence(.causalConvolution(swish: false)), of: view)
      case "silu", "swish": .op(.recurrence(.causalConvolution(swish: true)), of: view)
      default: throw view.bad("activation", "has an unknown value")
      }
    },
  ]

  /// What the standard took over, as far as it did: states of several positions, other layouts and dilations are more.
  static let microsoft: [String: ReadingRule] = [
    "LinearAttention": twin("LinearAttention", beyond: ["state_window": 0]),
    "CausalConvWithState": twin("CausalConvWithState", beyond: ["state_window": 0, "channels_last": 0, "dilation": 1, "ndim": 1]),
  ]

  private static func twin(_ name: String, beyond: KeyValuePairs<String, Int>) -> ReadingRule {
    { view throws(Failure) in
      for (attribute, usual) in beyond {
        let value = try view.int(attribute, default: usual)
        guard value == usual else { return .unsupported("attribute '\(attribute)' is \(value)") }
      }
      guard let rule = standard[name] else { return .unsupported("no meaning is known for it") }
      return try rule(&view)
    }
  }
}

extension SpellingRequest {
  func spelling(of op: RotaryEmbedding) throws(Failure) -> OperatorSpelling {
    try plain(
      "RotaryEmbedding", since: 23,
      [("num_heads", .int(op.heads)), ("rotary_embedding_dim", .int(op.rotatedDims)), ("interleaved", op.interleaved.spelled)])
  }

  func spelling(of op: RecurrenceOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .linearAttention(let form):
      let rule =
        switch form.rule {
        case .linear: "linear"
        case .gated: "gated"
        case .delta: "delta"
        case .gatedDelta: "gated_delta"
        }
      return try plain(
        "LinearAttention", since: 27,
        [
          ("q_num_heads", .int(form.queryHeads)), ("kv_num_heads", .int(form.keyHeads)), ("scale", .float(form.scale)), ("update_rule", .string(rule)),
        ])
    case .causalConvolution(let swish):
      return try plain("CausalConvWithState", since: 27, [("activation", .string(swish ? "silu" : "none"))])
    }
  }
}
