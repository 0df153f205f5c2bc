internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Channels to the front of the spatial axes and back, around what ONNX has for them.
  mutating func channelsFirst(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    if call.isChannelsFirst { return x }
    let rank = try e.rank(x)
    return try e.transpose(x, [0, rank - 1] + Array(1..<(rank - 1)))
  }
  mutating func channelsBack(_ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    if call.isChannelsFirst { return x }
    let rank = try e.rank(x)
    return try e.transpose(x, [0] + Array(2..<rank) + [1])
  }

  /// `same`: ⌈in/s⌉ results, the odd row of padding at the end. `valid`: none. `causal`: all in front.
  func padding(_ call: LayerCall, _ x: ValueID, kernel: [Int], strides: [Int], dilations: [Int]) throws(Failure) -> WindowPadding {
    let word = call.word("padding", "valid")
    switch word {
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
        kernel: kernel, strides: strides, dilations: dilations, padding: try padding(call, x, kernel: kernel, strides: strides, dilations: dilations))
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
    guard dilations.allSatisfy({ $0 == 1 }) else { throw call.refused("a dilated transposed convolution") }
    // (…, F, C) to (C, F, …)
    let weight = try variable(call, ["kernel"], 0, dims: kernel.map { $0 } + [filters, channels]) { (tensor) throws(Failure) in
      try tensor.transposed([spatial + 1, spatial] + Array(0..<spatial))
    }
    let bias = call.flag("use_bias", true) ? try variable(call, ["bias"], 1, dims: [filters]) : nil
    let own = call.config["output_padding"]?.ints ?? (call.config["output_padding"]?.int).map { [Int](repeating: $0, count: spatial) }
    let isSame = call.word("padding", "valid") == "same"
    var begins: [Int] = []
    var ends: [Int] = []
    var output: [Int] = []
    for axis in 0..<spatial {
      let (k, s) = (kernel[axis], strides[axis])
      let size = try e.size(x, 2 + axis)
      let target: Int
      if let own {
        guard own.count == spatial, (0..<s).contains(own[axis]) else { throw call.wrong("'output_padding' is wrong") }
        target = (size - 1) * s + k - (isSame ? 2 * (k / 2) : 0) + own[axis]
      } else {
        target = isSame ? size * s : size * s + max(k - s, 0)
      }
      let begin = isSame ? (own == nil ? max(k - s, 0) / 2 : k / 2) : 0
      // full = (size − 1)·s + k; the result is full[begin ..< begin + target].
      let end = (size - 1) * s + k - begin - target
      begins.append(begin)
      ends.append(max(end, 0))
      output.append(max(-end, 0))
    }
    guard zip(output, strides).allSatisfy({ $0 < $1 || $0 == 0 }) else {
      // ONNX allows less than a stride: the rest are zeros and the bias.
      throw call.refused("an output padding of a stride or more")
    }
    let window = Window(kernel: kernel, strides: strides, dilations: dilations, padding: .explicit(begins + ends))
    return try e.emit(.convolution(.convTranspose(window, groups: 1, outputPadding: output)), [x, weight, bias].droppingLastNil, "ConvTranspose")
  }

  mutating func pooling(_ call: LayerCall) throws(Failure) -> ValueID {
    let name = call.layer.className
    let x = try input(call)
    let rank = try e.rank(x)
    if name.hasPrefix("Global") {
      let axes = call.isChannelsFirst ? Array(2..<rank) : Array(1..<(rank - 1))
      let keep = call.flag("keepdims", false)
      if name == "GlobalAveragePooling1D", case .tensor(let source)? = call.argument(0, "inputs"), let mask = masks[source] {
        let weight = try e.unsqueeze(try e.cast(mask, try e.element(x)), [2])
        let sum = try e.reduce(.sum, try e.multiply(x, weight), axes: axes, keep: keep, "ReduceSum")
        return try e.divide(sum, try e.reduce(.sum, weight, axes: [1], keep: keep, "ReduceSum"))
      }
      return name.contains("Average")
        ? try e.reduce(.mean, x, axes: axes, keep: keep, "ReduceMean") : try e.reduce(.max, x, axes: axes, keep: keep, "ReduceMax")
    }
    let spatial = name.contains("1D") ? 1 : name.contains("3D") ? 3 : 2
    guard rank == spatial + 2 else { throw call.wrong("its input has rank \(rank)") }
    let kernel = try call.spatial("pool_size", spatial, 2)
    let strides = call.config["strides"] == nil ? kernel : try call.spatial("strides", spatial, 1)
    let ones = [Int](repeating: 1, count: spatial)
    let turned = try channelsFirst(x, call)
    let window = Window(
      kernel: kernel, strides: strides, dilations: ones, padding: try padding(call, turned, kernel: kernel, strides: strides, dilations: ones))
    let pooled =
      name.hasPrefix("Max")
      ? try e.emit(.pooling(.max(window, ceilMode: false)), [turned], "MaxPool")
      : try e.emit(.pooling(.average(window, ceilMode: false, countIncludePad: false)), [turned], "AveragePool")
    return try channelsBack(pooled, call)
  }
}
