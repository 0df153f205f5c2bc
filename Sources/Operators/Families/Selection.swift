public import Diagnostics
public import GraphIR
public import Tensors

extension SelectionOp: Operator {
  public var mnemonic: String {
    switch self {
    case .topK: "TopK"
    case .nonZero: "NonZero"
    case .unique: "Unique"
    case .compress: "Compress"
    case .oneHot: "OneHot"
    }
  }
  public var domain: String { "" }
  public var arity: Arity {
    switch self {
    case .topK: Arity(2...2, results: 1...2)
    case .nonZero: Arity(1...1)
    case .unique: Arity(1...1, results: 1...4)
    case .compress: Arity(2...2)
    case .oneHot: Arity(3...3)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0).type
    switch self {
    case .topK(let axis, _):
      try checkNumeric(x.element)
      let count = try operands.required(1)
      guard count.type.element == .int64 else { throw Failure(.typeMismatch, "TopK has a count of \(count.type.element.name)") }
      guard var shape = x.shape else { return types([TensorType(x.element, nil), TensorType(.int64, nil)], resultCount) }
      let place = try self.axis(axis, rank: shape.rank)
      var taken = Dim.unknown
      if let known = count.value?.dimensions {
        guard known.count == 1 else { throw mismatch("\(known.count) counts") }
        taken = known[0]
      }
      if let k = taken.value {
        guard k >= 0, shape[place].value.map({ k <= $0 }) ?? true else { throw mismatch("\(k) elements of an axis of \(shape[place])") }
      }
      shape.dims[place] = taken
      return types([TensorType(x.element, shape), TensorType(.int64, shape)], resultCount)
    case .nonZero: return [Fact(TensorType(.int64, Shape([x.shape.map { Dim($0.rank) } ?? .unknown, .unknown])))]
    case .unique(let axis, _):
      var shape: Shape? = Shape([Dim.unknown])
      if let axis {
        shape = x.shape
        if let rank = x.shape?.rank { shape?.dims[try self.axis(axis, rank: rank)] = .unknown }
      }
      let indices = TensorType(.int64, Shape([Dim.unknown]))
      return types([TensorType(x.element, shape), indices, indices, indices], resultCount)
    case .compress(let axis):
      let condition = try operands.required(1).type
      guard condition.element == .bool else { throw Failure(.typeMismatch, "Compress has a condition of \(condition.element.name)") }
      if let shape = condition.shape, shape.rank != 1 { throw mismatch("a condition of shape \(shape)") }
      guard let axis else { return [Fact(TensorType(x.element, Shape([Dim.unknown])))] }
      guard var shape = x.shape else { return [Fact(TensorType(x.element, nil))] }
      shape.dims[try self.axis(axis, rank: shape.rank)] = .unknown
      return [Fact(TensorType(x.element, shape))]
    case .oneHot(let axis):
      try checkNumeric(x.element)
      let depth = try operands.required(1)
      let values = try operands.required(2).type
      try checkNumeric(depth.type.element)
      if let shape = values.shape { guard shape.rank == 1, shape[0].agrees(with: 2) else { throw mismatch("values of shape \(shape)") } }
      guard var shape = x.shape else { return [Fact(TensorType(values.element, nil))] }
      var size = Dim.unknown
      if let known = depth.value?.dimensions {
        guard known.count == 1 else { throw mismatch("\(known.count) depths") }
        size = known[0]
      } else if case .tensor(let tensor)? = depth.value, let number = tensor.scalar {
        guard let whole = Int(exactly: number.rounded(.towardZero)) else { throw mismatch("a depth of \(number)") }
        size = Dim(whole)
      }
      if let value = size.value, value < 0 { throw mismatch("a depth of \(value)") }
      shape.dims.insert(size, at: try self.axis(axis, rank: shape.rank + 1))
      return [Fact(TensorType(values.element, shape))]
    }
  }

