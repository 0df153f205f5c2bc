internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that read or write pixels at places between and beside others.
extension LayerRaising {
  /// GridSample (ONNX 22) by rows of pixels: the places as numbers of pixels, and for each pixel around a place its weight.
  mutating func gridSample(_ op: CataloguedOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let dims = try dims(result)
    let image = try standing(site.node.input(0))
    var grid = try plain(site.node.input(1))
    let rank = image.order.count
    guard op.word("mode") != "cubic" else { throw refusal(site, "its interpolation is cubic") }
    guard (3...5).contains(rank), grid.dims.count == rank, dims.count == rank, let sizes = Shape(Array(image.dims[2...])).concrete,
      let pixels = sizes.checkedProduct, (1..<(1 << 24)).contains(pixels), let count = Shape(Array(dims[2...])).concrete?.checkedProduct
    else { throw refusal(site, "its sizes are open, or too large") }
    let element = image.tensor.element
    let (batch, channels) = (dims[0], dims[1])
    let rows = try reshapedPlainly(try turned(image, to: [0] + Array(2..<rank) + [1]), [image.dims[0], Dim(pixels), channels])
    if grid.element != .float32 { grid = try operation("core", "Cast", ["dtype": .string("float32")], [.tensor(grid)], grid.dims, .float32) }
    let points = try reshapedPlainly(grid, [grid.dims[0], Dim(count), Dim(rank - 2)])

    // For each axis the pixels around a place: how far along the rows, and their weight.
    var taps: [[(offset: LayerTensor, weight: LayerTensor?)]] = []
    var stride = pixels
    for (axis, size) in sizes.enumerated() {
      stride /= max(size, 1)
      let all = CallArgument.slice(start: nil, stop: nil, step: nil)
      let coordinate = try operation(
        "numpy", "GetItem", [:], [.tensor(points), .list([all, all, .integer(rank - 3 - axis)])], [grid.dims[0], Dim(count)], .float32)
      let axisTaps = try pixelTaps(coordinate, size, op)
      var offsets: [(offset: LayerTensor, weight: LayerTensor?)] = []
      for tap in axisTaps { offsets.append((stride == 1 ? tap.pixel : try rescaled(tap.pixel, scale: Double(stride)), tap.weight)) }
      taps.append(offsets)
    }
    var corners: [(offset: LayerTensor, weight: LayerTensor?)] = []
    for (axis, own) in taps.enumerated() {
      if axis == 0 {
        corners = own
        continue
      }
      var next: [(offset: LayerTensor, weight: LayerTensor?)] = []
      for corner in corners {
        for tap in own {
          let offset = try combined("Add", corner.offset, .tensor(tap.offset))
          next.append((offset, try weightProduct(corner.weight, tap.weight)))
        }
      }
      corners = next
    }
    let listed: [Dim] = [batch, Dim(count), 1]
    var sum: LayerTensor?
    for corner in corners {
      let number = try operation("core", "Cast", ["dtype": .string("int32")], [.tensor(corner.offset)], corner.offset.dims, .int32)
      let index = try reshapedPlainly(number, listed)
      var value = try operation(
        "numpy", "TakeAlongAxis", ["axis": .integer(1)], [.tensor(rows), .tensor(index)], [batch, Dim(count), channels], element)
      if let weight = corner.weight {
        let typed =
          element == .float32 ? weight : try operation("core", "Cast", ["dtype": .string(element.kerasName)], [.tensor(weight)], weight.dims, element)
        value = try combined("Multiply", value, .tensor(try reshapedPlainly(typed, listed)))
      }
      sum = try sum.map { (before) throws(Failure) in try combined("Add", before, .tensor(value)) } ?? value
    }
    guard let sum else { throw refusal(site, "it has no pixels") }
    let last = try reshapedPlainly(sum, [batch] + dims[2...] + [channels])
    place(result, PlacedValue(last, order: [0, rank - 1] + Array(1..<(rank - 1))))
  }

  private mutating func weightProduct(_ a: LayerTensor?, _ b: LayerTensor?) throws(Failure) -> LayerTensor? {
    guard let a, let b else { return a ?? b }
    return try combined("Multiply", a, .tensor(b))
  }

  /// The pixels of one axis around places between -1 and 1, and their weights; nil is 1.
  private mutating func pixelTaps(
    _ coordinate: LayerTensor, _ size: Int, _ op: CataloguedOp
  ) throws(Failure) -> [(pixel: LayerTensor, weight: LayerTensor?)] {
    let aligned = op.flag("align_corners")
    let isNearest = op.word("mode") == "nearest"
    let last = Double(size - 1)
    var position = try rescaled(coordinate, scale: aligned ? last / 2 : Double(size) / 2, offset: last / 2)
    if isNearest { position = try operation("numpy", "Round", ["decimals": .integer(0)], [.tensor(position)], position.dims, .float32) }
    let padding = op.word("padding_mode")
    if padding == "reflection" {
      // A zigzag between the mirrors.
      let (low, span) = aligned ? (0, last) : (-0.5, Double(size))
      let away = try operation("numpy", "Absolute", [:], [.tensor(try rescaled(position, offset: -low))], position.dims, .float32)
      if span > 0 {
        let turn = try combined("Mod", away, .number(2 * span))
        let back = try operation("numpy", "Absolute", [:], [.tensor(try rescaled(turn, offset: -span))], position.dims, .float32)
        position = try rescaled(back, scale: -1, offset: low + span)
      } else {
        position = try rescaled(position, scale: 0)
      }
    }
    if padding != "zeros" { position = try clipped(position, last) }
    if isNearest { return [try tap(position, nil, last, padding)] }
    let floor = try operation("numpy", "Floor", [:], [.tensor(position)], position.dims, .float32)
    let part = try combined("Subtract", position, .tensor(floor))
    return [
      try tap(floor, try rescaled(part, scale: -1, offset: 1), last, padding), try tap(try rescaled(floor, offset: 1), part, last, padding),
    ]
  }

