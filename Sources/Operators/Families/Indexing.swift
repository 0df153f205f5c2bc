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
    case .tensorScatter: "TensorScatter"
    case .resize: "Resize"
    case .trilu: "Trilu"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .gather, .gatherElements, .gatherND: Arity(2...2)
    case .scatterND, .scatterElements: Arity(3...3)
    case .tensorScatter: Arity(2...3)
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
      let value = reduction == .none ? ShapeArithmetic.moved(by: self, operands, moved: [0, 2], resultCount: 1)[0] : nil
      return [Fact(data.type, value: value)]
    case .tensorScatter(let axis, _):
      _ = try operands.sharedElement([0, 1], of: mnemonic)
      try checkCache(data.type.shape, try operands.required(1).type.shape, operands.fact(2), axis)
      return [Fact(data.type)]
    case .resize(let form): return [Fact(TensorType(data.type.element, try form.shape(data.type.shape, operands)))]
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

  private var reduction: ScatterReduction {
    switch self {
    case .scatterND(let reduction), .scatterElements(_, let reduction): reduction
    default: .none
    }
  }

  /// A cache and its update differ in the axis of tokens alone, and there is one write index for each sample.
  private func checkCache(_ cache: Shape?, _ update: Shape?, _ indices: Fact?, _ axis: Int) throws(Failure) {
    if let indices {
      guard indices.type.element == .int64 else { throw Failure(.typeMismatch, "\(mnemonic) has indices of \(indices.type.element.name)") }
    }
    guard let cache, let update else { return }
    let axis = try self.axis(axis, rank: cache.rank)
    guard axis > 0, update.rank == cache.rank else { throw mismatch("update \(update) of axis \(axis) of \(cache)") }
    for other in cache.dims.indices where other != axis { try checkAgree(update[other], cache[other], "update \(update) of \(cache)") }
    if let new = update[axis].value, let size = cache[axis].value, new > size { throw mismatch("\(new) tokens for a cache of \(size)") }
    if let own = indices?.type.shape {
      guard own.rank == 1 else { throw mismatch("indices of shape \(own)") }
      try checkAgree(own[0], cache[0], "write indices and batch")
    }
  }

  private func checkScatter(_ data: Shape?, _ indices: Shape?, _ updates: Shape?) throws(Failure) {
    guard let data, let indices, let updates else { return }
    if case .scatterElements(let axis, _) = self {
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
    case .tensorScatter(let axis, let circular): return [try updated(data, operands, try self.axis(axis, rank: data.dims.count), circular)]
    case .scatterElements(let axis, _):
      return [try scattered(data, try operands.required(2), try elementPlaces(data.dims, try operands.required(1), try self.axis(axis, rank: data.dims.count)))]
    case .resize(let form):
      return [try form.evaluate(data, try form.axes(operands, from: data.dims, to: dims), element, dims)]
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
    if reduction != .none { return try reduced(data, updates, places) }
    let both = try concatenated([data, updates], data.elementType)
    var sources = Array(0..<data.count)
    for (update, place) in places.enumerated() { sources[place] = data.count + update }
    return try both.gathered(sources, dims: data.dims)
  }

  /// Updates are folded into the data one after the other.
  private func reduced(_ data: Tensor, _ updates: Tensor, _ places: [Int]) throws(Failure) -> Tensor {
    func folded<T>(_ data: [T], _ updates: [T], _ body: (T, T) -> T) -> [T] {
      var result = data
      for (update, place) in zip(updates, places) { result[place] = body(result[place], update) }
      return result
    }
    if data.elementType == .bool {
      let (x, y) = (data.truths(), updates.truths())
      let any = reduction == .add || reduction == .maximum
      return try Tensor(dims: data.dims, truths: folded(x, y) { any ? $0 || $1 : $0 && $1 })
    }
    if data.elementType.isFloatingPoint {
      let (x, y) = (try data.reals(for: mnemonic), try updates.reals(for: mnemonic))
      let result: [Double]
      switch reduction {
      case .add, .none: result = folded(x, y) { $0 + $1 }
      case .multiply: result = folded(x, y) { $0 * $1 }
      case .minimum: result = folded(x, y) { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }
      case .maximum: result = folded(x, y) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
      }
      return try Tensor(data.elementType, dims: data.dims, reals: result)
    }
    let (x, y) = (try data.wholes(for: mnemonic), try updates.wholes(for: mnemonic))
    switch reduction {
    case .add, .none: return try Tensor(data.elementType, dims: data.dims, wholes: folded(x, y) { $0 &+ $1 })
    case .multiply: return try Tensor(data.elementType, dims: data.dims, wholes: folded(x, y) { $0 &* $1 })
    case .minimum, .maximum:
      let (a, b) = (try data.ordered(for: mnemonic), try updates.ordered(for: mnemonic))
      let least = reduction == .minimum
      return try Tensor(data.elementType, dims: data.dims, ordered: folded(a, b) { least ? min($0, $1) : max($0, $1) })
    }
  }

  /// TensorScatter: each sample's update goes to the cache from the sample's write index on.
  private func updated(_ cache: Tensor, _ operands: [Tensor?], _ axis: Int, _ circular: Bool) throws(Failure) -> Tensor {
    let update = try operands.required(1)
    let starts = try operands.tensor(2)?.wholes(for: mnemonic)
    let rows = AxisRows(cache.dims, axis: axis)
    let new = update.dims[axis]
    let perSample = cache.dims[1..<axis].reduce(1, *)
    var sources = Array(0..<cache.count)
    for outer in 0..<rows.outer {
      let start = starts?[outer / perSample] ?? 0
      guard start >= 0, circular || start <= rows.length - new else {
        throw Failure(.indexOutOfRange, "\(mnemonic): \(new) tokens from \(start) on in a cache of \(rows.length)")
      }
      for token in 0..<new {
        let place = (start % max(rows.length, 1) + token) % max(rows.length, 1)
        let target = (outer * rows.length + place) * rows.inner
        let source = cache.count + (outer * new + token) * rows.inner
        for inner in 0..<rows.inner { sources[target + inner] = source + inner }
      }
    }
    return try concatenated([cache, update], cache.elementType).gathered(sources, dims: cache.dims)
  }
}
