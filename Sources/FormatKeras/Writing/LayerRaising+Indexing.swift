internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension LayerRaising {
  mutating func indexing(_ op: IndexingOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let (dims, element) = (try dims(result), try element(result))
    switch op {
    case .gather(let axis): place(result, try gathered(site, axis: axis, dims, element))
    case .gatherElements(let axis): place(result, try gatheredElements(site, axis: axis, dims, element))
    case .resize(let resize): place(result, try resized(resize, site, dims))
    case .trilu(let upper):
      var diagonal = 0
      if let operand = site.node.input(1) {
        guard let number = constant(operand)?.scalar.flatMap({ Int(exactly: $0) }) else { throw refusal(site, "its diagonal depends on the input") }
        diagonal = number
      }
      let x = try plain(site.node.input(0))
      place(result, try operation("numpy", upper ? "Triu" : "Tril", ["k": .integer(diagonal)], [.tensor(x)], dims, element))
    case .gatherND(let batchDims): place(result, try gatheredRows(site, batchDims: batchDims, dims, element))
    case .scatterND(let reduction): place(result, try scatteredRows(site, reduction, dims, element))
    case .scatterElements(let axis, let reduction): place(result, try scatteredElements(site, axis: axis, reduction, dims, element))
    case .tensorScatter: throw refusal(site, "there is no such layer")
    }
  }

  private mutating func gathered(_ site: RaisingSite, axis: Int, _ dims: [Dim], _ element: ElementType) throws(Failure) -> PlacedValue {
    guard let table = site.node.input(0), let indices = site.node.input(1) else { throw refusal(site, "an operand is left out") }
    switch (constant(table), constant(indices)) {
    case (let rows?, nil):
      let place = axis < 0 ? axis + rows.dims.count : axis
      guard rows.dims.indices.contains(place), try self.dims(table) == rows.dims.map({ Dim($0) }) else {
        throw refusal(site, "it reads from a constant that is repeated for each sample")
      }
      let x = try plain(indices)
      let width = rows.dims.dropFirst().reduce(1, *)
      if place == 0, rows.elementType.isFloatingPoint, width > 0, rows.dims.count == 2 || rows.count > LayerRaising.literalLimit {
        let made = try layer(
          "Embedding", ["input_dim": .integer(rows.dims[0]), "output_dim": .integer(width)], [.tensor(x)], x.dims + [Dim(width)], element, stem: site.module,
          groups: [
            VariableGroup(variables: [VariableDraft("embeddings") { () throws(Failure) in try rows.reshaped([rows.dims[0], width]) }])
          ])
        return PlacedValue(try reshapedPlainly(made, dims))
      }
      guard rows.count <= LayerRaising.literalLimit else { throw refusal(site, "it reads from a large constant along another axis than the first") }
      return PlacedValue(try operation("numpy", "Take", ["axis": .integer(place)], [.literal(rows), .tensor(x)], dims, element))
    case (nil, let known?):
      let x = try plain(table)
      let place = axis < 0 ? axis + x.dims.count : axis
      guard let numbers = known.integers() else { throw refusal(site, "its indices are no numbers") }
      // Those that count from the end of an open axis stay as they are.
      let size = x.dims[place].value ?? 0
      let whole = try Tensor(.int32, dims: known.dims, values: numbers.map { Int32(truncatingIfNeeded: $0 < 0 ? $0 + size : $0) })
      let argument = known.dims.isEmpty ? CallArgument.integer(numbers[0] < 0 ? numbers[0] + size : numbers[0]) : .literal(whole)
      return PlacedValue(try operation("numpy", "Take", ["axis": .integer(place)], [.tensor(x), argument], dims, element))
    case (nil, nil):
      let x = try plain(table)
      let place = axis < 0 ? axis + x.dims.count : axis
      return PlacedValue(
        try operation("numpy", "Take", ["axis": .integer(place)], [.tensor(x), .tensor(try plain(indices))], dims, element))
    case (_?, _?): throw refusal(site, "it reads from a constant that is repeated for each sample")
    }
  }

  /// A tensor as rows along its first axes, and the rows that constant indices name.
  private mutating func rows(
    _ x: LayerTensor, _ indices: ValueID?, _ site: RaisingSite
  ) throws(Failure) -> (table: LayerTensor, numbers: [Int], dims: [Int]) {
    guard let known = constant(indices), let numbers = known.integers(), let depth = known.dims.last, depth > 0, depth <= x.dims.count else {
      throw refusal(site, "its indices depend on the input")
    }
    guard let sizes = Shape(Array(x.dims[..<depth])).concrete, let count = sizes.checkedProduct, count <= Int(Int32.max) else {
      throw refusal(site, "its indices run over an open axis")
    }
    guard numbers.count / depth <= LayerRaising.literalLimit else { throw refusal(site, "its indices are too many") }
    var places: [Int] = []
    for start in stride(from: 0, to: numbers.count, by: depth) {
      var place = 0
      for (axis, size) in sizes.enumerated() {
        let index = numbers[start + axis] < 0 ? numbers[start + axis] + size : numbers[start + axis]
        guard (0..<size).contains(index) else { throw refusal(site, "an index is out of range") }
        place = place * size + index
      }
      places.append(place)
    }
    let table = try reshapedPlainly(x, [Dim(count)] + x.dims[depth...])
    return (table, places, Array(known.dims.dropLast()))
  }

  private static func literal(indices: [Int], _ dims: [Int]) throws(Failure) -> CallArgument {
    .literal(try Tensor(.int32, dims: dims, values: indices.map { Int32(truncatingIfNeeded: $0) }))
  }

  private mutating func gatheredRows(_ site: RaisingSite, batchDims: Int, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    guard batchDims == 0, let (table, numbers, own) = try? rows(x, site.node.input(1), site) else {
      return try gatheredAtPlaces(site, batchDims: batchDims, dims, element)
    }
    return try operation(
      "numpy", "Take", ["axis": .integer(0)], [.tensor(table), try LayerRaising.literal(indices: numbers, own)], dims, element)
  }

  /// Old rows and new ones behind each other, and of each place the row that stands there in the end.
  private mutating func scatteredRows(
    _ site: RaisingSite, _ reduction: ScatterReduction, _ dims: [Dim], _ element: ElementType
  ) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    guard reduction == .none, let (table, numbers, _) = try? rows(x, site.node.input(1), site), let count = table.dims[0].value,
      count <= LayerRaising.literalLimit
    else { return try scatteredAtPlaces(site, reduction, dims, element) }
    let rest = Array(table.dims.dropFirst())
    let updates = try reshapedPlainly(try plain(site.node.input(2)), [Dim(numbers.count)] + rest)
    var places = Array(0..<count)
    for (index, place) in numbers.enumerated() { places[place] = count + index }
    let both = try operation(
      "numpy", "Concatenate", ["axis": .integer(0)], [.list([.tensor(table), .tensor(updates)])], [Dim(count + numbers.count)] + rest, element)
    let taken = try operation(
      "numpy", "Take", ["axis": .integer(0)], [.tensor(both), try LayerRaising.literal(indices: places, [count])], table.dims, element)
    return try reshapedPlainly(taken, dims)
  }

  /// The numbers of the samples.
  private mutating func sampleNumbers(_ site: RaisingSite, _ element: ElementType) throws(Failure) -> LayerTensor? {
    func number(_ index: Int) -> Double? { constant(site.node.input(index))?.scalar }
    guard element.isInteger, number(0) == 0, number(2) == 1, let limit = site.node.input(1).flatMap({ typed.known($0)?.dimensions }), limit.count == 1,
      let input = model.inputs.first(where: { $0.dims[0] == limit[0] && $0.dims.count > 1 })
    else { return nil }
    let ones = try operation("numpy", "OnesLike", ["dtype": .string(element.kerasName)], [.tensor(try firstElements(of: input))], limit, element)
    let counted = try operation("numpy", "Cumsum", ["axis": .integer(0)], [.tensor(ones)], limit, element)
    return try operation("numpy", "Subtract", [:], [.tensor(counted), .integer(1)], limit, element)
  }

  /// The largest elements along an axis and where they stand, equal ones in their order; the smallest are the largest of the
  /// negatives.
  mutating func topK(axis: Int, largest: Bool, _ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    let rank = x.order.count
    let axis = axis < 0 ? axis + rank : axis
    guard x.order.indices.contains(axis), let count = constant(site.node.input(1))?.scalar.flatMap({ Int(exactly: $0) }),
      let width = x.dims[axis].value, (0...width).contains(count)
    else { throw refusal(site, "how many it takes depends on the input") }
    let others = (0..<rank).filter { $0 != axis }
    var line = try turned(x, to: others + [axis])
    let element = line.element
    if !largest {
      guard element.isFloatingPoint || [.int8, .int16, .int32, .int64].contains(element) else { throw refusal(site, "Keras takes the largest") }
      line = try operation("numpy", "Negative", [:], [.tensor(line)], line.dims, element)
    }
    let dims = Array(line.dims.dropLast()) + [Dim(count)]
    // Axis `axis` of the value stands last, the others in their order.
    let order = (0..<rank).map { $0 == axis ? rank - 1 : $0 < axis ? $0 : $0 - 1 }
    var values = try operation("math", "TopK", ["k": .integer(count), "sorted": .bool(true)], [.tensor(line)], dims, element)
    let places = LayerTensor(layer: values.layer, index: 1, element: .int32, dims: dims)
    if !largest { values = try operation("numpy", "Negative", [:], [.tensor(values)], dims, element) }
    place(site.node.output(0), PlacedValue(values, order: order))
    guard let indices = site.node.output(1) else { return }
    let type = try self.element(indices)
    place(indices, PlacedValue(try operation("core", "Cast", ["dtype": .string(type.kerasName)], [.tensor(places)], dims, type), order: order))
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
    case .range:
      guard let numbers = try sampleNumbers(site, try element(result)) else { throw refusal(site, "its size is known in the run alone") }
      place(result, numbers)
    case .eyeLike: throw refusal(site, "its size is known in the run alone")
    }
  }
}
