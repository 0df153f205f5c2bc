internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension LayerRaising {
  mutating func layout(_ op: LayoutOp, _ site: RaisingSite) throws(Failure) {
    guard let result = site.result else { return }
    let dims = try dims(result)
    if let tensor = constant(site.node.input(0)), let rearranged = try rearranged(op, tensor, dims, site) { return setRepeated(result, rearranged) }
    switch op {
    case .reshape, .squeeze, .unsqueeze, .flatten: place(result, try reshaped(try standing(site.node.input(0)), dims, site))
    case .transpose(let given):
      let x = try standing(site.node.input(0))
      let axes = given.isEmpty ? Array((0..<x.order.count).reversed()) : given
      place(result, PlacedValue(x.tensor, order: axes.map { x.order[$0] }))
    case .expand, .tile:
      let x = try plain(site.node.input(0))
      if x.dims == dims { return place(result, x) }
      guard case .expand = op else { return place(result, try tiled(x, dims, site)) }
      place(result, try widened(x, dims, site))
    case .concat(let axis): place(result, try concatenated(site, axis: axis, dims))
    case .split(let axis): try split(site, axis: axis)
    case .slice: place(result, try sliced(site, dims))
    case .pad(let mode): place(result, try padded(mode, site, dims))
    case .depthToSpace(let size, let columnRow): place(result, try depthToSpace(site, size, columnRow: columnRow, dims))
    case .spaceToDepth(let size, let columnRow): place(result, try spaceToDepth(site, size, columnRow: columnRow, dims))
    case .centerCropPad, .reverseSequence: throw refusal(site, "there is no such layer")
    }
  }

  /// A constant that is repeated for each sample stays one, and so do rearrangements of it that leave samples alone; nil for
  /// others.
  private func rearranged(_ op: LayoutOp, _ tensor: Tensor, _ dims: [Dim], _ site: RaisingSite) throws(Failure) -> Tensor? {
    switch op {
    // A repetition that widens axes of size 1 alone is an expansion.
    case .tile where tensor.dims.count == dims.count && !zip(tensor.dims, dims).allSatisfy({ $0 == 1 || $1 == Dim($0) }): return nil
    case .expand, .tile:
      guard tensor.dims.count <= dims.count else { throw refusal(site, "it has fewer axes than its operand") }
      // Repetition along numbers is carried out, along open axes it is what broadcasting does anyway.
      let sizes = [Int](repeating: 1, count: dims.count - tensor.dims.count) + tensor.dims
      var whole = try tensor.reshaped(sizes)
      for (axis, dim) in dims.enumerated() {
        guard let size = dim.value, size != sizes[axis], sizes[axis] == 1 else { continue }
        guard size <= LayerRaising.literalLimit, whole.count <= LayerRaising.literalLimit * 16 / max(size, 1) else {
          throw refusal(site, "the repeated constant is too large")
        }
        whole = try whole.selecting([Int](repeating: 0, count: size), axis: axis)
      }
      return whole
    case .transpose(let axes) where axes.first == 0 && axes.count == tensor.dims.count: return try tensor.transposed(axes)
    case .reshape, .squeeze, .unsqueeze:
      guard let batch = dims.first, batch.value == nil, tensor.dims.first == 1, let rest = Shape(Array(dims.dropFirst())).concrete,
        rest.checkedProduct == tensor.count
      else { return nil }
      return try tensor.reshaped([1] + rest)
    default: return nil
    }
  }

  /// A constant as a tensor of the model, the same for each sample: the bias of a Dense layer on zeros made of an input. One
  /// that has no samples, or is not made of floating-point numbers, is a literal times a one that is made of an input.
  mutating func standing(constant tensor: Tensor, as dims: [Dim]) throws(Failure) -> PlacedValue {
    guard let batch = dims.first, let input = model.inputs.first(where: { $0.dims[0] == batch && $0.dims.count > 1 }),
      let rest = Shape(Array(dims.dropFirst())).concrete, let count = rest.checkedProduct, count == tensor.count, tensor.elementType.isFloatingPoint
    else { return PlacedValue(try standing(literal: tensor, as: dims)) }
    let element = tensor.elementType
    let one = try firstElements(of: input)
    let column = try operation("numpy", "Reshape", ["newshape": .integers([-1, 1])], [.tensor(one)], [batch, 1], input.element)
    let floats =
      column.element == element ? column : try operation("core", "Cast", ["dtype": .string(element.kerasName)], [.tensor(column)], [batch, 1], element)
    let zeros = try operation("numpy", "ZerosLike", [:], [.tensor(floats)], [batch, 1], element)
    let made = try layer(
      "Dense", ["units": .integer(count), "activation": .string("linear"), "use_bias": .bool(true)], [.tensor(zeros)], [batch, Dim(count)], element,
      stem: "constant",
      groups: [
        VariableGroup(variables: [
          VariableDraft("kernel") { () throws(Failure) in try Tensor.filled([Double](repeating: 0, count: count), dims: [1, count], element) },
          VariableDraft("bias") { () throws(Failure) in try tensor.reshaped([count]) },
        ])
      ])
    return PlacedValue(try reshapedPlainly(made, dims))
  }

  private mutating func standing(literal tensor: Tensor, as dims: [Dim]) throws(Failure) -> LayerTensor {
    let isRepeated = dims.first.map { $0.value == nil } ?? false
    guard tensor.count <= LayerRaising.literalLimit, tensor.count > 0, tensor.elementType.isOfKeras,
      let own = Shape(isRepeated ? Array([Dim(1)] + dims.dropFirst()) : dims).concrete, own.checkedProduct == tensor.count,
      let source = model.inputs.first(where: { !isRepeated || $0.dims.first == dims.first })
    else { throw Failure(.notExpressible, "a constant of shape \(tensor.type) stands where Keras takes a tensor alone") }
    let element: ElementType = tensor.elementType == .bool ? .int32 : tensor.elementType
    var one = try operation(
      "numpy", "OnesLike", ["dtype": .string(element.kerasName)], [.tensor(try firstElements(of: source))], [source.dims[0]], element)
    if isRepeated {
      let column = [Int](repeating: 1, count: dims.count - 1)
      if !column.isEmpty {
        one = try operation("numpy", "Reshape", ["newshape": .integers([-1] + column)], [.tensor(one)], [dims[0]] + column.map { Dim($0) }, element)
      }
    } else {
      one = try operation("numpy", "Max", ["axis": .null, "keepdims": .bool(false)], [.tensor(one)], [], element)
    }
    let literal = CallArgument.literal(try tensor.converted(to: element).reshaped(own))
    let made = try operation("numpy", "Multiply", [:], [.tensor(one), literal], dims, element)
    return tensor.elementType == .bool ? try operation("core", "Cast", ["dtype": .string("bool")], [.tensor(made)], dims, .bool) : made
  }

  /// One element of each sample.
  mutating func firstElements(of input: LayerTensor) throws(Failure) -> LayerTensor {
    let first = [CallArgument.slice(start: nil, stop: nil, step: nil)] + [CallArgument](repeating: .integer(0), count: input.dims.count - 1)
    return try operation("numpy", "GetItem", [:], [.tensor(input), .list(first)], [input.dims[0]], input.element)
  }

  // MARK: Reshapes

  /// The value with other dimensions. Axes that only merge or split keep the order in which they stand, where each group of
  /// them stands together.
  private mutating func reshaped(_ x: PlacedValue, _ dims: [Dim], _ site: RaisingSite) throws(Failure) -> PlacedValue {
    if !x.isPlain, let kept = RegroupedAxes(x, to: dims) {
      return PlacedValue(try reshapedPlainly(x.tensor, kept.tensorDims), order: kept.order)
    }
    return PlacedValue(try reshapedPlainly(try turned(x, to: Array(x.order.indices)), dims))
  }

  mutating func reshapedPlainly(_ x: LayerTensor, _ dims: [Dim]) throws(Failure) -> LayerTensor {
    if x.dims == dims { return x }
    func sizes(_ dims: ArraySlice<Dim>) throws(Failure) -> [Int] {
      let result = dims.map { $0.value ?? -1 }
      guard result.filter({ $0 == -1 }).count <= 1 else {
        throw Failure(.notExpressible, "a reshape from \(Shape(x.dims)) to \(Shape(Array(dims))) leaves several sizes open")
      }
      return result
    }
    if dims.count > 1, x.dims.first == dims.first {
      return try layer("Reshape", ["target_shape": .integers(try sizes(dims.dropFirst()))], [.tensor(x)], dims, x.element)
    }
    return try operation("numpy", "Reshape", ["newshape": .integers(try sizes(dims[...]))], [.tensor(x)], dims, x.element)
  }

  /// A tensor repeated along axes of size 1; axes of open size stay as they are.
  private mutating func widened(_ x: LayerTensor, _ dims: [Dim], _ site: RaisingSite) throws(Failure) -> LayerTensor {
    if let sizes = Shape(dims).concrete {
      return try operation("numpy", "BroadcastTo", ["shape": .integers(sizes)], [.tensor(x)], dims, x.element)
    }
    let own = [Dim](repeating: 1, count: max(dims.count - x.dims.count, 0)) + x.dims
    guard own.count == dims.count else { throw refusal(site, "it has fewer axes than its operand") }
    return try repeated(try reshapedPlainly(x, own), dims, site)
  }

  private mutating func tiled(_ x: LayerTensor, _ dims: [Dim], _ site: RaisingSite) throws(Failure) -> LayerTensor {
    guard let repeats = constant(site.node.input(1))?.integers() else {
      guard x.dims.count == dims.count else { throw refusal(site, "its counts depend on the input") }
      return try repeated(x, dims, site)
    }
    return try operation("numpy", "Tile", ["repeats": .integers(repeats)], [.tensor(x)], dims, x.element)
  }

  /// A tensor repeated until it is of a shape; along the axis of samples as a product with ones that are made of an input.
  private mutating func repeated(_ x: LayerTensor, _ dims: [Dim], _ site: RaisingSite) throws(Failure) -> LayerTensor {
    var repeats: [Int] = []
    var own = dims
    for (axis, (before, after)) in zip(x.dims, dims).enumerated() {
      if before == after {
        repeats.append(1)
      } else if let old = before.value, let new = after.value, old > 0, new % old == 0 {
        repeats.append(new / old)
      } else if axis == 0, before.value == 1, model.inputs.contains(where: { $0.dims.first == after }), x.element != .bool {
        repeats.append(1)
        own[0] = Dim(1)
      } else {
        throw refusal(site, "it widens a tensor along an open axis")
      }
    }
    var result = x
    if repeats.contains(where: { $0 != 1 }) { result = try operation("numpy", "Tile", ["repeats": .integers(repeats)], [.tensor(x)], own, x.element) }
    guard own != dims, let input = model.inputs.first(where: { $0.dims.first == dims[0] }) else { return result }
    let ones = try operation(
      "numpy", "OnesLike", ["dtype": .string(x.element.kerasName)], [.tensor(try firstElements(of: input))], [dims[0]], x.element)
    let column = [Int](repeating: 1, count: dims.count - 1)
    let laid = try operation(
      "numpy", "Reshape", ["newshape": .integers([-1] + column)], [.tensor(ones)], [dims[0]] + column.map { Dim($0) }, x.element)
    return try operation("numpy", "Multiply", [:], [.tensor(result), .tensor(laid)], dims, x.element)
  }

  // MARK: Parts

  private mutating func split(_ site: RaisingSite, axis: Int) throws(Failure) {
    let x = try standing(site.node.input(0))
    let axis = axis < 0 ? axis + x.order.count : axis
    var start = 0
    for result in site.node.outputs {
      guard let result else { throw refusal(site, "a part of it is left out") }
      guard let size = try dims(result)[axis].value else { throw refusal(site, "the size of a part is open") }
      place(result, PlacedValue(try part(x.tensor, axis: x.order[axis], start, start + size), order: x.order))
      start += size
    }
  }

  private mutating func sliced(_ site: RaisingSite, _ dims: [Dim]) throws(Failure) -> PlacedValue {
    let x = try standing(site.node.input(0))
    func numbers(_ index: Int) throws(Failure) -> [Int]? {
      guard let operand = site.node.input(index) else { return nil }
      guard let known = typed.known(operand)?.integers ?? constant(operand)?.integers() else { throw refusal(site, "its bounds depend on the input") }
      return known
    }
    guard let starts = try numbers(1), let ends = try numbers(2), starts.count == ends.count else { throw refusal(site, "its bounds are left out") }
    let axes = try numbers(3) ?? Array(starts.indices)
    let steps = try numbers(4) ?? [Int](repeating: 1, count: starts.count)
    guard axes.count == starts.count, steps.count == starts.count else { throw refusal(site, "its bounds are wrong") }
    var tensor = x.tensor
    for index in starts.indices {
      let axis = axes[index] < 0 ? axes[index] + x.order.count : axes[index]
      guard x.order.indices.contains(axis) else { throw refusal(site, "its axes are wrong") }
      let place = x.order[axis]
      if let size = tensor.dims[place].value, steps[index] == 1 {
        let start = min(max(starts[index] < 0 ? starts[index] + size : starts[index], 0), size)
        let end = min(max(ends[index] < 0 ? ends[index] + size : ends[index], start), size)
        tensor = try part(tensor, axis: place, start, end)
      } else if steps[index] == -1, starts[index] == -1 || starts[index] >= Int(Int32.max), ends[index] <= Int(Int32.min) + 1 {
        tensor = try operation("numpy", "Flip", ["axis": .integer(place)], [.tensor(tensor)], tensor.dims, tensor.element)
      } else {
        guard steps[index] > 0 else { throw refusal(site, "it runs backwards") }
        let slices = tensor.dims.indices.map { other -> CallArgument in
          other == place
            ? .slice(start: starts[index], stop: ends[index] >= Int(Int32.max) ? nil : ends[index], step: steps[index])
            : .slice(start: nil, stop: nil, step: nil)
        }
        var own = tensor.dims
        own[place] = dims[axis]
        tensor = try operation("numpy", "GetItem", [:], [.tensor(tensor), .list(slices)], own, tensor.element)
      }
    }
    return PlacedValue(tensor, order: x.order)
  }

  /// `start..<end` of an axis of known size.
  mutating func part(_ x: LayerTensor, axis: Int, _ start: Int, _ end: Int) throws(Failure) -> LayerTensor {
    guard let size = x.dims[axis].value else { throw Failure(.notExpressible, "a part of an open axis") }
    if start == 0, end == size { return x }
    var dims = x.dims
    dims[axis] = Dim(end - start)
    let rank = x.dims.count
    if rank == 3, axis == 1 {
      return try layer("Cropping1D", ["cropping": .integers([start, size - end])], [.tensor(x)], dims, x.element)
    }
    if rank == 4, axis == 1 || axis == 2 {
      let own: JSON = .integers([start, size - end])
      let none: JSON = .integers([0, 0])
      return try layer(
        "Cropping2D", ["cropping": .array(axis == 1 ? [own, none] : [none, own]), "data_format": .string("channels_last")], [.tensor(x)], dims, x.element)
    }
    let slices = x.dims.indices.map { other -> CallArgument in
      other == axis ? .slice(start: start, stop: end, step: nil) : .slice(start: nil, stop: nil, step: nil)
    }
    return try operation("numpy", "GetItem", [:], [.tensor(x), .list(slices)], dims, x.element)
  }

  // MARK: Blocks of pixels

  private mutating func depthToSpace(_ site: RaisingSite, _ size: Int, columnRow: Bool, _ dims: [Dim]) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    guard (1...(1 << 15)).contains(size), let channels = x.dims[1].value, channels % (size * size) == 0 else {
      throw refusal(site, "its channels do not fit the blocks")
    }
    let (c, s) = (Dim(channels / (size * size)), Dim(size))
    let split = try reshapedPlainly(x, columnRow ? [x.dims[0], c, s, s, x.dims[2], x.dims[3]] : [x.dims[0], s, s, c, x.dims[2], x.dims[3]])
    let moved = try turned(PlacedValue(split), to: columnRow ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2])
    return try reshapedPlainly(moved, dims)
  }

  private mutating func spaceToDepth(_ site: RaisingSite, _ size: Int, columnRow: Bool, _ dims: [Dim]) throws(Failure) -> LayerTensor {
    let x = try plain(site.node.input(0))
    guard (1...(1 << 15)).contains(size), let height = x.dims[2].value, let width = x.dims[3].value, height % size == 0, width % size == 0 else {
      throw refusal(site, "its image does not fit the blocks")
    }
    let split = try reshapedPlainly(x, [x.dims[0], x.dims[1], Dim(height / size), Dim(size), Dim(width / size), Dim(size)])
    let moved = try turned(PlacedValue(split), to: columnRow ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4])
    return try reshapedPlainly(moved, dims)
  }
}
