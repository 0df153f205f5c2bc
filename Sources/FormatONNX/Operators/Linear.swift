internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Matrix products, convolutions and pooling.
enum LinearRules {
  static let standard: [String: ReadingRule] = [
    "MatMul": { view throws(Failure) in .op(.matrix(.matMul), of: view) },
    "Gemm": { view throws(Failure) in
      view.ignore("broadcast")
      let alpha = try view.float("alpha", default: 1)
      let beta = try view.float("beta", default: 1)
      let transposeA = try view.flag("transA")
      return .op(.matrix(.gemm(alpha: alpha, beta: beta, transposeA: transposeA, transposeB: try view.flag("transB"))), of: view)
    },
    "Det": { view throws(Failure) in .op(.matrix(.determinant), of: view) },
    "Einsum": { view throws(Failure) in
      guard let equation = try view.string("equation") else { throw view.bad("equation", "is missing") }
      return .op(.matrix(.einsum(equation: equation)), of: view)
    },
    "Conv": { view throws(Failure) in
      try convolution(&view).map { .op($0, of: view) } ?? .unsupported("its rank is not declared")
    },
    "ConvTranspose": { view throws(Failure) in
      let groups = try view.int("group", default: 1)
      guard groups > 0 else { throw view.bad("group", "is not positive") }
      let sizes = try view.ints("output_shape") ?? []
      guard var window = try window(&view, kernel: view.ints("kernel_shape") ?? []) else { return .unsupported("its rank is not declared") }
      if !sizes.isEmpty {
        guard sizes.count >= window.strides.count, sizes.allSatisfy({ $0 > 0 }) else {
          throw view.bad("output_shape", "needs one positive number per spatial axis")
        }
        window.padding = .toSizes(sizes.suffix(window.strides.count), restAtEnd: window.padding == .sameUpper)
      }
      let padding = try view.ints("output_padding") ?? [Int](repeating: 0, count: window.strides.count)
      guard padding.count == window.strides.count, padding.allSatisfy({ $0 >= 0 }) else { throw view.bad("output_padding", "has the wrong length or sign") }
      return .op(.convolution(.convTranspose(window, groups: groups, outputPadding: padding)), of: view)
    },
    "MaxPool": { view throws(Failure) in
      let byColumns = try view.int("storage_order", default: 0) != 0 && view.wants(1)
      let window = try poolWindow(&view)
      let ceilMode = try view.flag("ceil_mode")
      return .op(.pooling(byColumns ? .maxByColumns(window, ceilMode: ceilMode) : .max(window, ceilMode: ceilMode)), of: view)
    },
    "AveragePool": { view throws(Failure) in
      let window = try poolWindow(&view)
      let ceilMode = try view.flag("ceil_mode")
      return .op(.pooling(.average(window, ceilMode: ceilMode, countIncludePad: try view.flag("count_include_pad"))), of: view)
    },
    "LpPool": { view throws(Failure) in
      let window = try poolWindow(&view)
      let ceilMode = try view.flag("ceil_mode")
      return .op(.pooling(.lp(window, ceilMode: ceilMode, p: try norm(&view))), of: view)
    },
    "GlobalLpPool": { view throws(Failure) in .op(.pooling(.globalLp(p: try norm(&view))), of: view) },
    "MaxUnpool": { view throws(Failure) in .op(.pooling(.unpool(try poolWindow(&view))), of: view) },
    "GlobalAveragePool": { view throws(Failure) in .op(.pooling(.globalAverage), of: view) },
    "GlobalMaxPool": { view throws(Failure) in .op(.pooling(.globalMax), of: view) },
  ]

  static let microsoft: [String: ReadingRule] = [
    "FusedMatMul": fusedMatMul, "TransposeMatMul": fusedMatMul,
  ]

  private static let fusedMatMul: ReadingRule = { view throws(Failure) in .op(.matrix(.fusedMatMul(try fused(&view))), of: view) }

  /// FusedMatMul's attributes.
  static func fused(_ view: inout NodeView) throws(Failure) -> FusedMatMul {
    let alpha = try view.float("alpha", default: 1)
    let transposeA = try view.flag("transA")
    let transposeB = try view.flag("transB")
    let batchA = try view.flag("transBatchA")
    let batchB = try view.flag("transBatchB")
    return FusedMatMul(alpha: alpha, transposeA: transposeA, transposeB: transposeB, transposeBatchA: batchA, transposeBatchB: batchB)
  }

