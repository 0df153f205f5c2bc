public import Diagnostics
public import GraphIR
public import Tensors

extension LayoutOp {
  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let x = try operands.required(0)
    let dims = types[0].dims
    let strides = rowMajorStrides(x.dims)
    switch self {
    case .reshape, .squeeze, .unsqueeze, .flatten:
      guard dims.checkedProduct == x.count else { throw mismatch("\(x.dims) cannot become \(dims)") }
      return [try x.reshaped(dims)]
    case .transpose(let permutation):
      let order = try order(permutation, rank: x.dims.count)
      return [try x.gathered(offsets(dims: dims, strides: order.map { strides[$0] }), dims: dims)]
    case .expand:
      return [try x.gathered(offsets(dims: dims, strides: Broadcasting.strides(of: x.dims, in: dims)), dims: dims)]
    case .concat(let axis): return [try joined(operands, try self.axis(axis, rank: dims.count), dims)]
    case .split(let axis):
      let axis = try self.axis(axis, rank: x.dims.count)
      var results: [Tensor] = []
      var first = 0
      for type in types {
        results.append(try x.gathered(offsets(dims: type.dims, strides: strides, from: first * strides[axis]), dims: type.dims))
        first += type.dims[axis]
      }
      return results
    case .slice: return [try sliced(x, operands, dims)]
    case .pad(let mode): return [try padded(x, operands, mode, dims)]
    case .tile:
      // Each axis becomes two: which repetition, and where in it.
      let split = x.dims.indices.flatMap { [x.dims[$0] == 0 ? 0 : dims[$0] / x.dims[$0], x.dims[$0]] }
      return [try x.gathered(offsets(dims: split, strides: strides.flatMap { [0, $0] }), dims: dims)]
    case .depthToSpace(let block, let columnRowDepth):
      let channels = dims[1]
      let split = columnRowDepth ? [x.dims[0], channels, block, block, x.dims[2], x.dims[3]] : [x.dims[0], block, block, channels, x.dims[2], x.dims[3]]
      let order = columnRowDepth ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]
      return [try x.gathered(reordered(split, order), dims: dims)]
    case .spaceToDepth(let block, let columnRowDepth):
      let order = columnRowDepth ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]
      return [try x.gathered(reordered([x.dims[0], x.dims[1], dims[2], block, dims[3], block], order), dims: dims)]
    case .centerCropPad: return [try centered(x, dims)]
    case .reverseSequence(let time, _): return [try reversed(x, try operands.required(1).wholes(for: mnemonic), time: time)]
    }
  }

  private func reordered(_ dims: [Int], _ order: [Int]) -> [Int] {
    let strides = rowMajorStrides(dims)
    return offsets(dims: order.map { dims[$0] }, strides: order.map { strides[$0] })
  }

  private func joined(_ operands: [Tensor?], _ axis: Int, _ dims: [Int]) throws(Failure) -> Tensor {
    let parts = operands.compactMap { $0 }
    let all = try concatenated(parts, parts[0].elementType)
    let outer = dims[..<axis].reduce(1, *)
    let inner = dims[(axis + 1)...].reduce(1, *)
    var places: [Int] = []
    places.reserveCapacity(dims.reduce(1, *))
    for row in 0..<outer {
      var start = 0
      for part in parts {
        let length = part.dims[axis] * inner
        let first = start + row * length
        places.append(contentsOf: first..<first + length)
        start += part.count
      }
    }
    return try all.gathered(places, dims: dims)
  }

  private func sliced(_ x: Tensor, _ operands: [Tensor?], _ dims: [Int]) throws(Failure) -> Tensor {
    let facts = operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    guard let bounds = try SliceBounds(facts, shape: Shape(x.dims), of: self) else { throw Failure(.operatorNotRunnable, "Slice: bounds are not known") }
    var strides = rowMajorStrides(x.dims)
    var start = 0
    for (position, axis) in bounds.axes.enumerated() {
      guard let from = bounds.starts[position].value, let to = bounds.ends[position].value else {
        throw Failure(.operatorNotRunnable, "Slice: bounds are not known")
      }
      let range = SliceBounds.range(from, to, bounds.steps[position], size: x.dims[axis])
      start += range.count > 0 ? range.first * strides[axis] : 0
      strides[axis] = strides[axis] &* bounds.steps[position]
    }
    return try x.gathered(offsets(dims: dims, strides: strides, from: start), dims: dims)
  }

  /// Cropped elements are taken from both sides alike, the odd one from the end; padding likewise.
  private func centered(_ x: Tensor, _ dims: [Int]) throws(Failure) -> Tensor {
    let strides = rowMajorStrides(x.dims)
    var places: [Int] = []
    places.reserveCapacity(dims.reduce(1, *))
    let shifts = zip(x.dims, dims).map { $0 > $1 ? ($0 - $1) / 2 : -(($1 - $0) / 2) }
    forEachIndex(dims) { index in
      var place = 0
      for axis in index.indices {
        let own = index[axis] + shifts[axis]
        guard 0..<x.dims[axis] ~= own else {
          place = -1
          break
        }
        place += own * strides[axis]
      }
      places.append(place)
    }
    return try x.gathered(places, dims: dims)
  }

  private func reversed(_ x: Tensor, _ lengths: [Int], time: Int) throws(Failure) -> Tensor {
    let (first, second) = (x.dims[0], x.dims[1])
    let inner = x.dims[2...].reduce(1, *)
    var places: [Int] = []
    places.reserveCapacity(x.count)
    let steps = time == 0 ? first : second
    if let wrong = lengths.first(where: { !(0...steps).contains($0) }) {
      throw Failure(.indexOutOfRange, "\(mnemonic): a length of \(wrong) in \(steps) steps")
    }
    for row in 0..<first {
      for column in 0..<second {
        let (step, sample) = time == 0 ? (row, column) : (column, row)
        let from = step < lengths[sample] ? lengths[sample] - 1 - step : step
        let start = (time == 0 ? from * second + column : row * second + from) * inner
        places.append(contentsOf: start..<start + inner)
      }
    }
    return try x.gathered(places, dims: x.dims)
  }

  private func padded(_ x: Tensor, _ operands: [Tensor?], _ mode: PadMode, _ dims: [Int]) throws(Failure) -> Tensor {
    let pads = try operands.required(1).wholes(for: mnemonic)
    let axes = try padAxes(operands.tensor(3).map { Fact($0.type, value: .tensor($0)) }, rank: x.dims.count) ?? []
    var begins = [Int](repeating: 0, count: x.dims.count)
    for (index, axis) in axes.enumerated() { begins[axis] = pads[index] }
    let strides = rowMajorStrides(x.dims)
    // For each axis the offset that each of its places is read from, nil outside the data.
    var sources: [[Int?]] = []
    for axis in dims.indices {
      let size = x.dims[axis]
      guard size > 0 || mode == .constant else { throw mismatch("an empty axis has nothing to repeat") }
      sources.append(
        (0..<dims[axis]).map { place in
          let position = place - begins[axis]
          if position >= 0, position < size { return position * strides[axis] }
          switch mode {
          case .constant: return nil
          case .edge: return (position < 0 ? 0 : size - 1) * strides[axis]
          case .wrap: return ((position % size + size) % size) * strides[axis]
          case .reflect:
            if size == 1 { return 0 }
            let period = 2 * (size - 1)
            let folded = (position % period + period) % period
            return (folded < size ? folded : period - folded) * strides[axis]
          }
        })
    }
    var places: [Int] = []
    places.reserveCapacity(dims.reduce(1, *))
    forEachIndex(dims) { index in
      var place = 0
      for axis in index.indices {
        guard let offset = sources[axis][index[axis]] else {
          place = -1
          break
        }
        place += offset
      }
      places.append(place)
    }
    return try x.gathered(places, dims: dims, fill: operands.tensor(2))
  }
}
