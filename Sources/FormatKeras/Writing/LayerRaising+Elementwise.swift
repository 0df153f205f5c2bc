internal import Diagnostics
internal import GraphIR
internal import Tensors

extension LayerRaising {
  /// The most elements of a constant that stands in the configuration as text.
  static let literalLimit = 1 << 16

  // MARK: One operand

  mutating func unary(_ op: UnaryOp, _ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    let element = try site.result.map { (value) throws(Failure) in try self.element(value) } ?? x.tensor.element
    place(site.result, PlacedValue(try unary(op, x.tensor, element, site), order: x.order))
  }

  private mutating func unary(_ op: UnaryOp, _ x: LayerTensor, _ element: ElementType, _ site: RaisingSite) throws(Failure) -> LayerTensor {
    switch op {
    case .identity: return x
    case .relu: return try activation("relu", x)
    case .tanh: return try activation("tanh", x)
    case .sigmoid: return try activation("sigmoid", x)
    case .exp: return try activation("exponential", x)
    case .softplus: return try activation("softplus", x)
    case .softsign: return try activation("softsign", x)
    case .mish: return try activation("mish", x)
    case .gelu(.exact): return try activation("gelu", x)
    case .gelu(.tanh): return try operation("nn", "Gelu", ["approximate": .bool(true)], [.tensor(x)], x.dims, element)
    case .hardSwish: return try activation("hard_silu", x)
    case .hardSigmoid(let alpha, let beta):
      if abs(alpha - 1 / 6) < 1e-6, beta == 0.5 { return try activation("hard_sigmoid", x) }
      let line = try rescaled(x, scale: Double(alpha), offset: Double(beta))
      return try layer("ReLU", ["max_value": .number(1)], [.tensor(line)], x.dims, element)
    case .leakyRelu(let alpha): return try layer("LeakyReLU", ["negative_slope": .number(LayerRaising.decimal(alpha))], [.tensor(x)], x.dims, element)
    case .elu(let alpha): return try layer("ELU", ["alpha": .number(LayerRaising.decimal(alpha))], [.tensor(x)], x.dims, element)
    case .celu(let alpha):
      if alpha == 1 { return try activation("celu", x) }
      return try operation("nn", "Celu", ["alpha": .number(LayerRaising.decimal(alpha))], [.tensor(x)], x.dims, element)
    case .selu(let alpha, let gamma):
      guard abs(alpha - 1.6732632) < 1e-6, abs(gamma - 1.0507010) < 1e-6 else { throw refusal(site, "its coefficients are not Keras's") }
      return try activation("selu", x)
    case .swish(let alpha):
      if alpha == 1 { return try activation("silu", x) }
      let gate = try activation("sigmoid", try rescaled(x, scale: LayerRaising.decimal(alpha)))
      return try layer("Multiply", [:], [.list([.tensor(x), .tensor(gate)])], x.dims, element)
    case .neg where element.isFloatingPoint: return try rescaled(x, scale: -1)
    case .shrink, .thresholdedRelu: throw refusal(site, "Keras has no such activation")
    case .isInfinite(let negative, let positive):
      guard negative, positive else { throw refusal(site, "Keras does not tell the signs of infinity apart") }
      return try operation("numpy", "Isinf", [:], [.tensor(x)], x.dims, element)
    case .erf: return try operation("math", "Erf", [:], [.tensor(x)], x.dims, element)
    case .abs, .neg, .ceil, .floor, .round, .sqrt, .reciprocal, .log, .sin, .cos, .tan, .sign, .not, .sinh, .cosh, .asin, .acos, .atan, .asinh, .acosh,
      .atanh, .bitwiseNot, .isNaN:
      guard let name = LayerRaising.unaryOperations[op] else { throw refusal(site, "there is no such operation") }
      return try operation("numpy", name, name == "Round" ? ["decimals": .integer(0)] : [:], [.tensor(x)], x.dims, element)
    }
  }

  private static let unaryOperations: [UnaryOp: String] = [
    .abs: "Absolute", .neg: "Negative", .ceil: "Ceil", .floor: "Floor", .round: "Round", .sqrt: "Sqrt", .reciprocal: "Reciprocal", .log: "Log", .sin: "Sin",
    .cos: "Cos", .tan: "Tan", .sign: "Sign", .not: "LogicalNot", .sinh: "Sinh", .cosh: "Cosh", .asin: "Arcsin", .acos: "Arccos", .atan: "Arctan",
    .asinh: "Arcsinh", .acosh: "Arccosh", .atanh: "Arctanh", .bitwiseNot: "BitwiseNot", .isNaN: "Isnan",
  ]