  /// A pixel brought inside; one that was outside counts for nothing where the padding is zeros.
  private mutating func tap(
    _ pixel: LayerTensor, _ weight: LayerTensor?, _ last: Double, _ padding: String
  ) throws(Failure) -> (pixel: LayerTensor, weight: LayerTensor?) {
    var weight = weight
    if padding == "zeros" {
      let above = try combined("GreaterEqual", pixel, .number(0), .bool)
      let below = try combined("LessEqual", pixel, .number(last), .bool)
      let inside = try combined("LogicalAnd", above, .tensor(below))
      weight = try weightProduct(weight, try operation("core", "Cast", ["dtype": .string("float32")], [.tensor(inside)], pixel.dims, .float32))
    }
    return (try clipped(pixel, last), weight)
  }

  private mutating func clipped(_ x: LayerTensor, _ last: Double) throws(Failure) -> LayerTensor {
    try operation("numpy", "Clip", ["x_min": .number(0), "x_max": .number(last)], [.tensor(x)], x.dims, x.element)
  }

  /// Col2Im (ONNX 18) of pictures: a transposed convolution of each channel by itself, whose kernel puts each row of a block
  /// in its place.
  mutating func col2Im(_ op: CataloguedOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let dims = try dims(result)
    guard let block = constant(site.node.input(2))?.integers(), block.count == 2, dims.count == 4, let channels = dims[1].value,
      let image = Shape(Array(dims[2...])).concrete, block.allSatisfy({ (1...(1 << 10)).contains($0) })
    else { throw refusal(site, "it makes no picture of known size") }
    func pair(_ name: String) -> [Int] { op.ints(name).isEmpty ? [1, 1] : op.ints(name) }
    let (strides, dilations) = (pair("strides"), pair("dilations"))
    let pads = op.ints("pads").isEmpty ? [0, 0, 0, 0] : op.ints("pads")
    guard strides.count == 2, dilations.count == 2, pads.count == 4, (strides + dilations).allSatisfy({ (1...(1 << 10)).contains($0) }),
      (pads + image).allSatisfy({ (0...(1 << 20)).contains($0) })
    else { throw refusal(site, "its windows are wrong") }
    var kernel: [Int] = []
    var counts: [Int] = []
    for axis in 0..<2 {
      let reach = (block[axis] - 1) * dilations[axis] + 1
      let room = image[axis] + pads[axis] + pads[axis + 2] - reach
      kernel.append(reach)
      counts.append(room < 0 ? 0 : room / strides[axis] + 1)
    }
    let taps = block[0] * block[1]
    let element = try element(result)
    guard counts.allSatisfy({ $0 > 0 }), let size = [kernel[0], kernel[1], taps].checkedProduct, size <= 1 << 24, element.isFloatingPoint else {
      throw refusal(site, "its windows are wrong")
    }
    let x = try plain(site.node.input(0))
    let parts = try reshapedPlainly(x, [x.dims[0], Dim(channels), Dim(taps), Dim(counts[0]), Dim(counts[1])])
    let last = try turned(PlacedValue(parts), to: [0, 1, 3, 4, 2])
    let planes: Dim = x.dims[0].value == nil ? Dim(symbol: "planes") : x.dims[0].multiplied(by: Dim(channels)) ?? Dim(symbol: "planes")
    let windows = try operation(
      "numpy", "Reshape", ["newshape": .integers([-1, counts[0], counts[1], taps])], [.tensor(last)],
      [planes, Dim(counts[0]), Dim(counts[1]), Dim(taps)], element)
    // Keras gives everything, and so many zeros at the end as make each step the same.
    let full = zip(counts, zip(kernel, strides)).map { (count: Int, step: (Int, Int)) -> Int in count * step.1 + max(step.0 - step.1, 0) }
    let made = try layer(
      "Conv2DTranspose",
      [
        "filters": .integer(1), "kernel_size": .integers(kernel), "strides": .integers(strides), "padding": .string("valid"),
        "data_format": .string("channels_last"), "activation": .string("linear"), "use_bias": .bool(false),
      ], [.tensor(windows)], [planes, Dim(full[0]), Dim(full[1]), 1], element, stem: site.module,
      groups: [
        VariableGroup(variables: [
          VariableDraft("kernel") { [kernel] () throws(Failure) in
            var values = [Double](repeating: 0, count: size)
            for row in 0..<block[0] {
              for column in 0..<block[1] {
                let pixel: Int = row * dilations[0] * kernel[1] + column * dilations[1]
                values[pixel * taps + row * block[1] + column] = 1
              }
            }
            return try Tensor.filled(values, dims: [kernel[0], kernel[1], 1, taps], element)
          }
        ])
      ])
    var picture = made
    for axis in 0..<2 {
      let end = pads[axis] + image[axis]
      if end < full[axis] || pads[axis] > 0 { picture = try part(picture, axis: axis + 1, pads[axis], min(end, full[axis])) }
      if end > full[axis] {
        var after = [Int](repeating: 0, count: 4)
        after[axis + 1] = end - max(full[axis], pads[axis])
        picture = try padded(picture, [0, 0, 0, 0], after, mode: "constant", value: 0)
      }
    }
    place(result, try operation("numpy", "Reshape", ["newshape": .integers([-1, channels] + image)], [.tensor(picture)], dims, element))
  }
}
