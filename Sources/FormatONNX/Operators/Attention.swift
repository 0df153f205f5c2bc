internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Whole attention operators.
enum AttentionRules {
  static let standard: [String: ReadingRule] = [
    "Attention": { view throws(Failure) in
      let scale = try view.float("scale")
      let softcap = try view.float("softcap", default: 0)
      let causal = try view.flag("is_causal")
      let queryHeads = try view.int("q_num_heads", default: 0)
      let keyHeads = try view.int("kv_num_heads", default: 0)
      guard queryHeads >= 0, keyHeads >= 0 else { throw view.bad("q_num_heads", "or 'kv_num_heads' is negative") }
      var form = StandardAttention(queryHeads: queryHeads, keyHeads: keyHeads, scale: scale, softcap: softcap, causal: causal)
      guard let scores = AttentionScores(rawValue: try view.int("qk_matmul_output_mode", default: 0)) else {
        throw view.bad("qk_matmul_output_mode", "has an unknown value")
      }
      form.scores = scores
      form.leftWindow = try window("left_window_size", &view)
      form.rightWindow = try window("right_window_size", &view)
      if try view.int("softmax_precision") != nil {
        guard let precision = try ConversionRules.elementType("softmax_precision", &view), [.float32, .float16, .float64, .bfloat16].contains(precision) else {
          throw view.bad("softmax_precision", "is no floating-point type")
        }
        form.softmaxPrecision = precision
      }
      return .op(.attention(.standard(form)), of: view)
    }
  ]

  static let microsoft: [String: ReadingRule] = [
    "Attention": { view throws(Failure) in
      let heads = try heads(&view)
      let scale = try scale(&view)
      let sizes = try view.ints("qkv_hidden_sizes") ?? []
      let causal = try view.flag("unidirectional")
      if try view.flag("do_rotary") { return .unsupported("rotary positions") }
      if try view.flag("past_present_share_buffer") { return .unsupported("a shared cache") }
      view.ignore("rotary_embedding_dim")
      if try changesMask(&view, operand: 3) { return .unsupported("its mask filter value") }
      if view.operand(4) != nil || view.operand(6) != nil || view.wants(1) { return .unsupported("a cache of keys and values") }
      return .op(.attention(.packedProjection(heads: heads, scale: scale, qkvHiddenSizes: sizes, causal: causal)), of: view)
    },
    "MultiHeadAttention": { view throws(Failure) in
      let heads = try heads(&view)
      let scale = try scale(&view)
      let causal = try view.flag("unidirectional")
      let hidden = try view.float("mask_filter_value", default: -10000)
      let isCached = (6..<max(view.operandCount, 6)).contains { view.operand($0) != nil } || view.wants(1) || view.wants(2) || view.wants(3)
      if isCached || view.operand(4) != nil && hidden != -10000 { return try cachedMultiHead(view, heads: heads, scale: scale, causal: causal, hidden: hidden) }
      return .op(.attention(.multiHead(heads: heads, scale: scale, causal: causal)), of: view)
    },
  ]

  /// -1 leaves a side unbounded.
  private static func window(_ name: String, _ view: inout NodeView) throws(Failure) -> Int? {
    let size = try view.int(name, default: -1)
    guard size >= -1 else { throw view.bad(name, "is below -1") }
    return size == -1 ? nil : size
  }

  private static func heads(_ view: inout NodeView) throws(Failure) -> Int {
    guard let heads = try view.int("num_heads"), heads > 0 else { throw view.bad("num_heads", "is missing or not positive") }
    return heads
  }

  /// Zero stands for the default, 1/sqrt(head size).
  private static func scale(_ view: inout NodeView) throws(Failure) -> Float? {
    let scale = try view.float("scale", default: 0)
    return scale == 0 ? nil : scale
  }

  /// Whether masked scores get another value than the usual -10000.
  private static func changesMask(_ view: inout NodeView, operand: Int) throws(Failure) -> Bool {
    let value = try view.float("mask_filter_value", default: -10000)
    return view.operand(operand) != nil && value != -10000
  }
}

extension SpellingRequest {
  func spelling(of op: AttentionOp) throws(Failure) -> OperatorSpelling {
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = []
    switch op {
    case .standard(let attention):
      if attention.queryHeads > 0 { attributes.append(("q_num_heads", .int(attention.queryHeads))) }
      if attention.keyHeads > 0 { attributes.append(("kv_num_heads", .int(attention.keyHeads))) }
      if let scale = attention.scale { attributes.append(("scale", .float(scale))) }
      if attention.softcap != 0 { attributes.append(("softcap", .float(attention.softcap))) }
      if attention.causal { attributes.append(("is_causal", .int(1))) }
      if attention.scores != .raw { attributes.append(("qk_matmul_output_mode", .int(attention.scores.rawValue))) }
      if let precision = attention.softmaxPrecision { attributes.append(("softmax_precision", .int(Int(precision.rawValue)))) }
      if attention.leftWindow != nil || attention.rightWindow != nil { try require(25, "Attention within a window") }
      if let size = attention.leftWindow { attributes.append(("left_window_size", .int(size))) }
      if let size = attention.rightWindow { attributes.append(("right_window_size", .int(size))) }
      if node.input(6) != nil { try require(24, "Attention with lengths of keys") }
      return try plain("Attention", since: 23, attributes)
    case .packedProjection(let heads, let scale, let sizes, let causal):
      attributes.append(("num_heads", .int(heads)))
      if let scale { attributes.append(("scale", .float(scale))) }
      if !sizes.isEmpty { attributes.append(("qkv_hidden_sizes", .ints(sizes))) }
      if causal { attributes.append(("unidirectional", .int(1))) }
      return contrib("Attention", attributes)
    case .multiHead(let heads, let scale, let causal):
      attributes.append(("num_heads", .int(heads)))
      if let scale { attributes.append(("scale", .float(scale))) }
      if causal { attributes.append(("unidirectional", .int(1))) }
      return contrib("MultiHeadAttention", attributes)
    }
  }
}
