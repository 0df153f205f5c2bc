internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Indices that only the run knows: entries are told by their places in the tensor as one list of rows.
extension LayerRaising {
  /// An operation on two operands, the first of which has the result's shape.
  mutating func combined(_ name: String, _ x: LayerTensor, _ other: CallArgument, _ element: ElementType? = nil) throws(Failure) -> LayerTensor {
    var (name, other) = (name, other)
    if name == "Add" {
      // Keras's sums may take a second operand for a bias of the channels: see `unambiguousSum`.
      switch other {
      case .literal(let tensor): (name, other) = ("Subtract", .literal(try tensor.mapped { -$0 }))
      case .tensor(let tensor) where LayerRaising.biasAxis(tensor.dims) != nil:
        (name, other) = ("Subtract", .tensor(try operation("numpy", "Negative", [:], [.tensor(tensor)], tensor.dims, tensor.element)))
      default: break
      }
    }
    return try operation("numpy", name, [:], [.tensor(x), other], x.dims, element ?? x.element)
  }

  /// The numbers 0, 1, … along the first axis of a tensor.
  private mutating func numbers(along x: LayerTensor, _ element: ElementType) throws(Failure) -> LayerTensor {
    let ones = try operation("numpy", "OnesLike", ["dtype": .string(element.kerasName)], [.tensor(try firstElements(of: x))], [x.dims[0]], element)
    let counted = try operation("numpy", "Cumsum", ["axis": .integer(0)], [.tensor(ones)], [x.dims[0]], element)
    return try combined("Subtract", counted, .integer(1))
  }

  /// Indices that count from the end of an axis, counted from its start.
  private mutating func wrapped(_ index: LayerTensor, _ size: Dim, of data: LayerTensor) throws(Failure) -> LayerTensor {
    let count: CallArgument
    if let value = size.value {
      count = .integer(value)
    } else {
      let ones = try operation(
        "numpy", "OnesLike", ["dtype": .string(index.element.kerasName)], [.tensor(try firstElements(of: data))], [data.dims[0]], index.element)
      count = .tensor(try operation("numpy", "Sum", ["axis": .null, "keepdims": .bool(false)], [.tensor(ones)], [], index.element))
    }
    let isNegative = try combined("Less", index, .integer(0), .bool)
    let moved = try combined("Add", index, count)
    return try operation("numpy", "Where", [:], [.tensor(isNegative), .tensor(moved), .tensor(index)], index.dims, index.element)
  }

  /// What a step along each of the first axes means in the list of rows that they make; the first may be open.
  private static func strides(_ dims: ArraySlice<Dim>) -> [Int]? {
    var result = [Int](repeating: 1, count: dims.count)
    let sizes = Array(dims)
    for axis in sizes.indices.dropLast().reversed() {
      guard let size = sizes[axis + 1].value else { return nil }
      let (product, overflow) = result[axis + 1].multipliedReportingOverflow(by: size)
      if overflow || product > Int(Int32.max) { return nil }
      result[axis] = product
    }
    return result
  }

  /// The places of rows: for indices of shape (…, depth), a number each.
  /// - Parameter batchDims: axes that indices and tensor share.
  private mutating func places(_ indices: LayerTensor, in x: LayerTensor, batchDims: Int, _ site: RaisingSite) throws(Failure) -> LayerTensor {
    guard indices.dims.count > 1, let depth = indices.dims.last?.value, depth > 0, batchDims + depth <= x.dims.count, batchDims < indices.dims.count,
      let strides = LayerRaising.strides(x.dims[..<(batchDims + depth)])
    else { throw refusal(site, "its indices run over open axes") }
    let own = Array(indices.dims.dropLast())
    var total: LayerTensor?
    for component in 0..<depth {
      let all = [CallArgument](repeating: .slice(start: nil, stop: nil, step: nil), count: own.count)
      let index = try operation("numpy", "GetItem", [:], [.tensor(indices), .list(all + [.integer(component)])], own, indices.element)
      let axis = batchDims + component
      let counted = try wrapped(index, x.dims[axis], of: x)
      let step = strides[axis] == 1 ? counted : try combined("Multiply", counted, .integer(strides[axis]))
      total = try total.map { (sum) throws(Failure) in try combined("Add", sum, .tensor(step)) } ?? step
    }
    guard var result = total else { throw refusal(site, "it has no indices") }
    for axis in 0..<batchDims { result = try combined("Add", result, try steps(along: axis, strides[axis], of: indices, rank: own.count)) }
    return result
  }

  /// The numbers along one axis of `x`, times a stride, laid along the axis `axis` of `rank`.
  private mutating func steps(along axis: Int, _ stride: Int, of x: LayerTensor, rank: Int) throws(Failure) -> CallArgument {
    if let size = x.dims[axis].value {
      guard size <= LayerRaising.literalLimit else { throw Failure(.notExpressible, "an axis of \(size) indices is too long") }
      var dims = [Int](repeating: 1, count: rank)
      dims[axis] = size
      return .literal(try Tensor.filled((0..<size).map { Double($0 * stride) }, dims: dims, x.element))
    }
    guard axis == 0 else { throw Failure(.notExpressible, "indices of several open sizes") }
    let counted = try numbers(along: x, x.element)
    let column = try operation(
      "numpy", "Reshape", ["newshape": .integers([-1] + [Int](repeating: 1, count: rank - 1))], [.tensor(counted)],
      [x.dims[0]] + [Dim](repeating: Dim(1), count: rank - 1), x.element)
    return .tensor(stride == 1 ? column : try combined("Multiply", column, .integer(stride)))
  }

