internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that draw random numbers, dropout among them.
enum RandomRules {
  static let standard: [String: ReadingRule] = [
    "RandomUniform": { view throws(Failure) in .op(.random(try uniform(&view, shape: try shape(&view))), of: view) },
    "RandomUniformLike": { view throws(Failure) in .op(.random(try uniform(&view, shape: nil)), of: view) },
    "RandomNormal": { view throws(Failure) in .op(.random(try normal(&view, shape: try shape(&view))), of: view) },
    "RandomNormalLike": { view throws(Failure) in .op(.random(try normal(&view, shape: nil)), of: view) },
    "Bernoulli": { view throws(Failure) in
      let element = try element(&view)
      return .op(.random(.init(.bernoulli, element: element, seed: try seed(&view))), of: view)
    },
    "Multinomial": { view throws(Failure) in
      let samples = try view.int("sample_size", default: 1)
      guard samples >= 0 else { throw view.bad("sample_size", "is negative") }
      let element = try element(&view) ?? .int32
      return .op(.random(.init(.multinomial(samples: samples), element: element, seed: try seed(&view))), of: view)
    },
    "Dropout": dropout,
  ]

  /// The identity at inference, unless somebody reads the mask.
  private static let dropout: ReadingRule = { view throws(Failure) in
    view.ignore("ratio", "is_test", "consumed_inputs")
    let seed = Float(try view.int("seed") ?? Int(named(view)))
    let trains = view.version >= 12 && view.operand(2) != nil && view.constant(at: 2)?.scalar != 0
    guard trains || view.wants(1) else { return .op(.unary(.identity), of: view, first: 1, then: []) }
    let op = Op.random(.init(.dropout, seed: seed))
    if view.version < 10 {
      // The mask was of the data's type.
      guard let element = view.type(at: 0)?.element else { return .unsupported("its mask is read, and its element type is not declared") }
      var list = StepList()
      let y = list.add(op, .operand(0))
      return list.giving(y, list.add(.cast(to: element), list.result(1, of: y)))
    }
    return view.version < 12 ? .op(op, of: view, first: 1, then: []) : .op(op, of: view)
  }

  private static func uniform(_ view: inout NodeView, shape: [Int]?) throws(Failure) -> RandomOp {
    let low = try view.float("low", default: 0)
    let high = try view.float("high", default: 1)
    return try random(.uniform(low: low, high: high), shape, &view)
  }

  private static func normal(_ view: inout NodeView, shape: [Int]?) throws(Failure) -> RandomOp {
    let mean = try view.float("mean", default: 0)
    let deviation = try view.float("scale", default: 1)
    return try random(.normal(mean: mean, deviation: deviation), shape, &view)
  }

  private static func random(_ kind: RandomOp.Kind, _ shape: [Int]?, _ view: inout NodeView) throws(Failure) -> RandomOp {
    let element = try element(&view) ?? (shape == nil ? nil : .float32)
    return RandomOp(kind, shape: shape, element: element, seed: try seed(&view))
  }

  private static func shape(_ view: inout NodeView) throws(Failure) -> [Int] {
    guard let shape = try view.ints("shape") else { throw view.bad("shape", "is missing") }
    guard shape.checkedProduct != nil else { throw view.bad("shape", "is negative or overflows") }
    return shape
  }

  private static func element(_ view: inout NodeView) throws(Failure) -> ElementType? {
    guard try view.int("dtype") != nil else { return nil }
    guard let type = try ConversionRules.elementType("dtype", &view) else { throw view.bad("dtype", "names no element type") }
    return type
  }

  /// Without a seed of its own a node takes one from its name, so that two nodes draw different numbers, and every run
  /// the same.
  private static func seed(_ view: inout NodeView) throws(Failure) -> Float {
    guard let seed = try view.float("seed"), seed.isFinite else { return Float(named(view)) }
    return seed
  }

  /// The first 24 bits of the FNV-1a hash: a whole number that single precision holds.
  private static func named(_ view: NodeView) -> UInt32 {
    (view.message.outputs.first ?? "").utf8.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 } & 0xFF_FFFF
  }
}

extension SpellingRequest {
  func spelling(of op: RandomOp) throws(Failure) -> OperatorSpelling {
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = []
    if let shape = op.shape { attributes.append(("shape", .ints(shape))) }
    if let element = op.element { attributes.append(("dtype", .int(Int(element.rawValue)))) }
    let seed: [(name: String, value: OperatorSpelling.Attribute)] = [("seed", .float(op.seed))]
    switch op.kind {
    case .uniform(let low, let high):
      return try plain(op.shape == nil ? "RandomUniformLike" : "RandomUniform", attributes + [("low", .float(low)), ("high", .float(high))] + seed)
    case .normal(let mean, let deviation):
      return try plain(op.shape == nil ? "RandomNormalLike" : "RandomNormal", attributes + [("mean", .float(mean)), ("scale", .float(deviation))] + seed)
    case .bernoulli: return try plain("Bernoulli", since: 15, attributes + seed)
    case .multinomial(let samples): return try plain("Multinomial", since: 7, attributes + [("sample_size", .int(samples))] + seed)
    case .dropout: return try plain("Dropout", since: 12, [("seed", .int(Int(exactly: op.seed.rounded(.towardZero)) ?? 0))])
    }
  }
}
