internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Dimensions without the batch, of which one may be open, for `count` elements.
  func target(_ dims: [Int], of value: ValueID, from axis: Int = 1, _ call: LayerCall) throws(Failure) -> [Dim] {
    let own = try e.shape(value)
    guard own.count >= axis, dims.allSatisfy({ $0 >= -1 }), dims.filter({ $0 == -1 }).count <= 1 else { throw call.wrong("the shape \(dims) is no shape") }
    guard let open = dims.firstIndex(of: -1) else { return Array(own[..<axis]) + dims.map { Dim($0) } }
    guard let all = Shape.product(own[axis...]), let known = dims.filter({ $0 != -1 }).checkedProduct, let rest = all.dividedExactly(by: Dim(known)) else {
      throw call.wrong("\(Shape(own)) cannot become \(dims)")
    }
    var result = dims.map { Dim($0) }
    result[open] = rest
    return Array(own[..<axis]) + result
  }

  mutating func reshaping(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    let rank = try e.rank(x)
    let isSpatial = ["ZeroPadding", "Cropping", "UpSampling"].contains { call.layer.className.hasPrefix($0) }
    guard rank >= (isSpatial ? 3 : 1) else { throw call.wrong("its input has rank \(rank)") }
    switch call.layer.className {
    case "Reshape":
      guard
        let dims = call.config["target_shape"]?.ints ?? (call.config["target_shape"]?.int).map({ [$0] })
          ?? call.config["newshape"]?.ints?.dropFirst().map({ $0 })
      else {
        throw call.wrong("'target_shape' is missing")
      }
      return try e.reshape(x, try target(dims, of: x, call))
    case "Permute":
      guard let dims = call.config["dims"]?.ints, dims.sorted() == Array(1..<max(rank, 1)) else { throw call.wrong("'dims' is no order of the axes") }
      return try e.transpose(x, [0] + dims)
    case "Flatten":
      let turned = call.isChannelsFirst && rank > 2 ? try e.transpose(x, [0] + Array(2..<rank) + [1]) : x
      if rank == 1 { return try e.unsqueeze(x, [1]) }
      return try e.reshape(turned, try target([-1], of: turned, call))
    case "RepeatVector":
      let n = try call.positive("n")
      let row = try e.unsqueeze(x, [1])
      return try e.emit(.layout(.tile), [row, try e.integers([1, n, 1])], "Tile")
    case "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D":
      let pairs = try pairs(call, "padding", rank - 2)
      return try e.pad(x, before: around(pairs.map { $0[0] }, call), after: around(pairs.map { $0[1] }, call))
    case "Cropping1D", "Cropping2D", "Cropping3D":
      let pairs = try pairs(call, "cropping", rank - 2)
      var y = x
      for (index, pair) in pairs.enumerated() where pair != [0, 0] {
        let axis = call.isChannelsFirst ? 2 + index : 1 + index
        y = try e.slice(y, axis: axis, from: pair[0], to: pair[1] == 0 ? Int(Int32.max) : -pair[1])
      }
      return y
    default:
      let factors =
        call.config["size"]?.ints ?? (call.config["size"]?.int).map { [Int](repeating: $0, count: rank - 2) } ?? [Int](repeating: 2, count: rank - 2)
      guard factors.count == rank - 2, factors.allSatisfy({ (1...4096).contains($0) }) else { throw call.wrong("'size' is wrong") }
      let first = call.isChannelsFirst ? 2 : 1
      let interpolation = call.word("interpolation", "nearest")
      // Repetition needs no sizes, so that axes may be open.
      if interpolation == "nearest" { return try upsampled(x, factors, first: first) }
      var sizes: [Int] = []
      for (index, factor) in factors.enumerated() {
        let size = try e.size(x, first + index)
        guard size <= 1 << 20 else { throw call.refused("an image of \(size) rows or columns") }
        sizes.append(size * factor)
      }
      return try resized(x, Resampling(sizes, interpolation), channelsFirst: call.isChannelsFirst, call)
    }
  }

  /// One number for each axis, zeros for batch and channels.
  private func around(_ values: [Int], _ call: LayerCall) -> [Int] { call.isChannelsFirst ? [0, 0] + values : [0] + values + [0] }

  private func pairs(_ call: LayerCall, _ key: String, _ count: Int) throws(Failure) -> [[Int]] {
    var result: [[Int]] = []
    if let all = call.config[key]?.int {
      result = [[Int]](repeating: [all, all], count: max(count, 0))
    } else if count == 1, let pair = call.config[key]?.ints {
      result = [pair]
    } else if let list = call.config[key]?.array {
      for entry in list {
        if let pair = entry.ints { result.append(pair) } else if let both = entry.int { result.append([both, both]) }
      }
    }
    guard result.count == count, result.allSatisfy({ $0.count == 2 && $0.allSatisfy { (0...(1 << 20)).contains($0) } }) else {
      throw call.wrong("'\(key)' is wrong")
    }
    return result
  }

  mutating func preprocessing(_ call: LayerCall) throws(Failure) -> ValueID {
    // Images of bytes become numbers of the layer's type first.
    let x = try e.cast(try input(call), policy(call.config).compute)
    switch call.layer.className {
    case "Rescaling":
      let scaled = try scaledBy(x, call.config["scale"], standard: 1, .multiply, "Mul", call)
      return try scaledBy(scaled, call.config["offset"], standard: 0, .add, "Add", call)
    case "Normalization": return try adapted(x, call)
    case "Resizing":
      let sizes = [try call.positive("height"), try call.positive("width")]
      return try resized(x, Resampling(sizes, call.word("interpolation", "bilinear"), options: call.config), channelsFirst: call.isChannelsFirst, call)
    default: return try centerCropped(x, [try call.positive("height"), try call.positive("width")], call)
    }
  }

  /// One number, or one for each channel.
  private mutating func scaledBy(_ x: ValueID, _ json: JSON?, standard: Double, _ op: BinaryOp, _ label: String, _ call: LayerCall) throws(Failure) -> ValueID {
    if let number = json?.double ?? (json == nil ? standard : nil) {
      return number == standard ? x : try e.emit(.binary(op), [x, try e.scalar(number, like: x)], label)
    }
    guard let json, let array = KerasBuilder.nested(json) else { throw call.wrong("its numbers cannot be read") }
    return try e.emit(.binary(op), [x, try e.floats(array.values, dims: array.dims, try e.element(x), label)], label)
  }

  /// (x − mean)/max(√variance, 1e-7), or the way back.
  private mutating func adapted(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let element = try e.element(x)
    var axes =
      call.config["axis"]?.ints ?? (call.config["axis"]?.int).map { [$0] } ?? (call.config["axis"] == nil && call.config.object?["axis"] != nil ? [] : [-1])
    for index in axes.indices { axes[index] = try e.axis(axes[index], rank: rank) }
    func moments(_ key: String, _ index: Int) throws(Failure) -> Tensor {
      if let json = call.config[key], let array = KerasBuilder.nested(json) { return try Tensor.filled(array.values, dims: array.dims, .float32) }
      return try store.variable(call.path, [key], index)
    }
    func laid(_ tensor: Tensor) throws(Failure) -> (values: [Double], dims: [Int]) {
      guard let values = tensor.doubles() else { throw call.wrong("its statistics are \(tensor.type)") }
      if values.count == 1 { return (values, []) }
      if tensor.dims.count == rank { return (values, tensor.dims) }
      var dims = [Int](repeating: 1, count: rank)
      for axis in axes { dims[axis] = try e.size(x, axis) }
      guard dims.checkedProduct == values.count else { throw call.wrong("\(values.count) statistics along \(axes)") }
      return (values, dims)
    }
    let mean = try laid(try moments("mean", 0))
    let variance = try laid(try moments("variance", 1))
    let deviation = variance.values.map { max($0.squareRoot(), 1e-7) }
    let center = try e.floats(mean.values, dims: mean.dims, element, "mean")
    let scale = try e.floats(deviation, dims: variance.dims, element, "deviation")
    if call.flag("invert", false) { return try e.add(try e.multiply(x, scale), center) }
    return try e.divide(try e.subtract(x, center), scale)
  }
}
