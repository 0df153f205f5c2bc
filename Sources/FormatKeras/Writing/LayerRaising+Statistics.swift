internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension LayerRaising {
  // MARK: Norms

  mutating func normalization(_ op: NormalizationOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result, site.node.outputs.dropFirst().allSatisfy({ $0 == nil }) else { throw refusal(site, "its statistics are read") }
    let x = try standing(site.node.input(0))
    let rank = x.order.count
    switch op {
    case .layer(let axis, let epsilon): place(result, try layerNorm(x, axis: axis, epsilon: epsilon, site))
    case .rms(let axis, let epsilon):
      let axis = axis < 0 ? axis + rank : axis
      guard axis == rank - 1, let scale = constant(site.node.input(1)) else {
        throw refusal(site, "it runs over several axes, or its scale depends on the input")
      }
      let width = scale.count
      let made = try layer(
        "RMSNormalization", ["axis": .integer(x.order[axis]), "epsilon": .number(LayerRaising.decimal(epsilon))], [.tensor(x.tensor)], x.tensor.dims,
        x.tensor.element, stem: site.module,
        groups: [VariableGroup(variables: [VariableDraft("scale") { () throws(Failure) in try scale.reshaped([width]) }])])
      place(result, PlacedValue(made, order: x.order))
    case .batch(let epsilon):
      guard rank > 1 else { throw refusal(site, "there is no axis of channels") }
      var variables: [VariableDraft] = []
      for (index, name) in ["gamma", "beta", "moving_mean", "moving_variance"].enumerated() {
        guard let tensor = constant(site.node.input(index + 1)) else { throw refusal(site, "its statistics depend on the input") }
        variables.append(VariableDraft(name) { () throws(Failure) in tensor })
      }
      let made = try layer(
        "BatchNormalization", ["axis": .integer(x.order[1]), "epsilon": .number(LayerRaising.decimal(epsilon))], [.tensor(x.tensor)], x.tensor.dims,
        x.tensor.element, stem: site.module, groups: [VariableGroup(variables: variables)])
      place(result, PlacedValue(made, order: x.order))
    case .instance(let epsilon): place(result, try groupNorm(x, groups: nil, epsilon: epsilon, site))
    case .group(let groups, let epsilon): place(result, try groupNorm(x, groups: groups, epsilon: epsilon, site))
    case .lp(let axis, let p):
      guard p == 2 else { throw refusal(site, "Keras divides by the Euclidean length alone") }
      guard (-rank..<rank).contains(axis) else { throw refusal(site, "its axis is wrong") }
      let place = x.order[axis < 0 ? axis + rank : axis]
      let made = try layer("UnitNormalization", ["axis": .integer(place)], [.tensor(x.tensor)], x.tensor.dims, x.tensor.element)
      self.place(result, PlacedValue(made, order: x.order))
    case .batchTraining, .localResponse, .meanVariance, .skipLayer, .skipRMS: throw refusal(site, "there is no such layer")
    }
  }

  private mutating func layerNorm(_ x: PlacedValue, axis: Int, epsilon: Float, _ site: RaisingSite) throws(Failure) -> PlacedValue {
    let rank = x.order.count
    let axis = axis < 0 ? axis + rank : axis
    guard (1..<rank).contains(axis), let scale = constant(site.node.input(1)) else { throw refusal(site, "its scale depends on the input") }
    let shift = constant(site.node.input(2))
    if site.node.input(2) != nil, shift == nil { throw refusal(site, "its shift depends on the input") }
    var x = x
    // Keras lays the weights of several axes in the order of the axes.
    if axis < rank - 1, Array(x.order[axis...]) != Array(axis..<rank) { x = PlacedValue(try turned(x, to: Array(0..<rank))) }
    let places = Array(x.order[axis...])
    var widths: [Int] = []
    for place in places {
      guard let width = x.tensor.dims[place].value else { throw refusal(site, "an axis that it runs over is open") }
      widths.append(width)
    }
    let shape = widths
    var variables: [VariableDraft] = []
    for (name, tensor) in [("gamma", Optional(scale)), ("beta", shift)] {
      guard let tensor else { continue }
      guard let whole = LayerRaising.broadcast(tensor, to: shape) else { throw refusal(site, "its weights are not those of the axes") }
      variables.append(VariableDraft(name) { () throws(Failure) in whole })
    }
    let isLast = places == [rank - 1]
    let made = try layer(
      "LayerNormalization",
      [
        "axis": isLast ? .integer(-1) : .integers(places), "epsilon": .number(LayerRaising.decimal(epsilon)), "center": .bool(shift != nil),
        "scale": .bool(true),
      ], [.tensor(x.tensor)], x.tensor.dims, x.tensor.element, stem: site.module, groups: [VariableGroup(variables: variables)])
    return PlacedValue(made, order: x.order)
  }

  /// The tensor as it stands, or its one element everywhere; nil where it is neither.
  private static func broadcast(_ tensor: Tensor, to dims: [Int]) -> Tensor? {
    guard let count = dims.checkedProduct else { return nil }
    if tensor.count == count { return try? tensor.reshaped(dims) }
    guard tensor.count == 1, let value = tensor.scalar else { return nil }
    return try? Tensor.filled([Double](repeating: value, count: count), dims: dims, tensor.elementType)
  }

  /// Groups of channels; nil: each channel by itself.
  private mutating func groupNorm(_ x: PlacedValue, groups: Int?, epsilon: Float, _ site: RaisingSite) throws(Failure) -> PlacedValue {
    guard let scale = constant(site.node.input(1)), let shift = constant(site.node.input(2)), x.order.count > 2 else {
      throw refusal(site, "its weights depend on the input")
    }
    let made = try layer(
      "GroupNormalization",
      ["groups": .integer(groups ?? -1), "axis": .integer(x.order[1]), "epsilon": .number(LayerRaising.decimal(epsilon))], [.tensor(x.tensor)],
      x.tensor.dims, x.tensor.element, stem: site.module,
      groups: [
        VariableGroup(variables: [VariableDraft("gamma") { () throws(Failure) in scale }, VariableDraft("beta") { () throws(Failure) in shift }])
      ])
    return PlacedValue(made, order: x.order)
  }

  // MARK: Softmax

  mutating func softmax(_ op: SoftmaxOp, _ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    guard !x.order.isEmpty else { throw refusal(site, "a single number has no axes") }
    func axis(_ axis: Int) -> Int { x.order[axis < 0 ? axis + x.order.count : axis] }
    let made: LayerTensor
    switch op {
    case .softmax(let given): made = try layer("Softmax", ["axis": .integer(axis(given))], [.tensor(x.tensor)], x.tensor.dims, x.tensor.element)
    case .logSoftmax(let given) where axis(given) == x.order.count - 1: made = try activation("log_softmax", x.tensor)
    case .logSoftmax(let given):
      made = try operation("nn", "LogSoftmax", ["axis": .integer(axis(given))], [.tensor(x.tensor)], x.tensor.dims, x.tensor.element)
    case .hardmax: throw refusal(site, "there is no such layer")
    }
    place(site.result, PlacedValue(made, order: x.order))
  }

  // MARK: Reductions

  mutating func reduction(_ op: ReductionOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let x = try standing(site.node.input(0))
    let rank = x.order.count
    var axes = Array(0..<rank)
    if let operand = site.node.input(1) {
      guard let given = constant(operand)?.integers() else { throw refusal(site, "its axes depend on the input") }
      axes = given.map { $0 < 0 ? $0 + rank : $0 }
      if axes.isEmpty { axes = op.noopWithEmptyAxes ? [] : Array(0..<rank) }
    } else if op.noopWithEmptyAxes {
      axes = []
    }
    guard axes.allSatisfy({ (0..<rank).contains($0) }) else { throw refusal(site, "its axes are wrong") }
    if axes.isEmpty { return place(result, x) }
    let places = axes.map { x.order[$0] }.sorted()
    let element = try element(result)
    var dims: [Dim] = []
    var order: [Int] = []
    for (place, axis) in x.axes.enumerated() {
      if op.keepDims || !axes.contains(axis) { dims.append(axes.contains(axis) ? Dim(1) : x.tensor.dims[place]) }
    }
    // The axes that stay, in the order in which the tensor holds them.
    let kept = x.axes.filter { op.keepDims || !axes.contains($0) }
    for axis in kept.sorted() { order.append(kept.firstIndex(of: axis) ?? 0) }
    let made = try reduced(op, x.tensor, places, dims, element, site)
    place(result, PlacedValue(made, order: order))
  }

  private mutating func reduced(
    _ op: ReductionOp, _ x: LayerTensor, _ places: [Int], _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor {
    let rank = x.dims.count
    // All axes between samples and channels: a layer of its own.
    if (3...5).contains(rank), places == Array(1..<(rank - 1)), op.kind == .mean || op.kind == .max, element.isFloatingPoint {
      return try layer(
        "Global\(op.kind == .mean ? "Average" : "Max")Pooling\(rank - 2)D",
        ["keepdims": .bool(op.keepDims), "data_format": .string("channels_last")], [.tensor(x)], dims, element)
    }
    if layersOnly, op.kind == .mean || op.kind == .sum, let made = try weightedSum(op, x, places, dims, element, site) { return made }
    let config: [String: JSON] = ["axis": .integers(places), "keepdims": .bool(op.keepDims)]
    func squared() throws(Failure) -> LayerTensor { try layer("Multiply", [:], [.list([.tensor(x), .tensor(x)])], x.dims, x.element) }
    switch op.kind {
    case .mean: return try operation("numpy", "Mean", config, [.tensor(x)], dims, element)
    case .sum: return try operation("numpy", "Sum", config, [.tensor(x)], dims, element)
    case .max: return try operation("numpy", "Max", config, [.tensor(x)], dims, element)
    case .min: return try operation("numpy", "Min", config, [.tensor(x)], dims, element)
    case .prod: return try operation("numpy", "Prod", config, [.tensor(x)], dims, element)
    case .logSumExp: return try operation("math", "Logsumexp", config, [.tensor(x)], dims, element)
    case .sumSquare: return try operation("numpy", "Sum", config, [.tensor(try squared())], dims, element)
    case .l2:
      let sum = try operation("numpy", "Sum", config, [.tensor(try squared())], dims, element)
      return try operation("numpy", "Sqrt", [:], [.tensor(sum)], dims, element)
    case .l1:
      let sizes = try operation("numpy", "Absolute", [:], [.tensor(x)], x.dims, x.element)
      return try operation("numpy", "Sum", config, [.tensor(sizes)], dims, element)
    case .logSum:
      let sum = try operation("numpy", "Sum", config, [.tensor(x)], dims, element)
      return try operation("numpy", "Log", [:], [.tensor(sum)], dims, element)
    case .argMax, .argMin:
      guard let place = places.first, places.count == 1 else { throw refusal(site, "it runs over several axes") }
      let name = op.kind == .argMax ? "Argmax" : "Argmin"
      let index = try operation(
        "numpy", name, ["axis": .integer(place), "keepdims": .bool(op.keepDims)], [.tensor(x)], dims, .int32)
      return try operation("core", "Cast", ["dtype": .string(element.kerasName)], [.tensor(index)], dims, element)
    case .lastArgMax, .lastArgMin: throw refusal(site, "Keras tells the first of equal extremes")
    }
  }

  /// A sum or mean over axes of known sizes as an EinsumDense with equal weights; nil for other axes.
  private mutating func weightedSum(
    _ op: ReductionOp, _ x: LayerTensor, _ places: [Int], _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> LayerTensor? {
    guard element.isFloatingPoint, !places.contains(0), let letters = LayerRaising.letters(x.dims.count),
      let sizes = Shape(places.map { x.dims[$0] }).concrete, let count = sizes.checkedProduct, count > 0, count <= LayerRaising.literalLimit
    else { return nil }
    let kept = x.dims.indices.filter { !places.contains($0) }
    // A single axis of samples is no tensor of Keras's: one of size 1 is put beside it.
    let isAlone = kept.count == 1
    guard !isAlone || op.keepDims, let all = LayerRaising.letters(x.dims.count + 1) else { return nil }
    let extra = isAlone ? [all[x.dims.count]] : []
    let weight = op.kind == .mean ? 1 / Double(count) : 1
    let own = kept.map { x.dims[$0] } + (isAlone ? [Dim(1)] : [])
    let kernel = sizes + (isAlone ? [1] : [])
    let made = try layer(
      "EinsumDense",
      [
        "equation": .string("\(String(letters)),\(String(places.map { letters[$0] } + extra))->\(String(kept.map { letters[$0] } + extra))"),
        "output_shape": LayerTensor.json(Array(own.dropFirst())), "bias_axes": .null,
      ], [.tensor(x)], own, element, stem: site.module.map { "\($0)_\(op.kind == .mean ? "mean" : "sum")" },
      groups: [
        VariableGroup(variables: [
          VariableDraft("kernel") { () throws(Failure) in try Tensor.filled([Double](repeating: weight, count: count), dims: kernel, element) }
        ])
      ])
    return try reshapedPlainly(made, dims)
  }

  mutating func cumulative(_ op: CumulativeOp, _ site: RaisingSite) throws(Failure) {
    let x = try standing(site.node.input(0))
    guard let axis = constant(site.node.input(1))?.scalar.flatMap({ Int(exactly: $0) }), !op.exclusive, !op.reverse,
      (-x.order.count..<x.order.count).contains(axis)
    else { throw refusal(site, "Keras sums from the start, the element itself included") }
    let place = x.order[axis < 0 ? axis + x.order.count : axis]
    let made = try operation(
      "numpy", op.kind == .sum ? "Cumsum" : "Cumprod", ["axis": .integer(place)], [.tensor(x.tensor)], x.tensor.dims, x.tensor.element)
    self.place(site.result, PlacedValue(made, order: x.order))
  }
}
