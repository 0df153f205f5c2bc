public import Diagnostics
public import GraphIR
internal import Glibc
public import Tensors

extension NormalizationOp: Operator {
  public var mnemonic: String {
    switch self {
    case .layer: "LayerNormalization"
    case .rms: "RMSNormalization"
    case .batch: "BatchNormalization"
    case .instance: "InstanceNormalization"
    case .group: "GroupNormalization"
    case .lp: "LpNormalization"
    case .batchTraining: "BatchNormalization"
    case .localResponse: "LRN"
    case .meanVariance: "MeanVarianceNormalization"
    case .skipLayer: "SkipLayerNormalization"
    case .skipRMS: "SkipSimplifiedLayerNormalization"
    }
  }
  public var domain: String {
    switch self {
    case .skipLayer, .skipRMS: "com.microsoft"
    default: ""
    }
  }
  public var arity: Arity {
    switch self {
    case .layer: Arity(2...3, results: 1...3)
    case .rms: Arity(2...2, results: 1...2)
    case .batch: Arity(5...5)
    case .batchTraining: Arity(5...5, results: 1...3)
    case .instance, .group: Arity(3...3)
    case .lp, .localResponse, .meanVariance: Arity(1...1)
    case .skipLayer: Arity(3...5, results: 1...4)
    case .skipRMS: Arity(3...4, results: 1...4)
    }
  }

