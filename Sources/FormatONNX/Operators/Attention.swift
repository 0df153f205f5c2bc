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

  /// What the operators of the IR say, they say; what they do not (caches, masks that hide by another value, scores
  /// given out) is left to the rows of the table that take everything.
  static let microsoft: [String: ReadingRule] = [
    "Attention": { view throws(Failure) in
      if try view.flag("do_rotary") { return .unsupported(rotary) }
      view.ignore("rotary_embedding_dim")
      let hasCache = view.operand(4) != nil || view.operand(6) != nil || view.wants(1)
      let isShared = try view.flag("past_present_share_buffer")
      let hidesOtherwise = try changesMask(&view, operand: 3)
      if hasCache || isShared || hidesOtherwise {
        return .op(.catalogued(try view.catalogued(CataloguedOp.Kind.microsoftAttention.entry)), of: view)
      }
      let heads = try heads(&view)
      let scale = try scale(&view)
      let sizes = try view.ints("qkv_hidden_sizes") ?? []
      let causal = try view.flag("unidirectional")
      return .op(.attention(.packedProjection(heads: heads, scale: scale, qkvHiddenSizes: sizes, causal: causal)), of: view)
    },
    "MultiHeadAttention": { view throws(Failure) in
      if view.operand(9) != nil { return .unsupported(beams) }
      let isCached = (6..<max(view.operandCount, 6)).contains { view.operand($0) != nil } || view.wants(1) || view.wants(2) || view.wants(3)
      let hidesOtherwise = try changesMask(&view, operand: 4)
      if isCached || hidesOtherwise {
        return .op(.catalogued(try view.catalogued(CataloguedOp.Kind.microsoftMultiHeadAttention.entry)), of: view)
      }
      let heads = try heads(&view)
      let scale = try scale(&view)
      let causal = try view.flag("unidirectional")
      return .op(.attention(.multiHead(heads: heads, scale: scale, causal: causal)), of: view)
    },
    // One token behind a cache: the same with its operands in another order.
    "DecoderMaskedMultiHeadAttention": { view throws(Failure) in
      view.ignore("output_qk")
      if try view.flag("past_present_share_buffer") { return .unsupported("a shared cache, whose keys are laid out for one machine") }
      if view.operand(9) != nil { return .unsupported(beams) }
      let op = Op.catalogued(try view.catalogued(CataloguedOp.Kind.microsoftMultiHeadAttention.entry))
      let order = [0, 1, 2, 10, 3, 4, 5, 6].map { view.operand($0) == nil ? StepList.Operand.absent : .operand($0) }
      return .steps([.init(op, order)])
    },
    "GroupQueryAttention": { view throws(Failure) in
      let (keys, values) = (try view.string("k_quant_type", default: "NONE"), try view.string("v_quant_type", default: "NONE"))
      view.ignore("kv_cache_bit_width")
      if keys != "NONE" || values != "NONE" || view.operand(12) != nil || view.operand(13) != nil {
        return .unsupported("its cache is quantized, and how the rounding and the order of packed numbers go is not documented")
      }
      if try view.flag("sliding_window_cache") { return .unsupported("its cache forgets, which serves the decoding of text alone") }
      view.ignore("qk_norm_epsilon")
      if view.operand(14) != nil || view.operand(15) != nil { return .unsupported("norms of queries and keys, which exist on GPUs only") }
      if try view.int("qk_output", default: 0) != 0 || view.wants(3) { return .unsupported("its scores are read") }
      let op = Op.catalogued(try view.catalogued(CataloguedOp.Kind.groupQueryAttention.entry))
      return .steps([.init(op, (0..<min(view.operandCount, 12)).map { .operand($0) })])
    },
  ]

  static let rotary = "rotary positions, whose angles the operator's text does not give"
  private static let beams = "the search along several beams, which is a program around a decoder"

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