  /// A float's own decimal text as a number, so that it reads back as that float.
  static func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

  mutating func activation(_ name: String, _ x: LayerTensor) throws(Failure) -> LayerTensor {
    try layer("Activation", ["activation": .string(name)], [.tensor(x)], x.dims, x.element)
  }

  mutating func rescaled(_ x: LayerTensor, scale: Double = 1, offset: Double = 0) throws(Failure) -> LayerTensor {
    try layer("Rescaling", ["scale": .number(scale), "offset": .number(offset)], [.tensor(x)], x.dims, x.element)
  }

  mutating func cast(to target: ElementType, _ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    guard target != .string, target.bitWidth >= 8 else { throw refusal(site, "Keras has no type \(target.name)") }
    let result =
      x.tensor.element == target
      ? x.tensor : try operation("core", "Cast", ["dtype": .string(target.kerasName)], [.tensor(x.tensor)], x.tensor.dims, target)
    place(site.result, PlacedValue(result, order: x.order))
  }

  // MARK: Two operands

  mutating func binary(_ op: BinaryOp, _ site: RaisingSite) throws(Failure) {
    guard let a = site.node.input(0), let b = site.node.input(1), let result = site.result else { throw refusal(site, "an operand is left out") }
    if op == .add, constant(a) == nil, let producer = graph.producer(of: a), biased[producer] == a {
      return place(result, try product(RaisingSite(id: producer, node: graph[producer]), bias: constant(b)))
    }
    let element = try element(result)
    let dims = try dims(result)
    switch (constant(a), constant(b)) {
    case (let left?, let right?):
      // One of them is repeated for each sample.
      guard op == .add || op == .multiply || op == .subtract, left.count == 1 || right.count == 1 || left.dims == right.dims,
        let folded = LayerRaising.folded(op, left, right)
      else { throw refusal(site, "both operands are constants that are repeated for each sample") }
      setRepeated(result, folded)
    case (nil, let right?): try place(result, withConstant(op, a, right, constantFirst: false, dims, element, site))
    case (let left?, nil): try place(result, withConstant(op, b, left, constantFirst: true, dims, element, site))
    case (nil, nil): place(result, try merged(op, a, b, dims, element, site))
    }
  }

  private static func folded(_ op: BinaryOp, _ a: Tensor, _ b: Tensor) -> Tensor? {
    guard a.elementType == .float32, let x = a.floats(), let y = b.floats() else { return nil }
    let dims = x.count == 1 ? b.dims : a.dims
    let values = (0..<max(x.count, y.count)).map { index -> Float in
      let (p, q) = (x.count == 1 ? x[0] : x[index], y.count == 1 ? y[0] : y[index])
      return op == .add ? p + q : op == .subtract ? p - q : p * q
    }
    return try? Tensor(float32: values, dims: dims)
  }

