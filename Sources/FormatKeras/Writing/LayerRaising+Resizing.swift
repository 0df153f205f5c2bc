internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension LayerRaising {
  /// The most weights of a matrix that resizes an axis.
  private static let resamplingLimit = 1 << 22

  /// A layer for images where Keras samples at the same places; else each axis by itself, as a product with the weights that
  /// the kernel gives the elements.
  mutating func resized(_ op: ResizeOp, _ site: RaisingSite, _ dims: [Dim]) throws(Failure) -> PlacedValue {
    let x = try standing(site.node.input(0))
    guard x.order.count == dims.count else { throw refusal(site, "its result has other axes") }
    if let image = try resizedImage(op, x, site, dims) { return image }
    return try resampled(op, x, site, dims)
  }

  /// Height and width enlarged by whole numbers, or brought to a fixed size; nil where Keras samples at other places or with
  /// another kernel.
  private mutating func resizedImage(_ op: ResizeOp, _ x: PlacedValue, _ site: RaisingSite, _ dims: [Dim]) throws(Failure) -> PlacedValue? {
    guard x.order.count == 4, dims[0] == x.dims[0], dims[1] == x.dims[1], let from = [x.dims[2].value, x.dims[3].value] as? [Int],
      let to = [dims[2].value, dims[3].value] as? [Int], from.allSatisfy({ $0 > 0 })
    else { return nil }
    // Keras goes by sizes; a factor that does not lead to the size exactly samples at other places.
    for (axis, factor) in try factors(op, site, rank: 4) where axis >= 2 {
      guard abs(factor * Double(from[axis - 2]) - Double(to[axis - 2])) < 1e-5 else { return nil }
    }
    let rounds = op.nearest == .roundPreferFloor || op.nearest == .roundPreferCeil
    let isWhole = zip(from, to).allSatisfy { $1 % $0 == 0 }
    let isHalfPixel = op.coordinates == .halfPixel || (op.coordinates == .pytorchHalfPixel && to.allSatisfy { $0 > 1 })
    let (className, config): (String, [String: JSON])
    if op.mode == .nearest, isWhole,
      op.coordinates == .asymmetric && op.nearest == .floor || (op.coordinates == .halfPixel || op.coordinates == .pytorchHalfPixel) && rounds
    {
      (className, config) = ("UpSampling2D", ["size": .integers([to[0] / from[0], to[1] / from[1]]), "interpolation": .string("nearest")])
    } else {
      let kernel: String
      if isHalfPixel, op.mode == .linear, !op.antialias, !op.excludesOutside {
        kernel = "bilinear"
      } else if op.coordinates == .halfPixel, op.mode == .nearest, op.nearest == .roundPreferCeil {
        kernel = "nearest"
      } else {
        return nil
      }
      (className, config) = ("Resizing", ["height": .integer(to[0]), "width": .integer(to[1]), "interpolation": .string(kernel)])
    }
    let image = try turned(x, to: [0, 2, 3, 1])
    let made = try layer(
      className, config.merging(["data_format": .string("channels_last")]) { $1 }, [.tensor(image)], [dims[0], dims[2], dims[3], dims[1]], image.element)
    return PlacedValue(made, order: [0, 3, 1, 2])
  }

  /// The factors that the operator is given, by axis; none where it goes by sizes.
  private func factors(_ op: ResizeOp, _ site: RaisingSite, rank: Int) throws(Failure) -> [Int: Double] {
    if let sizes = site.node.input(3), try dims(sizes) != [0] { return [:] }
    guard let operand = site.node.input(2), let given = constant(operand)?.doubles() else { throw refusal(site, "its factors depend on the input") }
    let axes = op.axes?.map { $0 < 0 ? $0 + rank : $0 } ?? Array(0..<rank)
    guard axes.count == given.count else { throw refusal(site, "its factors are wrong") }
    return Dictionary(zip(axes, given)) { $1 }
  }

  /// One EinsumDense for each axis whose size changes: resizing is linear, and its axes do not know of each other.
  private mutating func resampled(_ op: ResizeOp, _ x: PlacedValue, _ site: RaisingSite, _ dims: [Dim]) throws(Failure) -> PlacedValue {
    guard op.coordinates != .cropAndResize else { throw refusal(site, "it samples a region") }
    guard op.aspectRatio == .stretch else { throw refusal(site, "it keeps the proportions of an image") }
    guard x.tensor.element.isFloatingPoint else { throw refusal(site, "Keras resizes no \(x.tensor.element.name)") }
    let factors = try factors(op, site, rank: dims.count)
    let (old, element) = (x.dims, x.tensor.element)
    var tensor = x.tensor
    for (axis, dim) in dims.enumerated() where factors[axis].map({ $0 != 1 }) ?? (dim != old[axis]) {
      guard axis > 0, x.order[axis] > 0 else { throw refusal(site, "it resizes the axis of samples") }
      guard let from = old[axis].value, let to = dim.value, from > 0, to > 0 else { throw refusal(site, "its sizes are open") }
      guard let count = [from, to].checkedProduct, count <= LayerRaising.resamplingLimit, from <= 1 << 11 else {
        throw refusal(site, "its sizes are too large")
      }
      let weights = try LayerRaising.resampling(op, from: from, to: to, factor: factors[axis])
      guard weights.dims == [from, to], let letters = LayerRaising.letters(dims.count + 1) else { throw refusal(site, "it has too many axes") }
      let place = x.order[axis]
      let source = Array(letters[..<dims.count])
      var target = source
      target[place] = letters[dims.count]
      var own = tensor.dims
      own[place] = dim
      tensor = try layer(
        "EinsumDense",
        [
          "equation": .string("\(String(source)),\(source[place])\(target[place])->\(String(target))"),
          "output_shape": LayerTensor.json(Array(own.dropFirst())), "bias_axes": .null,
        ], [.tensor(tensor)], own, element, stem: site.module.map { "\($0)_resize" },
        groups: [VariableGroup(variables: [VariableDraft("kernel") { () throws(Failure) in try weights.converted(to: element) }])])
    }
    return PlacedValue(tensor, order: x.order)
  }

  /// What each element of an axis (from) gives to each of the result (to): the operator on unit vectors.
  private static func resampling(_ op: ResizeOp, from: Int, to: Int, factor: Double?) throws(Failure) -> Tensor {
    var own = op
    own.axes = [2]
    var unit = [Float](repeating: 0, count: from * from)
    for index in 0..<from { unit[index * from + index] = 1 }
    let rows = try Tensor(float32: unit, dims: [1, from, from])
    let scales = try factor.map { (value) throws(Failure) in try Tensor(float32: [Float(value)], dims: [1]) }
    let sizes = factor == nil ? try Tensor(.int64, dims: [1], values: [Int64(to)]) : nil
    guard let semantics = Op.indexing(.resize(own)).semantics, let result = try semantics.evaluate([rows, nil, scales, sizes], resultCount: 1).first else {
      throw Failure(.internalError, "Resize has no meaning")
    }
    return try result.reshaped([from, result.count / from])
  }
}
