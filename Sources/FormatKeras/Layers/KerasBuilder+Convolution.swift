internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Channels to the front of the spatial axes and back, around what ONNX has for them.
  mutating func channelsFirst(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    guard rank >= 3 else { throw call.wrong("its input has rank \(rank)") }
    if call.isChannelsFirst { return x }
    return try e.transpose(x, [0, rank - 1] + Array(1..<(rank - 1)))
  }
  mutating func channelsBack(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    if call.isChannelsFirst { return x }
    let rank = try e.rank(x)
    return try e.transpose(x, [0] + Array(2..<rank) + [1])
  }

  /// `same`: ⌈in/s⌉ results, the odd row of padding at the end. `valid`: none. `causal`: all in front.
  func padding(_ word: String, _ call: LayerCall, _ x: ValueID, kernel: [Int], strides: [Int], dilations: [Int]) throws(Failure) -> WindowPadding {
    switch word.lowercased() {
    case "valid": return .explicit([Int](repeating: 0, count: kernel.count * 2))
    case "causal":
      let (span, overflow) = (kernel[0] - 1).multipliedReportingOverflow(by: dilations[0])
      guard !overflow else { throw call.wrong("its padding overflows") }
      return .explicit([span] + [Int](repeating: 0, count: kernel.count * 2 - 1))
    case "same":
      let dims = try e.shape(x)
      var begins: [Int] = []
      var ends: [Int] = []
      for axis in kernel.indices {
        guard let size = dims[2 + axis].value else { return .sameUpper }
        let (reach, overflow) = (kernel[axis] - 1).multipliedReportingOverflow(by: dilations[axis])
        guard !overflow, reach < 1 << 30, size < 1 << 40 else { throw call.wrong("its padding overflows") }
        let count = (size + strides[axis] - 1) / strides[axis]
        let total = max((count - 1) * strides[axis] + reach + 1 - size, 0)
        begins.append(total / 2)
        ends.append(total - total / 2)
      }
      return .explicit(begins + ends)
    default: throw call.wrong("the padding '\(word)' is not known")
    }
  }

  mutating func convolution(_ call: LayerCall) throws(Failure) -> ValueID {
    let name = call.layer.className
    let spatial = name.contains("1D") ? 1 : name.contains("3D") ? 3 : 2
    let x = try channelsFirst(try input(call), call)
    guard try e.rank(x) == spatial + 2 else { throw call.wrong("its input has rank \(try e.rank(x))") }
    let kernel = try call.spatial("kernel_size", spatial, 1)
    let strides = try call.spatial("strides", spatial, 1)
    let dilations = try call.spatial("dilation_rate", spatial, 1)
    let channels = try e.size(x, 1)
    let hasBias = call.flag("use_bias", true)
    var y: ValueID
    if name.hasSuffix("Transpose") {
      y = try transposed(call, x, kernel, strides, dilations, channels)
    } else {
      let window = Window(
        kernel: kernel, strides: strides, dilations: dilations,
        padding: try padding(call.word("padding", "valid"), call, x, kernel: kernel, strides: strides, dilations: dilations))
      if name.hasPrefix("Depthwise") || name.hasPrefix("Separable") {
        let multiplier = call.config["depth_multiplier"]?.int ?? 1
        guard (1...(1 << 20)).contains(multiplier) else { throw call.wrong("'depth_multiplier' is \(multiplier)") }
        let isSeparable = name.hasPrefix("Separable")
        let dims = kernel.map { Int?.some($0) } + [channels, multiplier]
        let weight = try variable(call, ["depthwise_kernel", "kernel"], 0, dims: dims) { (tensor) throws(Failure) in
          // (…, C, m) to (C·m, 1, …)
          let moved = try tensor.transposed([spatial, spatial + 1] + Array(0..<spatial))
          return try moved.reshaped([moved.dims[0] * moved.dims[1], 1] + moved.dims.dropFirst(2))
        }
        let bias = hasBias && !isSeparable ? try variable(call, ["bias"], 1, dims: [channels * multiplier]) : nil
        y = try e.emit(.convolution(.conv(window, groups: channels)), [x, weight, bias].droppingLastNil, "Conv")
        if isSeparable {
          let filters = try call.positive("filters")
          let ones = [Int](repeating: 1, count: spatial)
          let point = try variable(call, ["pointwise_kernel"], 1, dims: ones.map { $0 } + [channels * multiplier, filters]) { (tensor) throws(Failure) in
            try tensor.transposed([spatial + 1, spatial] + Array(0..<spatial))
          }
          let bias = hasBias ? try variable(call, ["bias"], 2, dims: [filters]) : nil
          let plain = Window(kernel: ones, strides: ones, dilations: ones, padding: .explicit([Int](repeating: 0, count: spatial * 2)))
          y = try e.emit(.convolution(.conv(plain, groups: 1)), [y, point, bias].droppingLastNil, "PointwiseConv")
        }
      } else {
        let filters = try call.positive("filters")
        let groups = call.config["groups"]?.int ?? 1
        guard groups > 0, channels % groups == 0 else { throw call.wrong("\(channels) channels in \(groups) groups") }
        let weight = try variable(call, ["kernel"], 0, dims: kernel.map { $0 } + [channels / groups, filters]) { (tensor) throws(Failure) in
          try tensor.transposed([spatial + 1, spatial] + Array(0..<spatial))
        }
        let bias = hasBias ? try variable(call, ["bias"], 1, dims: [filters]) : nil
        y = try e.emit(.convolution(.conv(window, groups: groups)), [x, weight, bias].droppingLastNil, "Conv")
      }
    }
    y = try activation(call.config["activation"], try channelsBack(y, call), call)
    return y
  }

  private mutating func transposed(
    _ call: LayerCall, _ x: ValueID, _ kernel: [Int], _ strides: [Int], _ dilations: [Int], _ channels: Int
  ) throws(Failure) -> ValueID {
    let spatial = kernel.count
    let filters = try call.positive("filters")
    // (…, F, C) to (C, F, …)
    let weight = try variable(call, ["kernel"], 0, dims: kernel.map { $0 } + [filters, channels]) { (tensor) throws(Failure) in
      try tensor.transposed([spatial + 1, spatial] + Array(0..<spatial))
    }
    let bias = call.flag("use_bias", true) ? try variable(call, ["bias"], 1, dims: [filters]) : nil
    let own = call.config["output_padding"]?.ints ?? (call.config["output_padding"]?.int).map { [Int](repeating: $0, count: spatial) }
    return try transposedConvolution(
      x, weight, bias, kernel: kernel, strides: strides, dilations: dilations, isSame: call.word("padding", "valid") == "same", outputPadding: own, call)
  }

  /// `full` holds what every input reaches, (size − 1)·s + (k − 1)·d + 1 rows; the result is the part of it that TensorFlow's
  /// padding keeps, and zeros where that is more.
  mutating func transposedConvolution(
    _ x: ValueID, _ weight: ValueID, _ bias: ValueID?, kernel: [Int], strides: [Int], dilations: [Int], isSame: Bool, outputPadding: [Int]?,
    _ call: LayerCall
  ) throws(Failure) -> ValueID {
    var begins: [Int] = []
    var ends: [Int] = []
    var output: [Int] = []
    var rest: [Int] = []
    for axis in kernel.indices {
      let s = strides[axis]
      let (reach, overflow) = (kernel[axis] - 1).multipliedReportingOverflow(by: dilations[axis])
      guard !overflow, reach < 1 << 30 else { throw call.wrong("its kernel overflows") }
      let k = reach + 1
      let size = try e.size(x, 2 + axis)
      guard size < 1 << 30, s < 1 << 20 else { throw call.wrong("its size overflows") }
      let target: Int
      if let outputPadding {
        guard outputPadding.count == kernel.count, (0..<s).contains(outputPadding[axis]) else { throw call.wrong("'output_padding' is wrong") }
        target = (size - 1) * s + k - (isSame ? 2 * (k / 2) : 0) + outputPadding[axis]
      } else {
        target = isSame ? size * s : size * s + max(k - s, 0)
      }
      guard target > 0 else { throw call.wrong("it gives nothing") }
      let begin = isSame ? max((size - 1) * s + k - target, 0) / 2 : 0
      let end = (size - 1) * s + k - begin - target
      begins.append(begin)
      ends.append(max(end, 0))
      // ONNX allows less than a stride or a dilation; what is more is the bias alone.
      let more = max(-end, 0)
      output.append(min(more, max(s, dilations[axis]) - 1))
      rest.append(more - output[axis])
    }
    let window = Window(kernel: kernel, strides: strides, dilations: dilations, padding: .explicit(begins + ends))
    let isWhole = rest.allSatisfy { $0 == 0 }
    let y = try e.emit(
      .convolution(.convTranspose(window, groups: 1, outputPadding: output)), [x, weight, isWhole ? bias : nil].droppingLastNil, "ConvTranspose")
    if isWhole { return y }
    let padded = try e.pad(y, before: [Int](repeating: 0, count: rest.count + 2), after: [0, 0] + rest)
    guard let bias else { return padded }
    return try e.add(padded, try e.unsqueeze(bias, Array(1...kernel.count)))
  }

  mutating func pooling(_ call: LayerCall) throws(Failure) -> ValueID {
    let name = call.layer.className
    let x = try input(call)
    let rank = try e.rank(x)
    guard rank >= 3 else { throw call.wrong("its input has rank \(rank)") }
    if name.hasPrefix("Global") {
      let axes = call.isChannelsFirst ? Array(2..<rank) : Array(1..<(rank - 1))
      let keep = call.flag("keepdims", false)
      if name == "GlobalAveragePooling1D", let mask = sequenceMask(call) {
        let weight = try e.unsqueeze(try e.cast(mask, try e.element(x)), [2])
        let sum = try e.reduce(.sum, try e.multiply(x, weight), axes: axes, keep: keep, "ReduceSum")
        return try e.divide(sum, try e.reduce(.sum, weight, axes: [1], keep: keep, "ReduceSum"))
      }
      return name.contains("Average")
        ? try e.reduce(.mean, x, axes: axes, keep: keep, "ReduceMean") : try e.reduce(.max, x, axes: axes, keep: keep, "ReduceMax")
    }
    let spatial = name.contains("1D") ? 1 : name.contains("3D") ? 3 : 2
    guard rank == spatial + 2 else { throw call.wrong("its input has rank \(rank)") }
    if name.hasPrefix("Adaptive") {
      return try adaptivelyPooled(x, try call.spatial("output_size", spatial, 1), isMaximum: name.contains("Max"), first: call.isChannelsFirst ? 2 : 1, call)
    }
    let kernel = try call.spatial("pool_size", spatial, 2)
    let strides = call.config["strides"] == nil ? kernel : try call.spatial("strides", spatial, 1)
    let ones = [Int](repeating: 1, count: spatial)
    let turned = try channelsFirst(x, call)
    let window = Window(
      kernel: kernel, strides: strides, dilations: ones,
      padding: try padding(call.word("padding", "valid"), call, turned, kernel: kernel, strides: strides, dilations: ones))
    let pooled =
      name.hasPrefix("Max")
      ? try e.emit(.pooling(.max(window, ceilMode: false)), [turned], "MaxPool")
      : try e.emit(.pooling(.average(window, ceilMode: false, countIncludePad: false)), [turned], "AveragePool")
    return try channelsBack(pooled, call)
  }

  /// Result i of n takes the rows ⌊i·size/n⌋ ..< ⌈(i + 1)·size/n⌉, axis by axis.
  mutating func adaptivelyPooled(_ x: ValueID, _ sizes: [Int], isMaximum: Bool, first: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    var y = x
    for (index, count) in sizes.enumerated() {
      let axis = first + index
      let size = try e.size(y, axis)
      guard size > 0, size < 1 << 30, count <= 4096 else { throw call.wrong("\(count) results of \(size)") }
      if size == count { continue }
      let ranges = (0..<count).map { ($0 * size / count, (($0 + 1) * size + count - 1) / count) }
      if isMaximum {
        var parts: [ValueID] = []
        for (start, end) in ranges {
          parts.append(try e.reduce(.max, try e.slice(y, axis: axis, from: start, to: end), axes: [axis], keep: true, "ReduceMax"))
        }
        y = try e.concat(parts, axis: axis)
      } else {
        guard let entries = [size, count].checkedProduct, entries <= 1 << 26 else { throw call.refused("\(count) results of \(size)") }
        var matrix = [Double](repeating: 0, count: entries)
        for (column, (start, end)) in ranges.enumerated() { for row in start..<end { matrix[row * count + column] = 1 / Double(end - start) } }
        y = try mapped(y, axis: axis, matrix, rows: size, columns: count)
      }
    }
    return y
  }

  /// One axis through a constant matrix (rows, columns): y[…, j, …] = Σ x[…, i, …]·M[i, j].
  mutating func mapped(_ x: ValueID, axis: Int, _ matrix: [Double], rows: Int, columns: Int) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var order = Array(0..<rank)
    order.remove(at: axis)
    order.append(axis)
    var back = Array(0..<(rank - 1))
    back.insert(rank - 1, at: axis)
    let weight = try e.floats(matrix, dims: [rows, columns], try e.element(x), "matrix")
    return try e.transpose(try e.matMul(try e.transpose(x, order), weight), back)
  }
}
