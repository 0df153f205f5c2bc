internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension LayerRaising {
  /// Axes of a channels-first value with channels last, and back.
  private static func channelsLast(_ rank: Int) -> [Int] { [0] + Array(2..<rank) + [1] }
  private static func channelsFirst(_ rank: Int) -> [Int] { [0, rank - 1] + Array(1..<(rank - 1)) }

  private static func entries(_ dims: [Dim], at places: [Int]) -> [Dim] { places.map { dims[$0] } }

  /// The begins and ends of padding, one pair for each spatial axis, or Keras's own `same`.
  private enum Border {
    case same
    case explicit([(before: Int, after: Int)])
  }

  /// - Parameter ceils: whether sizes are rounded up: windows may then start that end beyond the border.
  private func border(_ window: Window, kernel: [Int], input: [Dim], ceils: Bool, _ site: RaisingSite) throws(Failure) -> Border {
    let count = kernel.count
    let limit = 1 << 24
    let numbers = kernel + window.strides + window.dilations
    guard window.strides.count == count, window.dilations.count == count, input.count == count, numbers.allSatisfy({ (1...limit).contains($0) }),
      input.allSatisfy({ $0.value.map { $0 <= 1 << 32 } ?? true })
    else { throw refusal(site, "its window is wrong") }
    if case .explicit(let pads) = window.padding, !pads.allSatisfy({ abs($0) <= limit }) { throw refusal(site, "its padding is wrong") }
    var pairs: [(before: Int, after: Int)] = []
    for axis in 0..<count {
      let extent = (kernel[axis] - 1) * window.dilations[axis] + 1
      let size = input[axis].value
      // What Keras's `same` would put around.
      let same = size.map { size -> (before: Int, after: Int) in
        let out = (size + window.strides[axis] - 1) / window.strides[axis]
        let total = max((out - 1) * window.strides[axis] + extent - size, 0)
        return (total / 2, total - total / 2)
      }
      switch window.padding {
      case .explicit(let pads):
        guard pads.count == 2 * count else { throw refusal(site, "its padding is wrong") }
        var pair = (before: pads[axis], after: pads[axis + count])
        if ceils {
          guard let size else { throw refusal(site, "sizes are rounded up, and one is open") }
          let span = size + pair.before + pair.after - extent
          let rest = span % window.strides[axis]
          // A window that would start in the padding behind the tensor is left out.
          if rest > 0, (span / window.strides[axis] + 1) * window.strides[axis] < size + pair.before { pair.after += window.strides[axis] - rest }
        }
        pairs.append(pair)
      case .valid: pairs.append((0, 0))
      case .sameUpper:
        guard let same else { return .same }
        pairs.append(same)
      case .sameLower:
        guard let same else { throw refusal(site, "it pads at the begin of an axis of open size") }
        pairs.append((same.after, same.before))
      case .toSizes: throw refusal(site, "its padding depends on the sizes of the result")
      }
      guard pairs[axis].before >= 0, pairs[axis].after >= 0 else { throw refusal(site, "negative padding") }
      if axis == count - 1, pairs.contains(where: { $0.before + $0.after > 0 }) {
        // `same` for all axes, or for none.
        var isSame = true
        for index in 0..<count {
          guard let size = input[index].value else {
            isSame = false
            continue
          }
          let extent = (kernel[index] - 1) * window.dilations[index] + 1
          let out = (size + window.strides[index] - 1) / window.strides[index]
          let total = max((out - 1) * window.strides[index] + extent - size, 0)
          isSame = isSame && pairs[index].before == total / 2 && pairs[index].after == total - total / 2
        }
        if isSame { return .same }
      }
    }
    return .explicit(pairs)
  }

  /// Zeros, or another number, around the spatial axes of a tensor with channels last.
  private mutating func padded(_ x: LayerTensor, _ pairs: [(before: Int, after: Int)], value: Double = 0) throws(Failure) -> LayerTensor {
    if pairs.allSatisfy({ $0.before == 0 && $0.after == 0 }) { return x }
    var dims = x.dims
    for (axis, pair) in pairs.enumerated() { dims[axis + 1] = dims[axis + 1].adding(Dim(pair.before + pair.after)) ?? dims[axis + 1] }
    if value == 0, (1...2).contains(pairs.count) {
      let padding: JSON = pairs.count == 1 ? .integers([pairs[0].before, pairs[0].after]) : .array(pairs.map { .integers([$0.before, $0.after]) })
      return try layer("ZeroPadding\(pairs.count)D", ["padding": padding, "data_format": .string("channels_last")], [.tensor(x)], dims, x.element)
    }
    let widths: [JSON] = [.integers([0, 0])] + pairs.map { .integers([$0.before, $0.after]) } + [.integers([0, 0])]
    return try operation(
      "numpy", "Pad", ["pad_width": .array(widths), "mode": .string("constant")], [.tensor(x)], dims, x.element, keywords: ["constant_values": .number(value)])
  }

  // MARK: Convolutions

  mutating func convolution(_ op: ConvolutionOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result, let weight = constant(site.node.input(1)) else { throw refusal(site, "its weight depends on the input") }
    let bias = constant(site.node.input(2))
    if site.node.input(2) != nil, bias == nil { throw refusal(site, "its bias depends on the input") }
    let x = try standing(site.node.input(0))
    let (dims, element) = (try dims(result), try element(result))
    let rank = x.order.count
    guard (3...5).contains(rank), weight.dims.count == rank else { throw refusal(site, "\(rank - 2) spatial axes") }
    let last = LayerRaising.channelsLast(rank)
    let input = try turned(x, to: last)
    let made: LayerTensor
    switch op {
    case .conv(let window, let groups): made = try conv(input, weight, bias, window, groups, last.map { dims[$0] }, element, site)
    case .convTranspose(let window, let groups, let outputPadding):
      made = try convTranspose(input, weight, bias, window, groups, outputPadding, last.map { dims[$0] }, element, site)
    }
    place(result, PlacedValue(made, order: LayerRaising.channelsFirst(rank)))
  }

  private mutating func conv(
    _ x: LayerTensor, _ weight: Tensor, _ bias: Tensor?, _ window: Window, _ groups: Int, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    let spatial = weight.dims.count - 2
    let kernel = Array(weight.dims.suffix(spatial))
    guard window.strides.count == spatial, window.dilations.count == spatial else { throw refusal(site, "its window is wrong") }
    if window.strides.contains(where: { $0 != 1 }), window.dilations.contains(where: { $0 != 1 }) {
      return try sparseConv(x, weight, bias, window, groups, dims, element, site)
    }
    let (filters, perGroup) = (weight.dims[0], weight.dims[1])
    let isDepthwise = groups > 1 && perGroup == 1 && filters % groups == 0 && spatial < 3 && Set(window.strides).count == 1
    var input = x
    var padding = "valid"
    switch try border(window, kernel: kernel, input: Array(x.dims[1...spatial]), ceils: false, site) {
    case .same: padding = "same"
    case .explicit(let pairs): input = try padded(x, pairs)
    }
    var config: [String: JSON] = [
      "kernel_size": .integers(kernel), "strides": .integers(window.strides), "padding": .string(padding), "data_format": .string("channels_last"),
      "dilation_rate": .integers(window.dilations), "activation": .string("linear"), "use_bias": .bool(bias != nil),
    ]
    let make: VariableDraft
    if isDepthwise {
      config["depth_multiplier"] = .integer(filters / groups)
      let shape = [groups, filters / groups] + kernel
      let order = Array(2..<(2 + spatial)) + [0, 1]
      make = VariableDraft("kernel") { () throws(Failure) in try weight.reshaped(shape).transposed(order) }
    } else {
      config["filters"] = .integer(filters)
      config["groups"] = .integer(groups)
      let order = Array(2..<(2 + spatial)) + [1, 0]
      make = VariableDraft("kernel") { () throws(Failure) in try weight.transposed(order) }
    }
    var variables = [make]
    if let bias { variables.append(VariableDraft("bias") { () throws(Failure) in bias }) }
    return try layer(
      (isDepthwise ? "DepthwiseConv" : "Conv") + "\(spatial)D", config, [.tensor(input)], dims, element, stem: site.module,
      groups: [VariableGroup(variables: variables)])
  }

  /// Strides and dilation at once, which Keras does not take: without strides, and then every so many positions of it.
  private mutating func sparseConv(
    _ x: LayerTensor, _ weight: Tensor, _ bias: Tensor?, _ window: Window, _ groups: Int, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    let spatial = weight.dims.count - 2
    let kernel = Array(weight.dims.suffix(spatial))
    let pads: [Int]
    switch window.padding {
    case .explicit(let given): pads = given
    case .valid: pads = [Int](repeating: 0, count: 2 * spatial)
    case .sameUpper, .sameLower, .toSizes: throw refusal(site, "Keras takes strides or dilation, not both, and its padding is told by sizes")
    }
    guard spatial < 3, pads.count == 2 * spatial, (pads + kernel + window.strides + window.dilations).allSatisfy({ (0...(1 << 20)).contains($0) }) else {
      throw refusal(site, "its window is wrong")
    }
    var dense = window
    dense.strides = [Int](repeating: 1, count: spatial)
    var between = dims
    for axis in 0..<spatial {
      let growth = pads[axis] + pads[axis + spatial] - (kernel[axis] - 1) * window.dilations[axis]
      between[axis + 1] = x.dims[axis + 1].adding(Dim(growth)) ?? .unknown
    }
    let all = try conv(x, weight, bias, dense, groups, between, element, site)
    return try layer(
      "MaxPooling\(spatial)D",
      [
        "pool_size": .integers(dense.strides), "strides": .integers(window.strides), "padding": .string("valid"), "data_format": .string("channels_last"),
      ], [.tensor(all)], dims, element)
  }

  private mutating func convTranspose(
    _ x: LayerTensor, _ weight: Tensor, _ bias: Tensor?, _ window: Window, _ groups: Int, _ outputPadding: [Int], _ dims: [Dim], _ element: ElementType,
    _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    let spatial = weight.dims.count - 2
    guard groups == 1 else { throw refusal(site, "Keras has no grouped one") }
    guard window.dilations.allSatisfy({ $0 == 1 }), spatial < 3 else { throw refusal(site, "it is dilated, or has three spatial axes") }
    let kernel = Array(weight.dims.suffix(spatial))
    guard window.strides.count == spatial, (kernel + window.strides).allSatisfy({ (1...(1 << 20)).contains($0) }),
      x.dims.allSatisfy({ $0.value.map { $0 <= 1 << 32 } ?? true })
    else { throw refusal(site, "its window is wrong") }
    var crops: [(before: Int, after: Int)] = []
    var full = x.dims
    full[spatial + 1] = Dim(weight.dims[1])
    for axis in 0..<spatial {
      guard let size = x.dims[axis + 1].value, let wanted = dims[axis + 1].value else { throw refusal(site, "its sizes are open") }
      // Keras gives everything, and so many zeros at the end as make each step the same.
      let all = size * window.strides[axis] + max(kernel[axis] - window.strides[axis], 0)
      guard case .explicit(let pads) = window.padding, pads.count == 2 * spatial else { throw refusal(site, "its padding is told by sizes") }
      let before = pads[axis]
      guard before >= 0, all - before - wanted >= 0 else { throw refusal(site, "its output padding reaches beyond the last window") }
      crops.append((before, all - before - wanted))
      full[axis + 1] = Dim(all)
    }
    var variables = [VariableDraft("kernel") { () throws(Failure) in try weight.transposed(Array(2..<(2 + spatial)) + [1, 0]) }]
    if let bias { variables.append(VariableDraft("bias") { () throws(Failure) in bias }) }
    let made = try layer(
      "Conv\(spatial)DTranspose",
      [
        "filters": .integer(weight.dims[1]), "kernel_size": .integers(kernel), "strides": .integers(window.strides), "padding": .string("valid"),
        "data_format": .string("channels_last"), "activation": .string("linear"), "use_bias": .bool(bias != nil),
      ], [.tensor(x)], full, element, stem: site.module, groups: [VariableGroup(variables: variables)])
    if crops.allSatisfy({ $0.before == 0 && $0.after == 0 }) { return made }
    let cropping: JSON = spatial == 1 ? .integers([crops[0].before, crops[0].after]) : .array(crops.map { .integers([$0.before, $0.after]) })
    return try layer("Cropping\(spatial)D", ["cropping": cropping], [.tensor(made)], dims, element)
  }

  // MARK: Pooling

  mutating func pooling(_ op: PoolingOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result, site.node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { throw refusal(site, "it gives indices") }
    let x = try standing(site.node.input(0))
    let rank = x.order.count
    guard (3...5).contains(rank) else { throw refusal(site, "\(rank - 2) spatial axes") }
    let last = LayerRaising.channelsLast(rank)
    let input = try turned(x, to: last)
    let dims = LayerRaising.entries(try dims(result), at: last)
    let spatial = rank - 2
    let made: LayerTensor
    switch op {
    case .globalAverage: made = try globalPool("Average", input, dims)
    case .globalMax: made = try globalPool("Max", input, dims)
    case .max(let window, let ceils):
      guard window.dilations.allSatisfy({ $0 == 1 }) else { throw refusal(site, "Keras has no dilated pools") }
      switch try border(window, kernel: window.kernel, input: Array(input.dims[1...spatial]), ceils: ceils, site) {
      case .same: made = try pool("Max", input, window, "same", dims)
      case .explicit(let pairs):
        // No element is smaller than the least number.
        let least = -Double(Float.greatestFiniteMagnitude)
        made = try pool("Max", try padded(input, pairs, value: input.element == .float16 ? -65504 : least), window, "valid", dims)
      }
    case .average(let window, let ceils, let countsPadding):
      guard window.dilations.allSatisfy({ $0 == 1 }) else { throw refusal(site, "Keras has no dilated pools") }
      let border = try border(window, kernel: window.kernel, input: Array(input.dims[1...spatial]), ceils: ceils, site)
      switch border {
      case .same where !countsPadding: made = try pool("Average", input, window, "same", dims)
      case .explicit(let pairs) where pairs.allSatisfy({ $0.before == 0 && $0.after == 0 }): made = try pool("Average", input, window, "valid", dims)
      case .explicit(let pairs) where countsPadding && !ceils: made = try pool("Average", try padded(input, pairs), window, "valid", dims)
      case .same where !ceils:
        guard case .explicit(let pads) = window.padding else { throw refusal(site, "it counts its padding") }
        made = try pool(
          "Average", try padded(input, (0..<spatial).map { (pads[$0], pads[$0 + spatial]) }), window, "valid", dims)
      case .explicit(let pairs) where !countsPadding:
        let sums = try pool("Average", try padded(input, pairs), window, "valid", dims)
        made = try scaled(sums, by: try uncounted(window, pairs, Array(input.dims[1...spatial]), Array(dims[1...spatial]), input.element, site), site)
      default: throw refusal(site, "Keras counts no padding in another way than its own")
      }
    case .maxByColumns, .lp, .globalLp, .unpool: throw refusal(site, "there is no such layer")
    }
    place(result, PlacedValue(made, order: LayerRaising.channelsFirst(rank)))
  }

  /// What makes a mean over whole windows one over the elements that are no padding: (1, positions, 1).
  private func uncounted(
    _ window: Window, _ pairs: [(before: Int, after: Int)], _ input: [Dim], _ output: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> Tensor {
    guard let sizes = Shape(input).concrete, let positions = Shape(output).concrete, let count = positions.checkedProduct,
      count <= LayerRaising.literalLimit * 16
    else { throw refusal(site, "its padding is not counted, and its sizes are open or large") }
    var factors = [1.0]
    for (axis, size) in sizes.enumerated() {
      var own: [Double] = []
      for position in 0..<positions[axis] {
        let start = position * window.strides[axis] - pairs[axis].before
        let inside = min(start + window.kernel[axis], size) - max(start, 0)
        guard inside > 0 else { throw refusal(site, "a window holds padding alone") }
        own.append(Double(window.kernel[axis]) / Double(inside))
      }
      factors = factors.flatMap { factor in own.map { factor * $0 } }
    }
    return try Tensor.filled(factors, dims: [1] + positions + [1], element)
  }

  private mutating func globalPool(_ kind: String, _ x: LayerTensor, _ dims: [Dim]) throws(Failure) -> LayerTensor {
    try layer(
      "Global\(kind)Pooling\(x.dims.count - 2)D", ["keepdims": .bool(true), "data_format": .string("channels_last")], [.tensor(x)], dims, x.element)
  }

  private mutating func pool(_ kind: String, _ x: LayerTensor, _ window: Window, _ padding: String, _ dims: [Dim]) throws(Failure) -> LayerTensor {
    try layer(
      "\(kind)Pooling\(window.kernel.count)D",
      [
        "pool_size": .integers(window.kernel), "strides": .integers(window.strides), "padding": .string(padding), "data_format": .string("channels_last"),
      ], [.tensor(x)], dims, x.element)
  }
}