  /// The exponent of a norm, a float before version 2.
  private static func norm(_ view: inout NodeView) throws(Failure) -> Float {
    let p = view.version < 2 ? try view.float("p", default: 2) : Float(try view.int("p", default: 2))
    guard p > 0, p.isFinite else { throw view.bad("p", "is not positive") }
    return p
  }

  /// Conv's attributes; nil where its rank is not told.
  static func convolution(_ view: inout NodeView) throws(Failure) -> Op? {
    let groups = try view.int("group", default: 1)
    guard groups > 0 else { throw view.bad("group", "is not positive") }
    return try window(&view, kernel: view.ints("kernel_shape") ?? []).map { .convolution(.conv($0, groups: groups)) }
  }

  /// MaxPool's or AveragePool's attributes.
  static func pool(_ name: String, _ view: inout NodeView) throws(Failure) -> Op? {
    let window = try poolWindow(&view)
    let ceilMode = try view.flag("ceil_mode")
    if name == "MaxPool" { return .pooling(.max(window, ceilMode: ceilMode)) }
    return .pooling(.average(window, ceilMode: ceilMode, countIncludePad: try view.flag("count_include_pad")))
  }

  private static func poolWindow(_ view: inout NodeView) throws(Failure) -> Window {
    guard let kernel = try view.ints("kernel_shape"), !kernel.isEmpty, let window = try window(&view, kernel: kernel) else {
      throw view.bad("kernel_shape", "is missing")
    }
    return window
  }

  /// The geometry; nil when neither attributes nor declared types tell how many spatial axes there are.
  private static func window(_ view: inout NodeView, kernel: [Int]) throws(Failure) -> Window? {
    let strides = try view.ints("strides")
    let dilations = try view.ints("dilations")
    let pads = try view.ints("pads")
    let declaredRank = (view.type(at: 1)?.shape?.rank ?? view.type(at: 0)?.shape?.rank).map { $0 - 2 }
    let rank = kernel.isEmpty ? strides?.count ?? dilations?.count ?? pads.map { $0.count / 2 } ?? declaredRank : kernel.count
    guard let rank, rank >= 0 else { return nil }
    func entries(_ values: [Int]?, _ name: String) throws(Failure) -> [Int] {
      let values = values.flatMap { $0.isEmpty ? nil : $0 } ?? [Int](repeating: 1, count: rank)
      guard values.count == rank, values.allSatisfy({ $0 > 0 }) else { throw view.bad(name, "needs one positive number per spatial axis") }
      return values
    }
    guard kernel.allSatisfy({ $0 > 0 }) else { throw view.bad("kernel_shape", "is not positive") }
    let padding: WindowPadding
    switch try view.string("auto_pad", default: "NOTSET") {
    case "NOTSET", "":
      let explicit = pads.flatMap { $0.isEmpty ? nil : $0 } ?? [Int](repeating: 0, count: 2 * rank)
      guard explicit.count == 2 * rank, explicit.allSatisfy({ $0 >= 0 }) else { throw view.bad("pads", "needs two numbers per spatial axis, none negative") }
      padding = .explicit(explicit)
    case "SAME_UPPER": padding = .sameUpper
    case "SAME_LOWER": padding = .sameLower
    case "VALID": padding = .valid
    default: throw view.bad("auto_pad", "has an unknown value")
    }
    return Window(kernel: kernel, strides: try entries(strides, "strides"), dilations: try entries(dilations, "dilations"), padding: padding)
  }
}

