public import Diagnostics
public import GraphIR
public import Tensors

extension IndexingOp: Operator {
  public var mnemonic: String {
    switch self {
    case .gather: "Gather"
    case .gatherElements: "GatherElements"
    case .gatherND: "GatherND"
    case .scatterND: "ScatterND"
    case .scatterElements: "ScatterElements"
    case .resize: "Resize"
    case .trilu: "Trilu"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .gather, .gatherElements, .gatherND: Arity(2...2)
    case .scatterND, .scatterElements: Arity(3...3)
    case .resize: Arity(1...4)
    case .trilu: Arity(1...2)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let data = try operands.required(0)
    switch self {
    case .gather, .gatherElements, .gatherND:
      try checkIndices(try operands.required(1))
      let value = ShapeArithmetic.moved(by: self, operands, moved: [0], resultCount: 1)[0]
      return [Fact(TensorType(data.type.element, try gatheredShape(data.type.shape, try operands.required(1).type.shape)), value: value)]
    case .scatterND, .scatterElements:
      try checkIndices(try operands.required(1))
      _ = try operands.sharedElement([0, 2], of: mnemonic)
      try checkScatter(data.type.shape, try operands.required(1).type.shape, try operands.required(2).type.shape)
      return [Fact(data.type, value: ShapeArithmetic.moved(by: self, operands, moved: [0, 2], resultCount: 1)[0])]
    case .resize: return [Fact(TensorType(data.type.element, try resizedShape(data.type.shape, operands)))]
    case .trilu:
      if let shape = data.type.shape, shape.rank < 2 { throw mismatch("an input of rank \(shape.rank)") }
      if let k = operands.fact(1), k.type.element != .int64 { throw Failure(.typeMismatch, "Trilu has a diagonal of \(k.type.element.name)") }
      return [Fact(data.type)]
    }
  }

  private func checkIndices(_ fact: Fact) throws(Failure) {
    guard fact.type.element == .int64 || fact.type.element == .int32 else {
      throw Failure(.typeMismatch, "\(mnemonic) has indices of \(fact.type.element.name)")
    }
  }

  private func gatheredShape(_ data: Shape?, _ indices: Shape?) throws(Failure) -> Shape? {
    switch self {
    case .gather(let axis):
      guard let data else { return nil }
      let axis = try self.axis(axis, rank: data.rank)
      guard let indices else { return nil }
      return Shape(Array(data.dims[..<axis]) + indices.dims + Array(data.dims[(axis + 1)...]))
    case .gatherElements(let axis):
      if let data, let indices {
        guard data.rank == indices.rank else { throw mismatch("data \(data) and indices \(indices) have different ranks") }
        _ = try self.axis(axis, rank: data.rank)
      }
      return indices ?? data.map { .unknown(rank: $0.rank) }
    default:
      guard case .gatherND(let batch) = self, let data, let indices else { return nil }
      guard batch >= 0, indices.rank > batch, data.rank > batch else { throw mismatch("\(batch) batch axes of \(data) and \(indices)") }
      guard let depth = indices[indices.rank - 1].value else { return nil }
      guard depth >= 1, batch + depth <= data.rank else { throw mismatch("indices \(indices) into \(data)") }
      for axis in 0..<batch { try checkAgree(data[axis], indices[axis], "batch axis \(axis)") }
      return Shape(Array(indices.dims.dropLast()) + Array(data.dims[(batch + depth)...]))
    }
  }

  private func checkScatter(_ data: Shape?, _ indices: Shape?, _ updates: Shape?) throws(Failure) {
    guard let data, let indices, let updates else { return }
    if case .scatterElements(let axis) = self {
      _ = try self.axis(axis, rank: data.rank)
      guard data.rank == indices.rank, indices.rank == updates.rank else { throw mismatch("\(data), \(indices) and \(updates) have different ranks") }
      for index in indices.dims.indices { try checkAgree(indices[index], updates[index], "indices \(indices) and updates \(updates)") }
      return
    }
    guard indices.rank >= 1, let depth = indices[indices.rank - 1].value else { return }
    guard depth >= 0, depth <= data.rank, updates.rank == indices.rank - 1 + data.rank - depth else {
      throw mismatch("updates \(updates) at \(indices) of \(data)")
    }
    for (given, wanted) in zip(updates.dims, Array(indices.dims.dropLast()) + Array(data.dims[depth...])) {
      try checkAgree(given, wanted, "updates \(updates) at \(indices) of \(data)")
    }
  }

  private func resizedShape(_ shape: Shape?, _ operands: [Fact?]) throws(Failure) -> Shape? {
    guard let shape else { return nil }
    if let sizes = operands.fact(3) {
      guard let dims = sizes.value?.dimensions else { return .unknown(rank: shape.rank) }
      if !dims.isEmpty {
        guard dims.count == shape.rank, dims.allSatisfy({ ($0.value ?? 1) > 0 }) else { throw mismatch("sizes \(dims) for \(shape)") }
        return Shape(dims)
      }
    }
    guard let scales = operands.fact(2) else { throw Failure(.operandCount, "Resize has neither scales nor sizes") }
    guard case .tensor(let tensor)? = scales.value, tensor.count <= 64, let factors = tensor.doubles() else { return .unknown(rank: shape.rank) }
    guard factors.count == shape.rank, factors.allSatisfy({ $0 > 0 && $0.isFinite }) else { throw mismatch("scales \(factors) for \(shape)") }
    var dims: [Dim] = []
    for (dim, factor) in zip(shape.dims, factors) {
      if let size = dim.value {
        guard let scaled = Int(exactly: (Double(size) * factor).rounded(.down)) else { throw Failure(.sizeOverflow, "Resize: \(size) by \(factor) overflows") }
        dims.append(Dim(scaled))
      } else if let whole = Int(exactly: factor) {
        dims.append(try dim.times(Dim(whole)))
      } else if let part = Int(exactly: 1 / factor) {
        dims.append(try dim.floored(by: Dim(part)))
      } else {
        dims.append(.unknown)
      }
    }
    return Shape(dims)
  }

  /// Interpolation multiplies each result by one weight per tap.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard case .resize(let form) = self else { return Cost() }
    switch form.mode {
    case .nearest: return Cost()
    case .linear: return Cost(elementwise: results.elementCount &* 4)
    case .cubic: return Cost(elementwise: results.elementCount &* 16)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let data = try operands.required(0)
    switch self {
    case .gather(let axis):
      return [try gathered(data, try operands.required(1), try self.axis(axis, rank: data.dims.count), dims)]
    case .gatherElements(let axis):
      let places = try elementPlaces(data.dims, try operands.required(1), try self.axis(axis, rank: data.dims.count))
      return [try data.gathered(places, dims: dims)]
    case .gatherND(let batch):
      let starts = try blockStarts(data.dims, try operands.required(1), batch: batch)
      let block = starts.block
      return [try data.gathered(starts.places.flatMap { start in start..<start + block }, dims: dims)]
    case .scatterND:
      let starts = try blockStarts(data.dims, try operands.required(1), batch: 0)
      let block = starts.block
      return [try scattered(data, try operands.required(2), starts.places.flatMap { start in start..<start + block })]
    case .scatterElements(let axis):
      return [try scattered(data, try operands.required(2), try elementPlaces(data.dims, try operands.required(1), try self.axis(axis, rank: data.dims.count)))]
    case .resize(let form):
      let scales = try operands.tensor(2)?.reals(for: mnemonic) ?? []
      return [try form.evaluate(data, scales: scales.isEmpty ? nil : scales, element, dims)]
    case .trilu(let upper):
      let k = try operands.tensor(1)?.wholes(for: mnemonic).first ?? 0
      let columns = dims[dims.count - 1]
      let rows = dims[dims.count - 2]
      let places = (0..<data.count).map { index in
        let column = index % columns
        let row = index / columns % rows
        // A diagonal beyond the matrix is as far as one at its edge.
        let diagonal = min(max(k, -rows), columns)
        return (upper ? column - row >= diagonal : column - row <= diagonal) ? index : -1
      }
      return [try data.gathered(places, dims: dims)]
    }
  }

  private func index(_ value: Int, of size: Int) throws(Failure) -> Int {
    guard value >= -size, value < size else { throw Failure(.indexOutOfRange, "\(mnemonic): index \(value) of an axis of \(size)") }
    return value < 0 ? value + size : value
  }

  private func gathered(_ data: Tensor, _ indices: Tensor, _ axis: Int, _ dims: [Int]) throws(Failure) -> Tensor {
    let inner = data.dims[(axis + 1)...].reduce(1, *)
    let length = data.dims[axis]
    var chosen: [Int] = []
    for value in try indices.wholes(for: mnemonic) { chosen.append(try index(value, of: length)) }
    var places: [Int] = []
    places.reserveCapacity(dims.reduce(1, *))
    for outer in 0..<data.dims[..<axis].reduce(1, *) {
      for index in chosen {
        let first = (outer * length + index) * inner
        places.append(contentsOf: first..<first + inner)
      }
    }
    return try data.gathered(places, dims: dims)
  }

  /// For each index the place in the data that differs from the index's own place along `axis` only.
  private func elementPlaces(_ dims: [Int], _ indices: Tensor, _ axis: Int) throws(Failure) -> [Int] {
    let strides = rowMajorStrides(dims)
    for (other, size) in indices.dims.enumerated() where other != axis && size > dims[other] { throw mismatch("indices \(indices.dims) into \(dims)") }
    var fixed = strides
    fixed[axis] = 0
    let starts = offsets(dims: indices.dims, strides: fixed)
    var places: [Int] = []
    for (start, value) in zip(starts, try indices.wholes(for: mnemonic)) { places.append(start + (try index(value, of: dims[axis])) * strides[axis]) }
    return places
  }

  /// Where each block that an index tuple names starts, and how long a block is.
  private func blockStarts(_ dims: [Int], _ indices: Tensor, batch: Int) throws(Failure) -> (places: [Int], block: Int) {
    let depth = indices.dims[indices.dims.count - 1]
    let strides = rowMajorStrides(dims)
    let values = try indices.wholes(for: mnemonic)
    let block = dims[(batch + depth)...].reduce(1, *)
    let tuples = indices.dims.dropLast().reduce(1, *)
    let batches = dims[..<batch].reduce(1, *)
    let batchStride = dims[batch...].reduce(1, *)
    var places: [Int] = []
    for tuple in 0..<tuples {
      var place = batches == 0 ? 0 : tuple / (tuples / batches) * batchStride
      for level in 0..<depth { place += (try index(values[tuple * depth + level], of: dims[batch + level])) * strides[batch + level] }
      places.append(place)
    }
    return (places, block)
  }

  private func scattered(_ data: Tensor, _ updates: Tensor, _ places: [Int]) throws(Failure) -> Tensor {
    let both = try concatenated([data, updates], data.elementType)
    var sources = Array(0..<data.count)
    for (update, place) in places.enumerated() { sources[place] = data.count + update }
    return try both.gathered(sources, dims: data.dims)
  }
}
