internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension LayerRaising {
  /// Products with a constant whose only reader adds a vector along the last axis, by the product.
  func biasedProducts() -> [NodeID: ValueID] {
    var result: [NodeID: ValueID] = [:]
    for (_, node) in graph.liveNodes where node.op == .binary(.add) {
      guard let x = node.input(0), let b = node.input(1), let bias = constant(b), let producer = graph.producer(of: x), let sum = node.output(0),
        case .matrix(.matMul) = graph[producer].op, uses.onlyReader(of: x) != nil, attention[x] == nil, let dims = typed.shape(of: x)?.dims,
        typed.shape(of: sum)?.dims == dims, let width = dims.last?.value, bias.count == width, bias.dims.last == width,
        let weight = graph[producer].input(1), constant(weight)?.dims.count == 2, constant(graph[producer].input(0)) == nil
      else { continue }
      result[producer] = x
    }
    return result
  }

  mutating func matrix(_ op: MatrixOp, _ site: RaisingSite) throws(Failure) {
    switch op {
    case .matMul: place(site.result, try product(site, bias: nil))
    case .einsum(let equation): try einsum(equation, site)
    case .gemm, .fusedMatMul, .determinant: throw refusal(site, "it has no canonical form")
    }
  }

  /// A product of tensors or of a tensor and a constant, with a vector added where one is given.
  mutating func product(_ site: RaisingSite, bias: Tensor?) throws(Failure) -> PlacedValue {
    guard let a = site.node.input(0), let b = site.node.input(1), let result = site.result else { throw refusal(site, "an operand is left out") }
    let (dims, element) = (try dims(result), try element(result))
    switch (constant(a), constant(b)) {
    case (nil, let weight?) where weight.dims.count == 2: return try dense(try standing(a), weight, bias, element, site)
    case (nil, let weight?): return PlacedValue(try weighted(try plain(a), weight, weightFirst: false, dims, element, site))
    case (let weight?, nil): return PlacedValue(try weighted(try plain(b), weight, weightFirst: true, dims, element, site))
    case (nil, nil):
      let (left, right) = (try plain(a), try plain(b))
      if layersOnly, let made = try dot(left, right, dims, element) { return PlacedValue(made) }
      return PlacedValue(try operation("numpy", "Matmul", [:], [.tensor(left), .tensor(right)], dims, element))
    case (_?, _?): throw refusal(site, "both operands are constants")
    }
  }

  /// The product as Dot layers, which know of no batch axis but the first: one for each entry along an axis of heads. nil
  /// where the operands have other axes.
  private mutating func dot(_ a: LayerTensor, _ b: LayerTensor, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor? {
    guard a.dims.count == b.dims.count, a.dims[0] == b.dims[0], element.isFloatingPoint else { return nil }
    let config: [String: JSON] = ["axes": .integers([2, 1]), "normalize": .bool(false)]
    if a.dims.count == 3 { return try layer("Dot", config, [.list([.tensor(a), .tensor(b)])], dims, element) }
    guard a.dims.count == 4, a.dims[1] == b.dims[1], let heads = a.dims[1].value, (1...64).contains(heads) else { return nil }
    var parts: [CallArgument] = []
    for head in 0..<heads {
      let own = try [a, b].map { (tensor) throws(Failure) in
        CallArgument.tensor(
          try reshapedPlainly(try part(tensor, axis: 1, head, head + 1), [tensor.dims[0], tensor.dims[2], tensor.dims[3]]))
      }
      let product = try layer("Dot", config, [.list(own)], [dims[0], dims[2], dims[3]], element)
      parts.append(.tensor(try reshapedPlainly(product, [dims[0], 1, dims[2], dims[3]])))
    }
    if heads == 1, case .tensor(let only) = parts[0] { return only }
    return try layer("Concatenate", ["axis": .integer(1)], [.list(parts)], dims, element)
  }

  /// A Dense layer along the last axis, in whatever order the others stand.
  private mutating func dense(
    _ x: PlacedValue, _ weight: Tensor, _ bias: Tensor?, _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> PlacedValue {
    let rank = x.order.count
    guard rank > 1 else { throw refusal(site, "its operand has no axis of samples") }
    var x = x
    if x.order[rank - 1] != rank - 1 { x = PlacedValue(try turned(x, to: Array(0..<rank))) }
    var dims = x.tensor.dims
    dims[rank - 1] = Dim(weight.dims[1])
    var variables = [VariableDraft("kernel") { () throws(Failure) in weight }]
    if let bias { variables.append(VariableDraft("bias") { () throws(Failure) in try bias.reshaped([bias.count]) }) }
    let result = try layer(
      "Dense", ["units": .integer(weight.dims[1]), "activation": .string("linear"), "use_bias": .bool(bias != nil)], [.tensor(x.tensor)], dims, element,
      stem: site.module, groups: [VariableGroup(variables: variables)])
    return PlacedValue(result, order: x.order)
  }

  /// A product with a constant of any number of axes, as an EinsumDense.
  private mutating func weighted(
    _ x: LayerTensor, _ weight: Tensor, weightFirst: Bool, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    let (rank, own) = (x.dims.count, weight.dims.count)
    guard rank >= 2, own >= 2, let letters = LayerRaising.letters(dims.count + 1), dims.count == rank else {
      throw refusal(site, "a vector, or a constant with more axes than the tensor")
    }
    // The result's letters, and one that is summed over.
    let sum = letters[dims.count]
    let output = Array(letters[..<dims.count])
    var input = output
    input[weightFirst ? rank - 2 : rank - 1] = sum
    var kernel: [Character] = weightFirst ? [output[dims.count - 2], sum] : [sum, output[dims.count - 1]]
    var kept: [Int] = Array(weight.dims.suffix(2))
    for axis in (0..<(own - 2)).reversed() where weight.dims[axis] != 1 {
      let place = dims.count - own + axis
      guard place >= 0, x.dims[place] == Dim(weight.dims[axis]) else { throw refusal(site, "the constant's batch axes widen the tensor") }
      kernel.insert(output[place], at: 0)
      kept.insert(weight.dims[axis], at: 0)
    }
    let shape = kept
    return try layer(
      "EinsumDense",
      [
        "equation": .string("\(String(input)),\(String(kernel))->\(String(output))"), "output_shape": LayerTensor.json(Array(dims.dropFirst())),
        "bias_axes": .null,
      ], [.tensor(x)], dims, element, stem: site.module,
      groups: [VariableGroup(variables: [VariableDraft("kernel") { () throws(Failure) in try weight.reshaped(shape) }])])
  }

  private mutating func einsum(_ equation: String, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let (dims, element) = (try dims(result), try element(result))
    let plain = equation.filter { $0 != " " }
    let constants = site.node.inputs.map { constant($0) }
    if site.node.inputs.count == 2, constants.filter({ $0 != nil }).count == 1, let form = EinsumForm(plain) {
      let index = constants[0] == nil ? 0 : 1
      // The layer takes the constant second, and the axis of samples first on both sides.
      if let weight = constants[1 - index], form.terms[index].first == form.output.first, form.terms[index].count > 1,
        Set(form.output).count == form.output.count
      {
        let x = try self.plain(site.node.inputs[index])
        let made = try layer(
          "EinsumDense",
          [
            "equation": .string("\(String(form.terms[index])),\(String(form.terms[1 - index]))->\(String(form.output))"),
            "output_shape": LayerTensor.json(Array(dims.dropFirst())), "bias_axes": .null,
          ], [.tensor(x)], dims, element, stem: site.module,
          groups: [VariableGroup(variables: [VariableDraft("kernel") { () throws(Failure) in weight }])])
        return place(result, made)
      }
    }
    var operands: [CallArgument] = []
    for (value, tensor) in zip(site.node.inputs, constants) {
      if let tensor {
        guard tensor.count <= LayerRaising.literalLimit else { throw refusal(site, "a constant of \(tensor.count) elements has no layer to hold it") }
        operands.append(.literal(tensor))
      } else {
        operands.append(.tensor(try self.plain(value)))
      }
    }
    place(result, try operation("numpy", "Einsum", ["subscripts": .string(plain)], operands, dims, element))
  }
}

/// `ab,bc->ac`, letters alone.
private struct EinsumForm {
  var terms: [[Character]]
  var output: [Character]

  init?(_ equation: String) {
    let sides = equation.split(separator: "-", omittingEmptySubsequences: false)
    guard sides.count == 2, sides[1].first == ">" else { return nil }
    terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map { Array($0) }
    output = Array(sides[1].dropFirst())
    guard terms.count == 2, (terms.flatMap { $0 } + output).allSatisfy({ ("a"..."z").contains($0) }) else { return nil }
  }
}