  /// Two tensors: a merging layer where neither is widened beyond what such layers take, else an operation.
  private mutating func merged(
    _ op: BinaryOp, _ a: ValueID, _ b: ValueID, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> PlacedValue {
    let left = try standing(a)
    let (leftDims, rightDims) = (try self.dims(a), try self.dims(b))
    if op == .prelu { return try prelu(left, try standing(b), site) }
    guard leftDims.count == rightDims.count else {
      return PlacedValue(try operation(op, .tensor(try plain(a)), .tensor(try plain(b)), dims, element, site))
    }
    // Both in the order of the first.
    let right = try turned(try standing(b), to: left.axes)
    let turnedDims = left.axes.map { dims[$0] }
    if op == .add, let sum = try unambiguousSum(left.tensor, right, turnedDims, element) { return PlacedValue(sum, order: left.order) }
    let merging: [BinaryOp: String] = [.add: "Add", .subtract: "Subtract", .multiply: "Multiply", .maximum: "Maximum", .minimum: "Minimum"]
    if let name = merging[op], left.tensor.dims.count > 1, left.tensor.dims[0] == right.dims[0], element.isFloatingPoint {
      return PlacedValue(try layer(name, [:], [.list([.tensor(left.tensor), .tensor(right)])], turnedDims, element), order: left.order)
    }
    return PlacedValue(try operation(op, .tensor(left.tensor), .tensor(right), turnedDims, element, site), order: left.order)
  }

  /// Keras adds a second operand that has but one axis larger than 1 as a bias of the channels, whichever axis that is, where
  /// the sizes agree by chance. Such an operand goes first; where both are of that kind, its negative is subtracted. nil:
  /// there is nothing to mistake.
  private mutating func unambiguousSum(_ a: LayerTensor, _ b: LayerTensor, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor? {
    guard let axis = LayerRaising.biasAxis(b.dims), axis != b.dims.count - 1 else { return nil }
    if LayerRaising.biasAxis(a.dims) == nil {
      if element.isFloatingPoint, a.dims[0] == b.dims[0] { return try layer("Add", [:], [.list([.tensor(b), .tensor(a)])], dims, element) }
      return try operation("numpy", "Add", [:], [.tensor(b), .tensor(a)], dims, element)
    }
    let negative = try operation("numpy", "Negative", [:], [.tensor(b)], b.dims, element)
    return try operation("numpy", "Subtract", [:], [.tensor(a), .tensor(negative)], dims, element)
  }

  /// The one axis that is larger than 1, or may be in some run: open sizes may be 1 as well.
  static func biasAxis(_ dims: [Dim]) -> Int? {
    let wide = dims.indices.filter { dims[$0].value.map { $0 != 1 } ?? false }
    if wide.isEmpty { return dims.indices.first { dims[$0].value == nil } }
    return wide.count == 1 ? wide[0] : nil
  }

  private mutating func operation(
    _ op: BinaryOp, _ a: CallArgument, _ b: CallArgument, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    guard let name = LayerRaising.binaryOperations[op] else { throw refusal(site, "there is no such operation") }
    // The quotient of integers is one in ONNX as well.
    let operationName = op == .divide && !element.isFloatingPoint ? "FloorDivide" : name
    return try operation("numpy", operationName, [:], [a, b], dims, element)
  }

  private static let binaryOperations: [BinaryOp: String] = [
    .add: "Add", .subtract: "Subtract", .multiply: "Multiply", .divide: "TrueDivide", .power: "Power", .modulo(truncated: false): "Mod",
    .bitwiseAnd: "BitwiseAnd", .bitwiseOr: "BitwiseOr", .bitwiseXor: "BitwiseXor", .shiftLeft: "BitwiseLeftShift", .shiftRight: "BitwiseRightShift",
    .minimum: "Minimum", .maximum: "Maximum", .equal: "Equal", .less: "Less", .lessOrEqual: "LessEqual", .greater: "Greater",
    .greaterOrEqual: "GreaterEqual", .and: "LogicalAnd", .or: "LogicalOr", .xor: "LogicalXor",
  ]

  private mutating func withConstant(
    _ op: BinaryOp, _ value: ValueID, _ constant: Tensor, constantFirst: Bool, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> PlacedValue {
    let x = try standing(value)
    let stem = constantName(site.node.inputs.compactMap { $0 }.first { self.constant($0) != nil })
    let widens = try self.dims(value) != dims
    if !widens, let laid = try? laid(constant, on: x), element.isFloatingPoint, op != .prelu {
      if let single = constant.scalar {
        switch op {
        case .add: return PlacedValue(try rescaled(x.tensor, offset: single), order: x.order)
        case .subtract:
          return PlacedValue(try constantFirst ? rescaled(x.tensor, scale: -1, offset: single) : rescaled(x.tensor, offset: -single), order: x.order)
        case .multiply: return PlacedValue(try rescaled(x.tensor, scale: single), order: x.order)
        case .divide where !constantFirst && single != 0: return PlacedValue(try rescaled(x.tensor, scale: 1 / single), order: x.order)
        default: break
        }
      }
      switch op {
      case .add: return PlacedValue(try shifted(x.tensor, by: laid, site, stem: stem), order: x.order)
      case .subtract:
        if constantFirst { return PlacedValue(try shifted(try rescaled(x.tensor, scale: -1), by: laid, site, stem: stem), order: x.order) }
        return PlacedValue(try shifted(x.tensor, by: try laid.mapped { -$0 }, site, stem: stem), order: x.order)
      case .multiply: return PlacedValue(try scaled(x.tensor, by: laid, site, stem: stem), order: x.order)
      case .divide where !constantFirst: return PlacedValue(try scaled(x.tensor, by: try laid.mapped { 1 / $0 }, site, stem: stem), order: x.order)
      default: break
      }
    }
    if op == .prelu {
      guard !constantFirst, !widens, x.tensor.dims.count > 1 else { throw refusal(site, "its slopes widen the operand") }
      let slopes = try laid(constant, on: x)
      guard slopes.dims[0] == 1, slopes.dims.count == x.tensor.dims.count else { throw refusal(site, "its slopes differ from sample to sample") }
      let shared = slopes.dims.indices.dropFirst().filter { slopes.dims[$0] == 1 }
      let own = Array(slopes.dims.dropFirst())
      return PlacedValue(
        try layer(
          "PReLU", ["shared_axes": .integers(shared)], [.tensor(x.tensor)], x.tensor.dims, element, stem: site.module,
          groups: [VariableGroup(variables: [VariableDraft("alpha") { () throws(Failure) in try slopes.reshaped(own) }])]),
        order: x.order)
    }
    guard constant.count <= LayerRaising.literalLimit else { throw refusal(site, "a constant of \(constant.count) elements has no layer to hold it") }
    let plain = CallArgument.tensor(try plain(value))
    let literal = LayerRaising.literal(constant)
    // The larger operand goes second: see `unambiguousSum`.
    let constantFirst = constantFirst || op == .add && !constant.dims.isEmpty
    return PlacedValue(try operation(op, constantFirst ? literal : plain, constantFirst ? plain : literal, dims, element, site))
  }

  static func literal(_ tensor: Tensor) -> CallArgument {
    if tensor.dims.isEmpty, let value = tensor.scalar {
      if tensor.elementType.isInteger, let whole = Int(exactly: value) { return .integer(whole) }
      if tensor.elementType == .bool { return .bool(value != 0) }
      if tensor.elementType == .float32 { return .number(decimal(Float(value))) }
    }
    return .literal(tensor)
  }

  private mutating func prelu(_ x: PlacedValue, _ slope: PlacedValue, _ site: RaisingSite) throws(Failure) -> PlacedValue {
    throw refusal(site, "its slopes depend on the input")
  }

  // MARK: Constants of any shape

  /// A constant with as many axes as the tensor, in the tensor's order.
  func laid(_ constant: Tensor, on x: PlacedValue) throws(Failure) -> Tensor {
    let rank = x.order.count
    guard constant.dims.count <= rank else { throw Failure(.notExpressible, "a constant has more axes than what it is joined with") }
    let full = try constant.reshaped([Int](repeating: 1, count: rank - constant.dims.count) + constant.dims)
    return try full.transposed(x.axes)
  }

  /// `x * c` as an EinsumDense without bias.
  mutating func scaled(_ x: LayerTensor, by factor: Tensor, _ site: RaisingSite, stem: String? = nil) throws(Failure) -> LayerTensor {
    let axes = factor.dims.indices.filter { factor.dims[$0] != 1 }
    guard let letters = LayerRaising.letters(x.dims.count) else { throw refusal(site, "more axes than there are letters") }
    let all = String(letters)
    let own = axes.map { factor.dims[$0] }
    return try layer(
      "EinsumDense",
      [
        "equation": .string("\(all),\(String(axes.map { letters[$0] }))->\(all)"), "output_shape": LayerTensor.json(Array(x.dims.dropFirst())),
        "bias_axes": .null,
      ], [.tensor(x)], x.dims, x.element, stem: stem ?? site.module.map { "\($0)_scale" },
      groups: [VariableGroup(variables: [VariableDraft("kernel") { () throws(Failure) in try factor.reshaped(own) }])])
  }

  /// `x + c` as an EinsumDense: a kernel of ones, and the constant as its bias.
  mutating func shifted(_ x: LayerTensor, by constant: Tensor, _ site: RaisingSite, stem: String? = nil) throws(Failure) -> LayerTensor {
    let axes = constant.dims.indices.filter { constant.dims[$0] != 1 }
    guard let letters = LayerRaising.letters(x.dims.count), let last = axes.last, let first = axes.first else {
      return try rescaled(x, offset: constant.scalar ?? 0)
    }
    let all = String(letters)
    // Keras takes a bias that has but one axis larger than 1 for one of the channels where the sizes agree by chance: it is
    // repeated along the axis that it could be mistaken for.
    let end = x.dims.count - 1
    if axes.count == 1, first != end, let size = [x.dims[end], x.dims[1]].first(where: { $0 == Dim(constant.dims[first]) })?.value {
      let mistaken = x.dims[end] == Dim(size) ? end : 1
      if mistaken != first { return try shifted(x, by: try constant.selecting([Int](repeating: 0, count: size), axis: mistaken), site, stem: stem) }
    }
    let width = constant.dims[last]
    let type = constant.elementType
    return try layer(
      "EinsumDense",
      [
        "equation": .string("\(all),\(letters[last])->\(all)"), "output_shape": LayerTensor.json(Array(x.dims.dropFirst())),
        "bias_axes": .string(String(axes.map { letters[$0] })),
      ], [.tensor(x)], x.dims, x.element, stem: stem ?? site.module.map { "\($0)_shift" },
      groups: [
        VariableGroup(variables: [
          VariableDraft("kernel") { () throws(Failure) in try Tensor.filled([Double](repeating: 1, count: width), dims: [width], type) },
          VariableDraft("bias") { () throws(Failure) in try constant.reshaped(Array(constant.dims[first...])) },
        ])
      ])
  }

  /// The name that the model gives a constant, where it is more than a number of the exporter's.
  func constantName(_ value: ValueID?) -> String? {
    guard let value else { return nil }
    var id = value
    while case .node(let producer, _) = graph[id].definition, let operand = graph[producer].input(0), constant(operand) != nil { id = operand }
    let name = graph[id].name
    guard !name.contains("::"), !name.hasPrefix("/"), name.contains(where: { $0 == "." || $0 == "_" }), !name.contains("output_"), !name.hasPrefix("val_")
    else { return nil }
    return name.split(separator: "/").joined(separator: "_")
  }

  static func letters(_ count: Int) -> [Character]? {
    let all = Array("abcdefghijklmnopqrstuvwxyz")
    return count <= all.count ? Array(all.prefix(count)) : nil
  }

  // MARK: Choices

  mutating func select(_ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    var arguments: [CallArgument] = []
    for operand in site.node.inputs {
      guard let operand else { throw refusal(site, "an operand is left out") }
      if let tensor = constant(operand) {
        guard tensor.count <= LayerRaising.literalLimit else { throw refusal(site, "a constant of \(tensor.count) elements has no layer to hold it") }
        arguments.append(LayerRaising.literal(tensor))
      } else {
        arguments.append(.tensor(try plain(operand)))
      }
    }
    place(result, try operation("numpy", "Where", [:], arguments, try dims(result), try element(result)))
  }

  mutating func clip(_ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    func bound(_ index: Int) throws(Failure) -> Double? {
      guard let value = site.node.input(index) else { return nil }
      guard let number = constant(value)?.scalar else { throw refusal(site, "its bounds depend on the input") }
      return number
    }
    let (low, high) = (try bound(1), try bound(2))
    let (tensor, dims, element) = (x.tensor, x.tensor.dims, x.tensor.element)
    let result: LayerTensor
    switch (low, high) {
    case (nil, nil): result = tensor
    case (0?, let high?) where element.isFloatingPoint && high > 0: result = try layer("ReLU", ["max_value": .number(high)], [.tensor(tensor)], dims, element)
    case (0?, nil) where element.isFloatingPoint: result = try activation("relu", tensor)
    case (let low?, let high?):
      result = try operation("numpy", "Clip", ["x_min": .number(low), "x_max": .number(high)], [.tensor(tensor)], dims, element)
    case (let low?, nil): result = try operation("numpy", "Maximum", [:], [.tensor(tensor), .number(low)], dims, element)
    case (nil, let high?): result = try operation("numpy", "Minimum", [:], [.tensor(tensor), .number(high)], dims, element)
    }
    place(site.result, PlacedValue(result, order: x.order))
  }
}

extension Tensor {
  /// Each element changed, in double precision.
  func mapped(_ change: (Double) -> Double) throws(Failure) -> Tensor {
    guard let values = doubles() else { throw Failure(.typeMismatch, "\(elementType.name) elements are no numbers") }
    return try Tensor.filled(values.map(change), dims: dims, elementType)
  }
}
