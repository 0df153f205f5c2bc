internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Padding and cropping by pads, as layers and operations.
extension LayerRaising {
  mutating func zeroPadded(_ x: LayerTensor, axis: Int, _ before: Int, _ after: Int) throws(Failure) -> LayerTensor {
    var begins = [Int](repeating: 0, count: x.dims.count)
    var ends = begins
    begins[axis] = before
    ends[axis] = after
    return try padded(x, begins, ends, mode: "constant", value: 0)
  }

  mutating func padded(_ x: LayerTensor, _ before: [Int], _ after: [Int], mode: String, value: Double) throws(Failure) -> LayerTensor {
    let rank = x.dims.count
    var dims = x.dims
    for axis in 0..<rank {
      guard let size = dims[axis].adding(Dim(before[axis] + after[axis])) else { throw Failure(.sizeOverflow, "the padded size overflows") }
      dims[axis] = size
    }
    let padsAt = (0..<rank).filter { before[$0] != 0 || after[$0] != 0 }
    if padsAt.isEmpty { return x }
    if mode == "constant", value == 0, x.element.isFloatingPoint {
      if rank == 3, padsAt == [1] { return try layer("ZeroPadding1D", ["padding": .integers([before[1], after[1]])], [.tensor(x)], dims, x.element) }
      if rank == 4, padsAt.allSatisfy({ $0 == 1 || $0 == 2 }) {
        let pairs: [JSON] = [1, 2].map { .integers([before[$0], after[$0]]) }
        return try layer("ZeroPadding2D", ["padding": .array(pairs), "data_format": .string("channels_last")], [.tensor(x)], dims, x.element)
      }
    }
    let widths: JSON = .array((0..<rank).map { .integers([before[$0], after[$0]]) })
    return try operation(
      "numpy", "Pad", ["pad_width": widths, "mode": .string(mode)], [.tensor(x)], dims, x.element,
      keywords: mode == "constant" ? ["constant_values": .number(value)] : [:])
  }

  mutating func padded(_ mode: PadMode, _ site: RaisingSite, _ dims: [Dim]) throws(Failure) -> PlacedValue {
    let x = try standing(site.node.input(0))
    let rank = x.order.count
    guard let pads = constant(site.node.input(1))?.integers() else { throw refusal(site, "its widths depend on the input") }
    var value = 0.0
    if let operand = site.node.input(2) {
      guard let number = constant(operand)?.scalar else { throw refusal(site, "its filling depends on the input") }
      value = number
    }
    var axes = Array(0..<rank)
    if let operand = site.node.input(3) {
      guard let given = constant(operand)?.integers() else { throw refusal(site, "its axes depend on the input") }
      axes = given.map { $0 < 0 ? $0 + rank : $0 }
    }
    guard pads.count == 2 * axes.count, pads.allSatisfy({ (-(1 << 32)...(1 << 32)).contains($0) }), axes.allSatisfy({ (0..<rank).contains($0) }) else {
      throw refusal(site, "its widths are wrong")
    }
    var before = [Int](repeating: 0, count: rank)
    var after = before
    for (index, axis) in axes.enumerated() {
      before[x.order[axis]] = pads[index]
      after[x.order[axis]] = pads[index + axes.count]
    }
    // What is negative crops.
    var tensor = x.tensor
    for place in 0..<rank where before[place] < 0 || after[place] < 0 {
      guard let size = tensor.dims[place].value, size + min(before[place], 0) + min(after[place], 0) >= 0 else {
        throw refusal(site, "it crops an axis of open size, or all of one")
      }
      tensor = try part(tensor, axis: place, max(-before[place], 0), size + min(after[place], 0))
      before[place] = max(before[place], 0)
      after[place] = max(after[place], 0)
    }
    switch mode {
    case .constant: tensor = try padded(tensor, before, after, mode: "constant", value: value)
    case .reflect: tensor = try padded(tensor, before, after, mode: "reflect", value: value)
    case .edge, .wrap: tensor = try extended(tensor, before, after, wraps: mode == .wrap, site)
    }
    return PlacedValue(tensor, order: x.order)
  }

  /// The border repeated, or the other end put beside it: not every backend of Keras pads so.
  mutating func extended(_ x: LayerTensor, _ before: [Int], _ after: [Int], wraps: Bool, _ site: RaisingSite) throws(Failure) -> LayerTensor {
    var tensor = x
    for axis in x.dims.indices where before[axis] > 0 || after[axis] > 0 {
      guard let size = tensor.dims[axis].value, size > 0, !wraps || (before[axis] <= size && after[axis] <= size) else {
        throw refusal(site, "it pads an axis of open size, or beyond the whole of it")
      }
      var parts: [LayerTensor] = []
      for (index, width) in [before[axis], after[axis]].enumerated() {
        if index == 1 { parts.append(tensor) }
        guard width > 0 else { continue }
        if wraps {
          parts.append(try part(tensor, axis: axis, index == 0 ? size - width : 0, index == 0 ? size : width))
        } else {
          let border = try part(tensor, axis: axis, index == 0 ? 0 : size - 1, index == 0 ? 1 : size)
          var repeats = [Int](repeating: 1, count: x.dims.count)
          repeats[axis] = width
          var dims = tensor.dims
          dims[axis] = Dim(width)
          parts.append(try operation("numpy", "Tile", ["repeats": .integers(repeats)], [.tensor(border)], dims, x.element))
        }
      }
      var dims = tensor.dims
      dims[axis] = Dim(size + before[axis] + after[axis])
      tensor = try operation("numpy", "Concatenate", ["axis": .integer(axis)], [.list(parts.map { .tensor($0) })], dims, x.element)
    }
    return tensor
  }
}
