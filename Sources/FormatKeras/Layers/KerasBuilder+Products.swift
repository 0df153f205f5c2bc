internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Products, convolutions and normalizations with what they are called with instead of variables; nil for a name that is
  /// none of them.
  mutating func product(_ name: String, _ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID? {
    switch name {
    case "Matmul": return try product(x, call.argument(1, "x2"), call)
    case "Dot":
      let other = try value(call.argument(1, "x2"), call)
      guard try e.rank(other) == 2 else { throw call.refused("a product of these ranks") }
      return try e.matMul(x, other)
    case "Inner":
      let other = try value(call.argument(1, "x2"), call)
      let (rank, otherRank) = (try e.rank(x), try e.rank(other))
      guard rank > 0, otherRank > 0 else { throw call.refused("a product of these ranks") }
      let axes = Argument.list([.list([.int(rank - 1)]), .list([.int(otherRank - 1)])])
      return try contracted(x, other, axes, call)
    case "Tensordot": return try contracted(x, try value(call.argument(1, "x2"), call), argument(2, "axes"), call)
    case "Cross":
      let other = try value(call.argument(1, "x2"), call)
      let rank = try e.rank(x)
      guard argument(2, "axis") == nil, try e.size(x, rank - 1) == 3, try e.rank(other) == rank, try e.size(other, rank - 1) == 3 else {
        throw call.refused("this form of cross product")
      }
      func turned(_ value: ValueID, _ by: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID { try builder.rolled(value, by, rank - 1) }
      let left = try e.multiply(try turned(x, -1, &self), try turned(other, -2, &self))
      return try e.subtract(left, try e.multiply(try turned(x, -2, &self), try turned(other, -1, &self)))
    case "Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose": return try convolutionOperation(name, x, argument, call)
    case "MaxPool", "AveragePool": return try poolingOperation(name, x, argument, call)
    case "AdaptiveMaxPool", "AdaptiveAveragePool":
      let spatial = try e.rank(x) - 2
      guard let sizes = argument(1, "output_size")?.ints, sizes.count == 1 || sizes.count == spatial else { throw call.wrong("'output_size' is missing") }
      let whole = sizes.count == spatial ? sizes : [Int](repeating: sizes[0], count: spatial)
      return try adaptivelyPooled(x, whole, isMaximum: name == "AdaptiveMaxPool", first: isChannelsFirst(argument) ? 2 : 1, call)
    case "BatchNorm":
      let rank = try e.rank(x)
      guard rank > 0, let axis = argument(5, "axis")?.int else { throw call.wrong("'axis' is missing") }
      let place = try e.axis(axis, rank: rank)
      func laidOut(_ index: Int, _ key: String, _ builder: inout KerasBuilder) throws(Failure) -> ValueID? {
        guard let given = call.argument(index, key) else { return nil }
        return try builder.e.unsqueeze(try builder.value(given, call, like: try builder.e.element(x)), Array(1..<(rank - place)))
      }
      guard let mean = try laidOut(1, "mean", &self), let variance = try laidOut(2, "variance", &self) else { throw call.wrong("its statistics are missing") }
      var y = try e.divide(try e.subtract(x, mean), try e.unary(.sqrt, try e.add(variance, argument(6, "epsilon")?.double ?? 1e-3), "Sqrt"))
      if let scale = try laidOut(4, "scale", &self) { y = try e.multiply(y, scale) }
      if let offset = try laidOut(3, "offset", &self) { y = try e.add(y, offset) }
      return y
    case "LayerNorm", "RMSNorm":
      let isRoot = name == "RMSNorm"
      let axes = argument(3, "axis")?.ints ?? [-1]
      let epsilon = argument(4, "epsilon")?.double ?? 1e-7
      let centered = isRoot ? x : try e.subtract(x, try e.reduce(.mean, x, axes: axes, keep: true, "ReduceMean"))
      let squares = try e.reduce(.mean, try e.multiply(centered, centered), axes: axes, keep: true, "ReduceMean")
      let isScaled = argument(5, "rms_scaling")?.bool ?? false
      var y = try e.divide(isScaled ? x : centered, try e.unary(.sqrt, try e.add(squares, epsilon), "Sqrt"))
      for (index, key) in [(1, isRoot ? "scale" : "gamma"), (2, isRoot ? "" : "beta")] {
        guard let given = call.argument(index, key) else { continue }
        let factor = try value(given, call, like: try e.element(x))
        y = index == 1 ? try e.multiply(y, factor) : try e.add(y, factor)
      }
      return y
    case "OneHot": return try oneHot(x, argument, call)
    case "MultiHot":
      let hot = try oneHot(x, argument, call)
      let rank = try e.rank(x)
      return try e.reduce(.max, hot, axes: [rank - 1], keep: false, "ReduceMax")
    default: return nil
    }
  }

  private func isChannelsFirst(_ argument: (Int, String) -> Argument?) -> Bool { argument(Int.max, "data_format")?.string == "channels_first" }

  private mutating func contracted(_ a: ValueID, _ b: ValueID, _ axes: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let (rankA, rankB) = (try e.rank(a), try e.rank(b))
    var pairs: [(Int, Int)] = []
    if let count = axes?.int ?? (axes == nil ? 2 : nil) {
      guard (0...min(rankA, rankB)).contains(count) else { throw call.wrong("'axes' is wrong") }
      pairs = (0..<count).map { (rankA - count + $0, $0) }
    } else if case .list(let entries)? = axes, entries.count == 2, let first = entries[0].ints, let second = entries[1].ints, first.count == second.count {
      for (x, y) in zip(first, second) { pairs.append((try e.axis(x, rank: rankA), try e.axis(y, rank: rankB))) }
    } else {
      throw call.wrong("'axes' is wrong")
    }
    guard rankA + rankB <= 26 else { throw call.refused("ranks of \(rankA) and \(rankB)") }
    let letters = Array("abcdefghijklmnopqrstuvwxyz")
    let first = Array(letters[..<rankA])
    var second = Array(letters[rankA..<(rankA + rankB)])
    for (x, y) in pairs { second[y] = first[x] }
    let taken = Set(pairs.map { first[$0.0] })
    let result = first.filter { !taken.contains($0) } + second.filter { !taken.contains($0) }
    return try e.einsum("\(String(first)),\(String(second))->\(String(result))", [a, b])
  }

  private mutating func oneHot(_ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    guard let count = argument(1, "num_classes")?.int, (1...(1 << 20)).contains(count) else { throw call.wrong("'num_classes' is missing or too large") }
    let type = ElementType(name: argument(3, "dtype")?.string ?? "float32") ?? .float32
    let y = try oneHot(x, count, type)
    let axis = argument(2, "axis")?.int ?? -1
    let rank = try e.rank(y)
    return axis == -1 || call.layer.className == "MultiHot" ? y : try movedAxes(y, [rank - 1], [try e.axis(axis, rank: rank)])
  }

  /// A new last axis with a one at the place that each entry names; no one where there is no such place.
  mutating func oneHot(_ x: ValueID, _ count: Int, _ type: ElementType) throws(Failure) -> ValueID {
    let whole = try e.element(x) == .int64 ? x : try e.emit(.cast(to: .int64), [x], "Cast")
    let places = e.constant("classes", try Tensor(int64: (0..<Int64(count)).map { $0 }, dims: [count]))
    let same = try e.emit(.binary(.equal), [try e.unsqueeze(whole, [try e.rank(whole)]), places], "Equal")
    return type == .bool ? same : try e.emit(.cast(to: type), [same], "Cast")
  }

  /// A kernel in another order of axes, at once where it is a constant.
  private mutating func turned(_ id: ValueID, _ order: [Int]) throws(Failure) -> ValueID {
    guard let tensor = e.tensor(id) else { return try e.transpose(id, order) }
    return e.constant("kernel", try tensor.transposed(order))
  }

  private func windows(_ argument: Argument?, _ count: Int, _ standard: [Int], _ call: LayerCall) throws(Failure) -> [Int] {
    guard let argument else { return standard }
    guard let values = argument.ints, values.count == 1 || values.count == count, values.allSatisfy({ (1...(1 << 20)).contains($0) }) else {
      throw call.wrong("its strides or its sizes are wrong")
    }
    return values.count == count ? values : [Int](repeating: values[0], count: count)
  }

  private mutating func convolutionOperation(_ name: String, _ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID
  {
    let rank = try e.rank(x)
    let spatial = rank - 2
    let isFirst = isChannelsFirst(argument)
    guard (1...3).contains(spatial) else { throw call.wrong("its input has rank \(rank)") }
    let image = isFirst ? x : try e.transpose(x, [0, rank - 1] + Array(1..<(rank - 1)))
    let isSeparable = name == "SeparableConv"
    let given = try value(call.argument(1, isSeparable ? "depthwise_kernel" : "kernel"), call, like: try e.element(x))
    guard let dims = Shape(try e.shape(given)).concrete, dims.count == rank else { throw call.wrong("its kernel is wrong") }
    let kernel = Array(dims.prefix(spatial))
    let ones = [Int](repeating: 1, count: spatial)
    let strides = try windows(argument(Int.max, "strides"), spatial, ones, call)
    let dilations = try windows(argument(Int.max, "dilation_rate"), spatial, ones, call)
    let word = argument(Int.max, "padding")?.string ?? "valid"
    let channels = try e.size(image, 1)
    let weight = try turned(given, [spatial + 1, spatial] + Array(0..<spatial))
    var y: ValueID
    if name == "ConvTranspose" {
      y = try transposedConvolution(
        image, weight, nil, kernel: kernel, strides: strides, dilations: dilations, isSame: word == "same",
        outputPadding: argument(Int.max, "output_padding")?.ints.map { $0.count == spatial ? $0 : [Int](repeating: $0[0], count: spatial) }, call)
    } else {
      let window = Window(
        kernel: kernel, strides: strides, dilations: dilations,
        padding: try padding(word, call, image, kernel: kernel, strides: strides, dilations: dilations))
      if name == "Conv" {
        guard dims[spatial] > 0, channels % dims[spatial] == 0 else { throw call.wrong("\(channels) channels and a kernel of \(dims[spatial])") }
        y = try e.emit(.convolution(.conv(window, groups: channels / dims[spatial])), [image, weight], "Conv")
      } else {
        // (…, C, m) to (C·m, 1, …)
        let moved = try turned(given, [spatial, spatial + 1] + Array(0..<spatial))
        let depthwise = try e.reshape(moved, [Dim(dims[spatial] * dims[spatial + 1]), 1] + kernel.map { Dim($0) })
        y = try e.emit(.convolution(.conv(window, groups: channels)), [image, depthwise], "Conv")
        if isSeparable {
          let point = try turned(
            try value(call.argument(2, "pointwise_kernel"), call, like: try e.element(x)), [spatial + 1, spatial] + Array(0..<spatial))
          let plain = Window(kernel: ones, strides: ones, dilations: ones, padding: .explicit([Int](repeating: 0, count: spatial * 2)))
          y = try e.emit(.convolution(.conv(plain, groups: 1)), [y, point], "PointwiseConv")
        }
      }
    }
    return isFirst ? y : try e.transpose(y, [0] + Array(2..<rank) + [1])
  }

  private mutating func poolingOperation(_ name: String, _ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let spatial = rank - 2
    guard (1...3).contains(spatial) else { throw call.wrong("its input has rank \(rank)") }
    let isFirst = isChannelsFirst(argument)
    let image = isFirst ? x : try e.transpose(x, [0, rank - 1] + Array(1..<(rank - 1)))
    guard let size = argument(1, "pool_size") else { throw call.wrong("'pool_size' is missing") }
    let kernel = try windows(size, spatial, [], call)
    let strides = try windows(argument(2, "strides"), spatial, kernel, call)
    let ones = [Int](repeating: 1, count: spatial)
    let window = Window(
      kernel: kernel, strides: strides, dilations: ones,
      padding: try padding(argument(3, "padding")?.string ?? "valid", call, image, kernel: kernel, strides: strides, dilations: ones))
    let pooled =
      name == "MaxPool"
      ? try e.emit(.pooling(.max(window, ceilMode: false)), [image], "MaxPool")
      : try e.emit(.pooling(.average(window, ceilMode: false, countIncludePad: false)), [image], "AveragePool")
    return isFirst ? pooled : try e.transpose(pooled, [0] + Array(2..<rank) + [1])
  }

  /// Heads behind tokens: (B, T, N, H), (B, S, K, H), (B, S, K, V) to (B, T, N, V); K divides N.
  mutating func dotProductAttention(_ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let query = try value(call.argument(0, "query"), call)
    let key = try value(call.argument(1, "key"), call)
    let values = try value(call.argument(2, "value"), call)
    guard try e.rank(query) == 4, try e.rank(key) == 4, try e.rank(values) == 4 else { throw call.wrong("its operands have ranks that do not fit") }
    let width = try e.size(query, 3)
    let (heads, own) = (try e.size(query, 2), try e.size(key, 2))
    guard own > 0, heads % own == 0, width > 0 else { throw call.wrong("\(heads) query heads over \(own) key heads") }
    var (k, v) = (try e.transpose(key, [0, 2, 1, 3]), try e.transpose(values, [0, 2, 1, 3]))
    if heads != own { (k, v) = (try repeated(k, heads / own), try repeated(v, heads / own)) }
    let scale = argument(5, "scale")?.double ?? 1 / Double(width).squareRoot()
    let scaled = try e.multiply(try e.transpose(query, [0, 2, 1, 3]), scale, "Scale")
    var scores = try e.matMul(scaled, try e.transpose(k, [0, 1, 3, 2]), "Scores")
    if let bias = call.argument(3, "bias") { scores = try e.add(scores, try value(bias, call, like: try e.element(scores)), "Bias") }
    if let bound = argument(Int.max, "attn_logits_soft_cap")?.double, bound > 0 {
      scores = try e.multiply(try e.unary(.tanh, try e.divide(scores, bound), "Tanh"), bound)
    }
    let blocked = try e.scalar(-0.7 * (try e.element(scores) == .float16 ? 65504 : Double(Float.greatestFiniteMagnitude)), like: scores)
    if let mask = call.argument(4, "mask") { scores = try e.select(try value(mask, call), scores, blocked, "Mask") }
    if argument(6, "is_causal")?.bool ?? false {
      let (rows, columns) = (try e.size(query, 1), try e.size(key, 1))
      guard let count = [rows, columns].checkedProduct, count <= 1 << 26 else { throw call.refused("a causal mask over so many tokens") }
      let allowed = (0..<count).map { UInt8($0 % columns <= $0 / columns ? 1 : 0) }
      scores = try e.select(e.constant("mask", try Tensor(.bool, dims: [1, 1, rows, columns], values: allowed)), scores, blocked, "Mask")
    }
    return try e.transpose(try e.matMul(try e.softmax(scores), v, "Context"), [0, 2, 1, 3])
  }
}