  public func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let type = try operands.required(0).type
    try checkFloat(type.element)
    switch self {
    case .layer(let axis, _), .rms(let axis, _):
      let rest = try normalizedRange(type.shape, axis)
      for index in operands.indices.dropFirst() {
        guard let own = operands[index]?.type.shape, let shape = type.shape, let rest else { continue }
        let part = Shape(Array(shape.dims[rest]))
        // scale and bias broadcast to the normalized axes, in one direction
        if own.rank > shape.rank { throw mismatch("scale or bias \(own) for normalized axes \(part)") }
        for (dim, size) in zip(own.dims.reversed(), shape.dims.reversed()) where dim.value != 1 {
          try checkAgree(dim, size, "scale or bias \(own) for normalized axes \(part)")
        }
      }
      guard resultCount > 1 else { return [Fact(type)] }
      let statistics = TensorType(
        .float32, type.shape.flatMap { shape in rest.map { rest in Shape(shape.dims.indices.map { rest.contains($0) ? 1 : shape[$0] }) } })
      return [Fact(type)] + (1..<resultCount).map { _ in Fact(statistics) }
    case .batch, .batchTraining, .instance, .group:
      func results(_ channels: Dim) -> [Fact] {
        guard case .batchTraining = self else { return [Fact(type)] }
        let statistics = TensorType(operands.fact(3)?.type.element ?? type.element, Shape([channels]))
        return Array([Fact(type), Fact(statistics), Fact(statistics)].prefix(resultCount))
      }
      guard let x = type.shape else { return results(.unknown) }
      guard x.rank >= 2 || (x.rank == 1 && arity.operands.lowerBound == 5) else { throw mismatch("an input of rank \(x.rank)") }
      let channels: Dim = x.rank == 1 ? 1 : x[1]
      if case .group(let groups, _) = self {
        guard groups > 0, channels.value.map({ $0 % groups == 0 }) ?? true else { throw mismatch("\(channels) channels in \(groups) groups") }
      }
      for index in operands.indices.dropFirst() {
        guard let own = operands[index]?.type.shape else { continue }
        guard own.rank == 1 else { throw mismatch("operand \(index) has shape \(own)") }
        try checkAgree(own[0], channels, "channels of operand \(index)")
      }
      return results(channels)
    case .localResponse(let size, _, _, _):
      guard size > 0 else { throw mismatch("a size of \(size)") }
      if let shape = type.shape, shape.rank < 2 { throw mismatch("an input of rank \(shape.rank)") }
      return [Fact(type)]
    case .meanVariance(let axes):
      if let shape = type.shape { _ = try self.axes(axes, rank: shape.rank) }
      return [Fact(type)]
    case .lp(let axis, _):
      if let shape = type.shape { _ = try self.axis(axis, rank: shape.rank) }
      return [Fact(type)]
    case .skipLayer, .skipRMS:
      let shape = type.shape
      if let shape, let skip = operands.fact(1)?.type.shape {
        guard shape.rank > 0, skip.rank <= shape.rank else { throw mismatch("input \(shape) and skip \(skip)") }
        for (dim, size) in zip(skip.dims.reversed(), shape.dims.reversed()) where dim.value != 1 {
          try checkAgree(dim, size, "input \(shape) and skip \(skip)")
        }
        for index in operands.indices.dropFirst(2) {
          guard let own = operands[index]?.type.shape else { continue }
          guard own.rank == 1 else { throw mismatch("operand \(index) has shape \(own)") }
          try checkAgree(own[0], shape[shape.rank - 1], "channels of operand \(index)")
        }
      }
      let statistics = TensorType(.float32, shape.map { Shape($0.dims.dropLast() + [1]) })
      return (0..<resultCount).map { $0 == 0 || $0 == 3 ? Fact(type) : Fact(statistics) }
    }
  }

  /// The axes from `axis` to the last.
  private func normalizedRange(_ shape: Shape?, _ axis: Int) throws(Failure) -> Range<Int>? {
    guard let shape else { return nil }
    return try self.axis(axis, rank: shape.rank)..<shape.rank
  }

  /// Mean, variance, scaling and shift each touch every element.
  public func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let count = results.first?.elementCount ?? 0
    switch self {
    case .batch: return Cost(elementwise: count &* 2)
    case .skipLayer, .skipRMS: return Cost(elementwise: count &* 6)
    default: return Cost(elementwise: count &* 5)
    }
  }

  public func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let types = try resultTypes(operands, resultCount)
    let dims = types[0].dims
    let element = types[0].element
    var values: [[Double]?] = []
    for operand in operands { values.append(try operand?.reals(for: mnemonic)) }
    let x = values[0] ?? []
    let channelCount = dims.count > 1 ? dims[1] : 1
    let plane = dims.dropFirst(2).reduce(1, *)
    func channel(_ index: Int) -> Int { plane == 0 ? 0 : index / plane % channelCount }
    func given(_ index: Int) -> [Double]? { index < values.count ? values[index] : nil }
    switch self {
    case .layer(let axis, let epsilon), .rms(let axis, let epsilon):
      let first = try self.axis(axis, rank: dims.count)
      let centered = if case .layer = self { true } else { false }
      let rows = standardized(x, row: dims[first...].reduce(1, *), epsilon: Double(epsilon), centered: centered)
      let scaleDims = operands.tensor(1)?.dims ?? []
      var y = broadcastMap(rows.values, dims, given(1) ?? [1], scaleDims, to: dims) { $0 * $1 }
      if let bias = given(2), let biasDims = operands.tensor(2)?.dims { y = broadcastMap(y, dims, bias, biasDims, to: dims) { $0 + $1 } }
      var results = [try Tensor(element, dims: dims, reals: y)]
      if case .rms = self {
        if resultCount > 1 { results.append(try Tensor(.float32, dims: types[1].dims, reals: rows.inverse)) }
      } else {
        if resultCount > 1 { results.append(try Tensor(.float32, dims: types[1].dims, reals: rows.mean)) }
        if resultCount > 2 { results.append(try Tensor(.float32, dims: types[2].dims, reals: rows.inverse)) }
      }
      return results
    case .batch(let epsilon):
      guard let scale = given(1), let bias = given(2), let mean = given(3), let variance = given(4) else { throw Failure(.operandCount, mnemonic) }
      let factor = zip(scale, variance).map { $0 / ($1 + Double(epsilon)).squareRoot() }
      let y = x.indices.map { index in
        let c = channel(index)
        return (x[index] - mean[c]) * factor[c] + bias[c]
      }
      return [try Tensor(element, dims: dims, reals: y)]
    case .batchTraining(let epsilon, let momentum):
      guard let scale = given(1), let bias = given(2), let mean = given(3), let variance = given(4) else { throw Failure(.operandCount, mnemonic) }
      let statistics = channelStatistics(x, channelCount, channel)
      let y = x.indices.map { index in
        let c = channel(index)
        return (x[index] - statistics.mean[c]) / (statistics.variance[c] + Double(epsilon)).squareRoot() * scale[c] + bias[c]
      }
      func moved(_ running: [Double], _ batch: [Double]) -> [Double] { zip(running, batch).map { $0 * Double(momentum) + $1 * (1 - Double(momentum)) } }
      var results = [try Tensor(element, dims: dims, reals: y)]
      if resultCount > 1 { results.append(try Tensor(types[1].element, dims: types[1].dims, reals: moved(mean, statistics.mean))) }
      if resultCount > 2 { results.append(try Tensor(types[2].element, dims: types[2].dims, reals: moved(variance, statistics.variance))) }
      return results
    case .localResponse(let size, let alpha, let beta, let bias):
      // An even size reaches one channel further forward.
      let y = AxisRows(dims, axis: 1).map(x) { row in
        row.indices.map { place in
          let near = max(0, place - (size - 1) / 2)...min(row.count - 1, place + min(size / 2, row.count))
          let squares = near.reduce(0) { $0 + row[$1] * row[$1] }
          return row[place] / pow(Double(bias) + Double(alpha) / Double(size) * squares, Double(beta))
        }
      }
      return [try Tensor(element, dims: dims, reals: y)]
    case .meanVariance(let axes):
      let reduced = try self.axes(axes, rank: dims.count).sorted()
      let strides = rowMajorStrides(dims)
      let kept = dims.indices.filter { !reduced.contains($0) }
      let places = offsets(dims: reduced.map { dims[$0] }, strides: reduced.map { strides[$0] })
      var y = x
      for start in offsets(dims: kept.map { dims[$0] }, strides: kept.map { strides[$0] }) {
        let count = Double(places.count)
        let mean = places.reduce(0) { $0 + x[start + $1] } / count
        let variance = places.reduce(0) { $0 + (x[start + $1] - mean) * (x[start + $1] - mean) } / count
        for place in places { y[start + place] = (x[start + place] - mean) / (variance.squareRoot() + 1e-9) }
      }
      return [try Tensor(element, dims: dims, reals: y)]
    case .instance(let epsilon), .group(_, let epsilon):
      guard let scale = given(1), let bias = given(2) else { throw Failure(.operandCount, mnemonic) }
      let perRow = if case .group(let groups, _) = self { channelCount / groups } else { 1 }
      let rows = standardized(x, row: perRow * plane, epsilon: Double(epsilon), centered: true)
      let y = rows.values.indices.map { index in rows.values[index] * scale[channel(index)] + bias[channel(index)] }
      return [try Tensor(element, dims: dims, reals: y)]
    case .lp(let axis, let p):
      let axis = try self.axis(axis, rank: dims.count)
      let y = AxisRows(dims, axis: axis).map(x) { row in
        let norm = p == 1 ? row.reduce(0) { $0 + abs($1) } : row.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return row.map { norm == 0 ? 0 : $0 / norm }
      }
      return [try Tensor(element, dims: dims, reals: y)]
    case .skipLayer(let epsilon), .skipRMS(let epsilon):
      return try skipped(operands, values, types, epsilon: Double(epsilon))
    }
  }

  private func skipped(_ operands: [Tensor?], _ values: [[Double]?], _ types: [(element: ElementType, dims: [Int])], epsilon: Double) throws(Failure)
    -> [Tensor]
  {
    let dims = types[0].dims
    let centered = if case .skipLayer = self { true } else { false }
    guard let x = values[0], let skip = values[1], let skipDims = operands.tensor(1)?.dims, let gamma = values[2] else {
      throw Failure(.operandCount, mnemonic)
    }
    var sum = broadcastMap(x, dims, skip, skipDims, to: dims) { $0 + $1 }
    let channels = [gamma.count]
    let biasIndex = centered ? 4 : 3
    if biasIndex < values.count, let bias = values[biasIndex] { sum = broadcastMap(sum, dims, bias, channels, to: dims) { $0 + $1 } }
    let rows = standardized(sum, row: gamma.count, epsilon: epsilon, centered: centered)
    var y = broadcastMap(rows.values, dims, gamma, channels, to: dims) { $0 * $1 }
    if centered, values.count > 3, let beta = values[3] { y = broadcastMap(y, dims, beta, channels, to: dims) { $0 + $1 } }
    var results: [Tensor] = []
    for index in types.indices {
      switch index {
      case 0: results.append(try Tensor(types[0].element, dims: dims, reals: y))
      case 1: results.append(try Tensor(.float32, dims: types[1].dims, reals: rows.mean))
      case 2: results.append(try Tensor(.float32, dims: types[2].dims, reals: rows.inverse))
      default: results.append(try Tensor(types[index].element, dims: dims, reals: sum))
      }
    }
    return results
  }
}