  /// A tensor as a list of rows of `rest`.
  private mutating func rows(_ x: LayerTensor, _ rest: ArraySlice<Dim>, _ name: String) throws(Failure) -> LayerTensor {
    guard let sizes = Shape(Array(rest)).concrete else { throw Failure(.notExpressible, "rows of open size") }
    let count = Shape(Array(x.dims.dropLast(rest.count))).elementCount?.value.map { Dim($0) } ?? Dim(symbol: name)
    return try operation("numpy", "Reshape", ["newshape": .integers([-1] + sizes)], [.tensor(x)], [count] + rest, x.element)
  }

  /// GatherND (ONNX 13).
  mutating func gatheredAtPlaces(_ site: RaisingSite, batchDims: Int, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    let indices = try plain(site.node.input(1))
    let places = try places(indices, in: x, batchDims: batchDims, site)
    guard let depth = indices.dims.last?.value else { throw refusal(site, "its indices run over open axes") }
    let table = try rows(x, x.dims[(batchDims + depth)...], "rows")
    return try operation("numpy", "Take", ["axis": .integer(0)], [.tensor(table), .tensor(places)], dims, element)
  }

  /// ScatterND (ONNX 18).
  mutating func scatteredAtPlaces(_ site: RaisingSite, _ reduction: ScatterReduction, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    let indices = try plain(site.node.input(1))
    guard let depth = indices.dims.last?.value, depth <= x.dims.count else { throw refusal(site, "its indices run over open axes") }
    let places = try places(indices, in: x, batchDims: 0, site)
    return try scattered(x, at: places, try plain(site.node.input(2)), rest: x.dims[depth...], reduction)
  }

  /// ScatterElements (ONNX 18): along one axis, everywhere else at the index's own place.
  mutating func scatteredElements(
    _ site: RaisingSite, axis: Int, _ reduction: ScatterReduction, _ dims: [Dim], _ element: ElementType
  ) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    let indices = try plain(site.node.input(1))
    let rank = x.dims.count
    let axis = axis < 0 ? axis + rank : axis
    guard x.dims.indices.contains(axis), indices.dims.count == rank, let strides = LayerRaising.strides(x.dims[...]) else {
      throw refusal(site, "its sizes are open")
    }
    var places = try wrapped(indices, x.dims[axis], of: x)
    if strides[axis] != 1 { places = try combined("Multiply", places, .integer(strides[axis])) }
    for other in 0..<rank where other != axis && indices.dims[other].value != 1 {
      places = try combined("Add", places, try steps(along: other, strides[other], of: indices, rank: rank))
    }
    return try scattered(x, at: places, try plain(site.node.input(2)), rest: [], reduction)
  }

  private mutating func scattered(
    _ x: LayerTensor, at places: LayerTensor, _ updates: LayerTensor, rest: ArraySlice<Dim>, _ reduction: ScatterReduction
  ) throws(Failure) -> LayerTensor {
    let table = try rows(x, rest, "rows")
    let list = try rows(updates, rest, "updates")
    let column = try operation("numpy", "Reshape", ["newshape": .integers([-1, 1])], [.tensor(places)], [list.dims[0], 1], places.element)
    var config: [String: JSON] = [:]
    switch reduction {
    case .none: break
    case .add: config["reduction"] = .string("add")
    case .multiply: config["reduction"] = .string("mul")
    case .minimum: config["reduction"] = .string("min")
    case .maximum: config["reduction"] = .string("max")
    }
    let made = try operation("core", "ScatterUpdate", config, [.tensor(table), .tensor(column), .tensor(list)], table.dims, x.element)
    return try reshapedPlainly(made, x.dims)
  }

  /// GatherElements (ONNX 13). Keras repeats the shorter of two axes where ONNX reads only so far as the indices go.
  mutating func gatheredElements(_ site: RaisingSite, axis: Int, _ dims: [Dim], _ element: ElementType) throws(Failure) -> LayerTensor {
    let axis = axis < 0 ? axis + dims.count : axis
    let indices: CallArgument
    if let known = constant(site.node.input(1)) { indices = .literal(known) } else { indices = .tensor(try plain(site.node.input(1))) }
    if let table = constant(site.node.input(0)), table.count <= LayerRaising.literalLimit {
      guard table.dims.count == dims.count, axis < dims.count else { throw refusal(site, "its axes are wrong") }
      if table.dims.indices.allSatisfy({ $0 == axis || table.dims[$0] == 1 }) {
        return try operation("numpy", "Take", ["axis": .integer(0)], [.literal(try table.reshaped([table.count])), indices], dims, element)
      }
    }
    var x = try plain(site.node.input(0))
    for other in dims.indices where other != axis && x.dims[other] != dims[other] {
      guard let size = dims[other].value, let own = x.dims[other].value, size <= own else { throw refusal(site, "its indices are of open size") }
      x = try part(x, axis: other, 0, size)
    }
    return try operation("numpy", "TakeAlongAxis", ["axis": .integer(axis)], [.tensor(x), indices], dims, element)
  }
}