extension SpellingRequest {
  func spelling(of op: MatrixOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .matMul: return try plain("MatMul")
    case .gemm(let alpha, let beta, let transposeA, let transposeB):
      // C may be left out since version 11, and broadcasts without being asked since 7.
      try require(node.input(2) == nil ? 11 : 7, "Gemm")
      return try plain("Gemm", [("alpha", .float(alpha)), ("beta", .float(beta)), ("transA", transposeA.spelled), ("transB", transposeB.spelled)])
    case .fusedMatMul(let product):
      return contrib(
        "FusedMatMul",
        [
          ("alpha", .float(product.alpha)), ("transA", product.transposeA.spelled), ("transB", product.transposeB.spelled),
          ("transBatchA", product.transposeBatchA.spelled), ("transBatchB", product.transposeBatchB.spelled),
        ])
    case .determinant: return try plain("Det", since: 11)
    case .einsum(let equation): return try plain("Einsum", since: 12, [("equation", .string(equation))])
    }
  }

  func spelling(of op: ConvolutionOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .conv(let window, let groups):
      return try plain("Conv", attributes(of: window) + [("dilations", .ints(window.dilations)), ("group", .int(groups))])
    case .convTranspose(let window, let groups, let outputPadding):
      let own: [(name: String, value: OperatorSpelling.Attribute)] = [
        ("dilations", .ints(window.dilations)), ("group", .int(groups)), ("output_padding", .ints(outputPadding)),
      ]
      return try plain("ConvTranspose", attributes(of: window) + own)
    }
  }

  func spelling(of op: PoolingOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .max(let window, let ceilMode), .maxByColumns(let window, let ceilMode):
      var attributes = attributes(of: window)
      if case .maxByColumns = op {
        try require(8, "MaxPool with indices")
        attributes.append(("storage_order", .int(1)))
      }
      if ceilMode {
        try require(10, "MaxPool that rounds up")
        attributes.append(("ceil_mode", .int(1)))
      }
      if window.dilations.contains(where: { $0 != 1 }) {
        try require(10, "MaxPool with dilations")
        attributes.append(("dilations", .ints(window.dilations)))
      }
      return try plain("MaxPool", attributes)
    case .average(let window, let ceilMode, let countIncludePad):
      var attributes = attributes(of: window)
      if ceilMode {
        try require(10, "AveragePool that rounds up")
        attributes.append(("ceil_mode", .int(1)))
      }
      if countIncludePad {
        try require(7, "AveragePool that counts padding")
        attributes.append(("count_include_pad", .int(1)))
      }
      if window.dilations.contains(where: { $0 != 1 }) {
        try require(19, "AveragePool with dilations")
        attributes.append(("dilations", .ints(window.dilations)))
      }
      return try plain("AveragePool", attributes)
    case .lp(let window, let ceilMode, let p):
      var attributes = attributes(of: window) + [("p", try exponent(p))]
      if ceilMode {
        try require(18, "LpPool that rounds up")
        attributes.append(("ceil_mode", .int(1)))
      }
      if window.dilations.contains(where: { $0 != 1 }) {
        try require(18, "LpPool with dilations")
        attributes.append(("dilations", .ints(window.dilations)))
      }
      return try plain("LpPool", attributes)
    case .globalLp(let p): return try plain("GlobalLpPool", [("p", try exponent(p))])
    case .unpool(let window): return try plain("MaxUnpool", since: 9, attributes(of: window))
    case .globalAverage: return try plain("GlobalAveragePool")
    case .globalMax: return try plain("GlobalMaxPool")
    }
  }

  private func exponent(_ p: Float) throws(Failure) -> OperatorSpelling.Attribute {
    if version < 2 { return .float(p) }
    guard let whole = Int(exactly: p) else { throw Failure(.notExpressible, "a norm of exponent \(p)", at: .element(node.name)) }
    return .int(whole)
  }

  private func attributes(of window: Window) -> [(name: String, value: OperatorSpelling.Attribute)] {
    var result: [(name: String, value: OperatorSpelling.Attribute)] = [("strides", .ints(window.strides))]
    if !window.kernel.isEmpty { result.append(("kernel_shape", .ints(window.kernel))) }
    switch window.padding {
    case .explicit(let pads): result.append(("pads", .ints(pads)))
    case .sameUpper: result.append(("auto_pad", .string("SAME_UPPER")))
    case .sameLower: result.append(("auto_pad", .string("SAME_LOWER")))
    case .valid: result.append(("auto_pad", .string("VALID")))
    case .toSizes(let sizes, let restAtEnd):
      result.append(("output_shape", .ints(sizes)))
      if restAtEnd { result.append(("auto_pad", .string("SAME_UPPER"))) }
    }
    return result
  }
}