/// Mean and variance of each channel's elements.
private func channelStatistics(_ x: [Double], _ count: Int, _ channel: (Int) -> Int) -> (mean: [Double], variance: [Double]) {
  var sums = [Double](repeating: 0, count: count)
  var squares = sums
  let size = Double(count == 0 ? 0 : x.count / count)
  for (index, value) in x.enumerated() { sums[channel(index)] += value }
  let mean = sums.map { $0 / size }
  for (index, value) in x.enumerated() {
    let distance = value - mean[channel(index)]
    squares[channel(index)] += distance * distance
  }
  return (mean, squares.map { $0 / size })
}

/// Rows of `row` consecutive elements, each brought to mean 0 (when `centered`) and mean square 1.
private func standardized(_ x: [Double], row: Int, epsilon: Double, centered: Bool) -> (values: [Double], mean: [Double], inverse: [Double]) {
  var values = x
  var means: [Double] = []
  var inverses: [Double] = []
  guard row > 0 else { return (values, means, inverses) }
  for start in stride(from: 0, to: x.count, by: row) {
    var mean = 0.0
    if centered {
      for index in start..<start + row { mean += x[index] }
      mean /= Double(row)
    }
    var square = 0.0
    for index in start..<start + row { square += (x[index] - mean) * (x[index] - mean) }
    let inverse = 1 / (square / Double(row) + epsilon).squareRoot()
    for index in start..<start + row { values[index] = (x[index] - mean) * inverse }
    means.append(mean)
    inverses.append(inverse)
  }
  return (values, means, inverses)
}

/// The rows of an array along one axis.
struct AxisRows {
  let outer: Int
  let length: Int
  let inner: Int

  init(_ dims: [Int], axis: Int) {
    outer = dims[..<axis].reduce(1, *)
    length = dims[axis]
    inner = dims[(axis + 1)...].reduce(1, *)
  }

  /// The array with each row replaced by what `body` makes of it.
  func map(_ x: [Double], _ body: ([Double]) -> [Double]) -> [Double] {
    var result = x
    var row = [Double](repeating: 0, count: length)
    for first in 0..<outer {
      for last in 0..<inner {
        let start = first * length * inner + last
        for index in 0..<length { row[index] = x[start + index * inner] }
        let made = body(row)
        for index in 0..<length { result[start + index * inner] = made[index] }
      }
    }
    return result
  }
}
