internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// `keras.ops.image`; nil for a name that is none of them.
  mutating func imageOperation(_ name: String, _ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID? {
    let isFirst = argument(Int.max, "data_format")?.string == "channels_first"
    let rank = try e.rank(x)
    let first = isFirst ? rank - 2 : rank - 3
    switch name {
    case "ExtractPatches":
      return try patches(
        x, argument(1, "size"), argument(2, "strides"), argument(4, "padding")?.string ?? argument(3, "padding")?.string ?? "valid",
        dilation: argument(3, "dilation_rate")?.ints?.first ?? 1, call)
    case "Resize":
      guard let size = argument(1, "size")?.ints, size.count == 2 else { throw call.wrong("'size' is missing") }
      return try resized(
        x, Resampling(size, argument(2, "interpolation")?.string ?? "bilinear", options: call.config), channelsFirst: isFirst, call)
    case "RGBToGrayscale":
      let axis = isFirst ? first - 1 : rank - 1
      guard axis >= 0, try e.size(x, axis) == 3 else { throw call.wrong("its image has not three channels") }
      return try mapped(x, axis: axis, [0.2989, 0.587, 0.114], rows: 3, columns: 1)
    case "PadImages", "CropImages":
      guard first >= 0 else { throw call.wrong("it is called with no image") }
      let isPad = name == "PadImages"
      let suffix = isPad ? "padding" : "cropping"
      var around: [(Int, Int)] = []
      for (index, (begin, end, total)) in [("top", "bottom", "target_height"), ("left", "right", "target_width")].enumerated() {
        let size = try e.size(x, first + index)
        let (low, high) = (argument(Int.max, "\(begin)_\(suffix)")?.int, argument(Int.max, "\(end)_\(suffix)")?.int)
        let given = [low, high, argument(Int.max, total)?.int].compactMap { $0 }
        guard size < 1 << 30, given.allSatisfy({ (0..<(1 << 30)).contains($0) }) else { throw call.wrong("its sizes are wrong") }
        // What is taken away or put there in all; two of three numbers tell the third.
        let sum = argument(Int.max, total)?.int.map { isPad ? $0 - size : size - $0 } ?? (low ?? 0) + (high ?? 0)
        let front = low ?? (high.map { sum - $0 } ?? 0)
        guard front >= 0, sum >= front, sum < 1 << 24, isPad || sum < size else { throw call.wrong("its sizes are wrong") }
        around.append((front, sum - front))
      }
      if isPad {
        var (before, after) = ([Int](repeating: 0, count: rank), [Int](repeating: 0, count: rank))
        for (index, pair) in around.enumerated() { (before[first + index], after[first + index]) = pair }
        return try e.pad(x, before: before, after: after)
      }
      var y = x
      for (index, pair) in around.enumerated() where pair != (0, 0) {
        y = try e.slice(y, axis: first + index, from: pair.0, to: try e.size(x, first + index) - pair.1)
      }
      return y
    default: return nil
    }
  }

  /// AutoContrast: each channel of each image is stretched over the range of values, (x − min)·size/(max − min); channels of one
  /// value stay as they are.
  mutating func contrasted(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    guard rank == 4, let range = call.config["value_range"].flatMap({ KerasBuilder.nested($0)?.values }) ?? Optional([0, 255]), range.count == 2,
      range[1] > range[0]
    else { throw call.wrong("'value_range' or the rank of its input is wrong") }
    let low = try e.reduce(.min, x, axes: [1, 2], keep: true, "ReduceMin")
    let size = try e.subtract(try e.reduce(.max, x, axes: [1, 2], keep: true, "ReduceMax"), low)
    let isFlat = try equals(size, 0)
    let scaled = try e.divide(try e.multiply(try e.subtract(x, low), range[1] - range[0]), try e.select(isFlat, try e.scalar(1, like: size), size))
    return try e.select(isFlat, x, try e.add(scaled, range[0]))
  }

  /// Patches as rows (py, px, c) of the last axis.
  mutating func patches(
    _ x: ValueID, _ size: Argument?, _ strides: Argument?, _ padding: String, dilation: Int = 1, _ call: LayerCall
  ) throws(Failure) -> ValueID {
    guard let sizes = size?.ints, let height = sizes.first, let width = sizes.last, sizes.count <= 2, (1...4096).contains(height), (1...4096).contains(width)
    else {
      throw call.wrong("the size of patches is missing")
    }
    let given = strides?.ints ?? [height, width]
    let steps = given.count == 1 ? given + given : given
    let dims = try e.shape(x)
    guard dims.count == 4, steps.count == 2, steps.allSatisfy({ (1...4096).contains($0) }), (1...4096).contains(dilation) else {
      throw call.refused("patches of an input of rank \(dims.count)")
    }
    guard steps == [height, width], padding.lowercased() == "valid", dilation == 1 else {
      return try overlappingPatches(x, [height, width], steps, padding, dilation, call)
    }
    let (rows, columns, channels) = (try e.size(x, 1) / height, try e.size(x, 2) / width, try e.size(x, 3))
    guard rows > 0, columns > 0 else { throw call.wrong("patches larger than the image") }
    guard let entries = [height, width, channels].checkedProduct else { throw call.wrong("its size overflows") }
    var y = x
    if rows * height != dims[1].value { y = try e.slice(y, axis: 1, from: 0, to: rows * height) }
    if columns * width != dims[2].value { y = try e.slice(y, axis: 2, from: 0, to: columns * width) }
    y = try e.reshape(y, [dims[0], Dim(rows), Dim(height), Dim(columns), Dim(width), Dim(channels)])
    y = try e.transpose(y, [0, 1, 3, 2, 4, 5])
    return try e.reshape(y, [dims[0], Dim(rows), Dim(columns), Dim(entries)])
  }

  /// Patches that overlap, are padded or leave out rows: a convolution whose kernels each pick one entry.
  private mutating func overlappingPatches(
    _ x: ValueID, _ size: [Int], _ steps: [Int], _ padding: String, _ dilation: Int, _ call: LayerCall
  ) throws(Failure) -> ValueID {
    let channels = try e.size(x, 3)
    guard let entries = [size[0], size[1], channels].checkedProduct, let count = [entries, entries].checkedProduct, count <= 1 << 26 else {
      throw call.refused("patches of \(size[0]) x \(size[1]) with \(channels) channels that overlap")
    }
    var kernel = [Double](repeating: 0, count: count)
    // Result (py, px, c) reads channel c at (py, px): [F, C, kh, kw].
    for entry in 0..<entries {
      let (place, channel) = (entry / channels, entry % channels)
      kernel[(entry * channels + channel) * size[0] * size[1] + place] = 1
    }
    let weight = try e.floats(kernel, dims: [entries, channels, size[0], size[1]], try e.element(x), "patches")
    let image = try e.transpose(x, [0, 3, 1, 2])
    let window = Window(
      kernel: size, strides: steps, dilations: [dilation, dilation],
      padding: try self.padding(padding, call, image, kernel: size, strides: steps, dilations: [dilation, dilation]))
    return try e.transpose(try e.emit(.convolution(.conv(window, groups: 1)), [image, weight], "Patches"), [0, 2, 3, 1])
  }
}