  private func types(_ list: [TensorType], _ count: Int) -> [Fact] { list.prefix(count).map { Fact($0) } }

  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    switch self {
    case .topK, .unique:
      // Comparisons of a sort.
      let count = operands.first??.elementCount ?? 0
      return Cost(elementwise: count &* max(1, Int.bitWidth - count.leadingZeroBitCount))
    case .nonZero, .compress, .oneHot: return Cost()
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    try checkRunnable(x.dims)
    let facts = try infer(operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }, resultCount: resultCount)
    switch self {
    case .topK(let axis, let largest):
      let (_, dims) = try resultTypes(operands, resultCount)[0]
      return Array(try top(x, try self.axis(axis, rank: dims.count), largest, dims).prefix(resultCount))
    case .nonZero:
      let strides = rowMajorStrides(x.dims)
      let places = try nonZeroPlaces(x)
      let indices = x.dims.indices.flatMap { axis in places.map { $0 / strides[axis] % x.dims[axis] } }
      return [try Tensor(.int64, dims: [x.dims.count, places.count], wholes: indices)]
    case .unique(let axis, let sorted):
      return Array(try distinct(x, try axis.map { (axis) throws(Failure) in try self.axis(axis, rank: x.dims.count) }, sorted).prefix(resultCount))
    case .compress(let axis):
      let chosen = try operands.required(1).truths().enumerated().filter(\.element).map(\.offset)
      let place = try axis.map { (axis) throws(Failure) in try self.axis(axis, rank: x.dims.count) }
      let rows = place.map { AxisRows(x.dims, axis: $0) } ?? AxisRows([x.count], axis: 0)
      if let last = chosen.last, last >= rows.length { throw Failure(.indexOutOfRange, "Compress: element \(last) of an axis of \(rows.length)") }
      var dims = place == nil ? [0] : x.dims
      dims[place ?? 0] = chosen.count
      return [try x.gathered(rows.slices(chosen), dims: dims)]
    case .oneHot:
      guard let dims = facts[0].type.shape?.concrete else { throw mismatch("the depth is not known") }
      try checkRunnable(dims)
      guard case .oneHot(let axis) = self else { return [] }
      let rows = AxisRows(dims, axis: try self.axis(axis, rank: dims.count))
      let indices = x.elementType.isFloatingPoint ? try x.reals(for: mnemonic).map { saturated($0) } : try x.wholes(for: mnemonic)
      var places = [Int](repeating: 0, count: dims.reduce(1, *))
      for (place, index) in indices.enumerated() {
        let counted = index < 0 ? index &+ rows.length : index
        guard 0..<rows.length ~= counted else { continue }
        places[(place / rows.inner * rows.length + counted) * rows.inner + place % rows.inner] = 1
      }
      return [try operands.required(2).gathered(places, dims: dims)]
    }
  }

  private func nonZeroPlaces(_ x: Tensor) throws(Failure) -> [Int] {
    if x.elementType.isFloatingPoint { return try x.reals(for: mnemonic).enumerated().filter { $0.element != 0 }.map(\.offset) }
    return try x.wholes(for: mnemonic).enumerated().filter { $0.element != 0 }.map(\.offset)
  }

  private func top(_ x: Tensor, _ axis: Int, _ largest: Bool, _ dims: [Int]) throws(Failure) -> [Tensor] {
    let keys = try x.sortingKeys(for: mnemonic)
    let rows = AxisRows(x.dims, axis: axis)
    let count = dims[axis]
    var indices = [Int](repeating: 0, count: dims.reduce(1, *))
    var places = indices
    for outer in 0..<rows.outer {
      for inner in 0..<rows.inner {
        let start = outer * rows.length * rows.inner + inner
        let order = (0..<rows.length).sorted { a, b in
          let (first, second) = (keys[start + a * rows.inner], keys[start + b * rows.inner])
          return first == second ? a < b : largest ? first > second : first < second
        }
        for (rank, index) in order.prefix(count).enumerated() {
          let target = (outer * count + rank) * rows.inner + inner
          indices[target] = index
          places[target] = start + index * rows.inner
        }
      }
    }
    return [try x.gathered(places, dims: dims), try Tensor(.int64, dims: dims, wholes: indices)]
  }

  private func distinct(_ x: Tensor, _ axis: Int?, _ sorted: Bool) throws(Failure) -> [Tensor] {
    let keys = try x.sortingKeys(for: mnemonic)
    let rows = axis.map { AxisRows(x.dims, axis: $0) } ?? AxisRows([x.count], axis: 0)
    let slices = (0..<rows.length).map { index in rows.slices([index]).map { keys[$0] } }
    var known: [[Int]: Int] = [:]
    var firsts: [Int] = []
    var counts: [Int] = []
    var groups: [Int] = []
    for (index, slice) in slices.enumerated() {
      let group = known[slice] ?? firsts.count
      if group == firsts.count {
        known[slice] = group
        firsts.append(index)
        counts.append(0)
      }
      counts[group] += 1
      groups.append(group)
    }
    var order = Array(firsts.indices)
    if sorted { order.sort { slices[firsts[$0]].lexicographicallyPrecedes(slices[firsts[$1]]) } }
    var rank = order
    for (place, group) in order.enumerated() { rank[group] = place }
    var dims = axis == nil ? [0] : x.dims
    dims[axis ?? 0] = order.count
    let chosen = order.map { firsts[$0] }
    return [
      try x.gathered(rows.slices(chosen), dims: dims), try Tensor(.int64, dims: [order.count], wholes: chosen),
      try Tensor(.int64, dims: [groups.count], wholes: groups.map { rank[$0] }),
      try Tensor(.int64, dims: [order.count], wholes: order.map { counts[$0] }),
    ]
  }
}

extension AxisRows {
  /// The places of the elements of some slices along the axis, as they lie in an array of these slices alone.
  func slices(_ indices: [Int]) -> [Int] {
    var places: [Int] = []
    places.reserveCapacity(outer * indices.count * inner)
    for first in 0..<outer {
      for index in indices {
        let start = (first * length + index) * inner
        places.append(contentsOf: start..<start + inner)
      }
    }
    return places
  }
}

extension Tensor {
  /// Integers in the order of the elements, equal where elements are: -0 is 0, and NaN comes last.
  func sortingKeys(for mnemonic: String) throws(Failure) -> [Int] {
    if case .strings(let strings) = storage {
      var rank: [[UInt8]: Int] = [:]
      for (index, text) in Set(strings).sorted(by: { $0.lexicographicallyPrecedes($1) }).enumerated() { rank[text] = index }
      return strings.map { rank[$0] ?? 0 }
    }
    guard elementType.isFloatingPoint else { return try ordered(for: mnemonic) }
    return try reals(for: mnemonic).map { value in
      if value.isNaN { return .max }
      let bits = Int(bitPattern: UInt((value + 0).bitPattern))
      return bits < 0 ? .min - bits : bits
    }
  }
}
