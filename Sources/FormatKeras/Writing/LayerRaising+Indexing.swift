internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension LayerRaising {
  mutating func indexing(_ op: IndexingOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let (dims, element) = (try dims(result), try element(result))
    switch op {
    case .gather(let axis): place(result, try gathered(site, axis: axis, dims, element))
    case .gatherElements(let axis):
      guard constant(site.node.input(0)) == nil else { throw refusal(site, "it reads from a constant") }
      let x = try plain(site.node.input(0))
      let indices: CallArgument
      if let known = constant(site.node.input(1)) { indices = .literal(known) } else { indices = .tensor(try plain(site.node.input(1))) }
      let place = axis < 0 ? axis + x.dims.count : axis
      self.place(result, try operation("numpy", "TakeAlongAxis", ["axis": .integer(place)], [.tensor(x), indices], dims, element))
    case .resize(let resize): place(result, try resized(resize, site, dims))
    case .trilu(let upper):
      var diagonal = 0
      if let operand = site.node.input(1) {
        guard let number = constant(operand)?.scalar.flatMap({ Int(exactly: $0) }) else { throw refusal(site, "its diagonal depends on the input") }
        diagonal = number
      }
      let x = try plain(site.node.input(0))
      place(result, try operation("numpy", upper ? "Triu" : "Tril", ["k": .integer(diagonal)], [.tensor(x)], dims, element))
    case .gatherND, .scatterND, .scatterElements, .tensorScatter: throw refusal(site, "there is no such layer")
    }
  }

  private mutating func gathered(_ site: RaisingSite, axis: Int, _ dims: [Dim], _ element: ElementType) throws(Failure) -> PlacedValue {
    guard let table = site.node.input(0), let indices = site.node.input(1) else { throw refusal(site, "an operand is left out") }
    switch (constant(table), constant(indices)) {
    case (let rows?, nil) where rows.dims.count == 2 && (axis == 0 || axis == -2):
      let x = try plain(indices)
      let made = try layer(
        "Embedding", ["input_dim": .integer(rows.dims[0]), "output_dim": .integer(rows.dims[1])], [.tensor(x)], dims, element, stem: site.module,
        groups: [VariableGroup(variables: [VariableDraft("embeddings") { () throws(Failure) in rows }])])
      return PlacedValue(made)
    case (nil, let known?):
      let x = try plain(table)
      let place = axis < 0 ? axis + x.dims.count : axis
      guard let size = x.dims[place].value, let numbers = known.integers() else { throw refusal(site, "its indices count from the end of an open axis") }
      let whole = try Tensor(.int32, dims: known.dims, values: numbers.map { Int32(truncatingIfNeeded: $0 < 0 ? $0 + size : $0) })
      let argument = known.dims.isEmpty ? CallArgument.integer(numbers[0] < 0 ? numbers[0] + size : numbers[0]) : .literal(whole)
      return PlacedValue(try operation("numpy", "Take", ["axis": .integer(place)], [.tensor(x), argument], dims, element))
    case (nil, nil):
      let x = try plain(table)
      let place = axis < 0 ? axis + x.dims.count : axis
      return PlacedValue(
        try operation("numpy", "Take", ["axis": .integer(place)], [.tensor(x), .tensor(try plain(indices))], dims, element))
    default: throw refusal(site, "it reads from a constant that is no table of rows")
    }
  }

  mutating func generator(_ op: GeneratorOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    switch op {
    case .constantOfShape(let fill):
      let dims = try dims(result)
      let sizes = dims.map { $0.value ?? 1 }
      guard let count = sizes.checkedProduct, count <= LayerRaising.literalLimit else { throw refusal(site, "its shape is too large") }
      setRepeated(result, try Tensor.filled([Double](repeating: fill.value, count: count), dims: sizes, fill.elementType))
    // Shapes are worked out beforehand; a layer that needs an open one as a number refuses.
    case .shape, .size: break
    case .range, .eyeLike: throw refusal(site, "its size is known in the run alone")
    }
  }
}
