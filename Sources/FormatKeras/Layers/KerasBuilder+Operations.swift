internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// `keras.ops` in the graph.
  mutating func operation(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let name = call.layer.className
    func argument(_ index: Int, _ key: String) -> Argument? {
      call.argument(index, key) ?? (call.config[key].map { Argument($0) })
    }
    switch name {
    case "Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Minimum", "Maximum", "Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual",
      "Power",
      "LogicalAnd", "LogicalOr":
      return [try binary(name, call.argument(0, "x1") ?? call.argument(0, "x"), call.argument(1, "x2") ?? call.argument(1, "y"), call)]
    case "Where":
      let condition = try value(call.argument(0, "condition"), call)
      let (a, b) = try pair(call.argument(1, "x1"), call.argument(2, "x2"), call)
      return [try e.select(condition, a, b)]
    case "Concatenate", "Stack":
      let entries = try tensors(call.argument(0, "xs") ?? call.argument(0, "arrays"), call)
      return [try joined(name, entries, argument(1, "axis")?.int ?? (name == "Stack" ? 0 : -1), call)]
    case "Einsum":
      var operands: [ValueID] = []
      for entry in call.positional { if case .string = entry { continue } else { operands.append(try value(entry, call)) } }
      guard let equation = call.config["subscripts"]?.string ?? call.positional.first?.string else { throw call.wrong("its equation is missing") }
      return [try e.einsum(equation.filter { $0 != " " }, operands)]
    default: break
    }
    let x = try value(call.argument(0, "x") ?? call.argument(0, "inputs") ?? call.argument(0, "images") ?? call.argument(0, "image"), call)
    let rank = try e.rank(x)
    switch name {
    case "Reshape": return [try reshaped(x, argument(1, "newshape") ?? argument(1, "shape"), call)]
    case "Transpose":
      let axes = argument(1, "axes")?.ints ?? Array((0..<rank).reversed())
      var order: [Int] = []
      for axis in axes { order.append(try e.axis(axis, rank: rank)) }
      guard order.sorted() == Array(0..<rank) else { throw call.wrong("'axes' is no order of the axes") }
      return [try e.transpose(x, order)]
    case "Swapaxes":
      guard let a = argument(1, "axis1")?.int, let b = argument(2, "axis2")?.int else { throw call.wrong("its axes are missing") }
      var order = Array(0..<rank)
      order.swapAt(try e.axis(a, rank: rank), try e.axis(b, rank: rank))
      return [try e.transpose(x, order)]
    case "Moveaxis":
      guard let from = argument(1, "source")?.ints, let to = argument(2, "destination")?.ints, from.count == to.count else {
        throw call.wrong("its axes are missing")
      }
      return [try movedAxes(x, from, to)]
    case "GetItem": return [try item(x, call.argument(1, "key") ?? .none, call)]
    case "Matmul": return [try product(x, call.argument(1, "x2"), call)]
    case "Negative": return [try e.unary(.neg, x, "Neg")]
    case "Exp": return [try e.unary(.exp, x, "Exp")]
    case "Log": return [try e.unary(.log, x, "Log")]
    case "Sqrt": return [try e.unary(.sqrt, x, "Sqrt")]
    case "Rsqrt": return [try e.unary(.reciprocal, try e.unary(.sqrt, x, "Sqrt"), "Reciprocal")]
    case "Reciprocal": return [try e.unary(.reciprocal, x, "Reciprocal")]
    case "Square": return [try e.multiply(x, x)]
    case "Absolute", "Abs": return [try e.unary(.abs, x, "Abs")]
    case "Sin": return [try e.unary(.sin, x, "Sin")]
    case "Cos": return [try e.unary(.cos, x, "Cos")]
    case "Erf": return [try e.unary(.erf, x, "Erf")]
    case "Floor": return [try e.unary(.floor, x, "Floor")]
    case "Ceil": return [try e.unary(.ceil, x, "Ceil")]
    case "Round": return [try e.unary(.round, x, "Round")]
    case "Sign": return [try e.unary(.sign, x, "Sign")]
    case "LogicalNot": return [try e.unary(.not, x, "Not")]
    case "Tanh", "Relu", "Sigmoid", "Elu", "Selu", "Softplus", "Softsign", "Silu", "Relu6", "LogSigmoid", "HardSigmoid", "HardSilu", "HardTanh", "Mish",
      "Squareplus":
      return [try activation(named: KerasLayer.snakeCase(name), x, call)]
    case "LeakyRelu": return [try e.unary(.leakyRelu(alpha: Float(argument(1, "negative_slope")?.double ?? 0.2)), x, "LeakyRelu")]
    case "Gelu": return [try gelu(x, approximate: argument(1, "approximate")?.bool ?? true)]
    case "Softmax": return [try e.softmax(x, axis: argument(1, "axis")?.int ?? -1)]
    case "LogSoftmax": return [try e.emit(.softmax(.logSoftmax(axis: argument(1, "axis")?.int ?? -1)), [x], "LogSoftmax")]
    case "Mean", "Max", "Sum", "Min", "Amax", "Amin", "Prod", "Var", "Std":
      return [try reduced(name, x, argument(1, "axis"), argument(2, "keepdims")?.bool ?? false, call)]
    case "Argmax":
      guard let axis = argument(1, "axis")?.int else { throw call.refused("argmax over all axes") }
      return [try e.cast(try e.reduce(.argMax, x, axes: [axis], keep: false, "ArgMax"), .int32)]
    case "Split": return try split(x, argument(1, "indices_or_sections"), argument(2, "axis")?.int ?? 0, call)
    case "Pad":
      guard case .list(let entries)? = argument(1, "pad_width") else { throw call.wrong("'pad_width' is missing") }
      var pairs: [[Int]] = []
      for entry in entries { if let pair = entry.ints, pair.count == 2 { pairs.append(pair) } }
      if pairs.isEmpty, let both = argument(1, "pad_width")?.ints, both.count == 2 { pairs = [[Int]](repeating: both, count: rank) }
      guard pairs.count == rank, pairs.allSatisfy({ $0.allSatisfy { (0...(1 << 24)).contains($0) } }) else { throw call.wrong("'pad_width' is wrong") }
      let mode: PadMode
      switch argument(2, "mode")?.string ?? "constant" {
      case "constant": mode = .constant
      case "reflect": mode = .reflect
      case "edge": mode = .edge
      default: throw call.refused("this mode of padding")
      }
      return [try e.pad(x, before: pairs.map { $0[0] }, after: pairs.map { $0[1] }, value: argument(3, "constant_values")?.double ?? 0, mode: mode)]
    case "Roll":
      guard let shifts = argument(1, "shift")?.ints, let axes = argument(2, "axis")?.ints, axes.count == shifts.count else {
        throw call.wrong("its shifts are missing")
      }
      var y = x
      for (shift, axis) in zip(shifts, axes) { y = try rolled(y, shift, try e.axis(axis, rank: rank)) }
      return [y]
    case "ExpandDims":
      guard let axes = argument(1, "axis")?.ints else { throw call.wrong("'axis' is missing") }
      var whole: [Int] = []
      for axis in axes { whole.append(try e.axis(axis, rank: rank + axes.count)) }
      return [try e.unsqueeze(x, whole)]
    case "Squeeze":
      let dims = try e.shape(x)
      var axes: [Int] = []
      for axis in argument(1, "axis")?.ints ?? dims.indices.filter({ dims[$0].value == 1 }) { axes.append(try e.axis(axis, rank: rank)) }
      return [try e.squeeze(x, axes)]
    case "BroadcastTo":
      guard let dims = argument(1, "shape")?.ints, dims.allSatisfy({ $0 >= 0 }) else { throw call.refused("an open shape") }
      return [try e.emit(.layout(.expand), [x, try e.integers(dims)], "Expand")]
    case "Take":
      let axis = try e.axis(argument(2, "axis")?.int ?? 0, rank: rank)
      if let index = call.argument(1, "indices")?.int { return [try e.gather(x, axis: axis, at: index)] }
      return [try e.emit(.indexing(.gather(axis: axis)), [x, try value(call.argument(1, "indices"), call)], "Gather")]
    case "Repeat":
      guard let times = argument(1, "repeats")?.int, (1...4096).contains(times), let axis = argument(2, "axis")?.int else {
        throw call.refused("this form of repetition")
      }
      let place = try e.axis(axis, rank: rank)
      var repeats = [Int](repeating: 1, count: rank + 1)
      repeats[place + 1] = times
      let tiled = try e.emit(.layout(.tile), [try e.unsqueeze(x, [place + 1]), try e.integers(repeats)], "Tile")
      var dims = try e.shape(x)
      guard let size = dims[place].multiplied(by: Dim(times)) else { throw call.wrong("its size overflows") }
      dims[place] = size
      return [try e.reshape(tiled, dims)]
    case "Tile":
      guard let repeats = argument(1, "repeats")?.ints, repeats.count == rank else { throw call.refused("this form of repetition") }
      return [try e.emit(.layout(.tile), [x, try e.integers(repeats)], "Tile")]
    case "Cast", "AsType":
      guard let word = argument(1, "dtype")?.string, let type = ElementType(name: word) else { throw call.wrong("'dtype' is missing") }
      return [try e.emit(.cast(to: type), [x], "Cast")]
    case "Clip": return [try e.clip(x, argument(1, "x_min")?.double, argument(2, "x_max")?.double)]
    case "StopGradient", "Identity", "Copy": return [x]
    case "ExtractPatches":
      return [try patches(x, argument(1, "size"), argument(2, "strides"), argument(4, "padding")?.string ?? argument(3, "padding")?.string ?? "valid", call)]
    case "Resize":
      guard let size = argument(1, "size")?.ints, size.count == 2, size.allSatisfy({ (1...(1 << 20)).contains($0) }) else {
        throw call.wrong("'size' is missing")
      }
      return [try resized(x, size, argument(2, "interpolation")?.string ?? "bilinear", call)]
    case "Flip":
      guard let axes = argument(1, "axis")?.ints else { throw call.refused("all axes") }
      var y = x
      for axis in axes { y = try e.slice(y, axis: try e.axis(axis, rank: rank), from: -1, to: Int(Int32.min) + 1, step: -1) }
      return [y]
    case "Ravel": return [try e.reshape(x, try target([-1], of: x, from: 0, call))]
    case "Tril", "Triu": return [try e.emit(.indexing(.trilu(upper: name == "Triu")), [x], "Trilu")]
    default: throw Failure(.unknownOperator, "the operation '\(name)' is not known", at: .element(call.path.name))
    }
  }

  // MARK: Pieces that Keras 3's and TensorFlow's operations share

  mutating func pair(_ first: Argument?, _ second: Argument?, _ call: LayerCall) throws(Failure) -> (ValueID, ValueID) {
    // A bare number takes the type of the tensor beside it.
    var type: ElementType?
    for argument in [first, second] { if case .tensor(let id)? = argument { type = try e.element(id) } }
    return (try value(first, call, like: type), try value(second, call, like: type))
  }

  mutating func binary(_ name: String, _ first: Argument?, _ second: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    var (a, b) = try pair(first, second, call)
    let (left, right) = (try e.element(a), try e.element(b))
    if left != right {
      // A float wins over an integer, and the tensor over a constant.
      if left.isFloatingPoint, !right.isFloatingPoint || e.tensor(b) != nil {
        b = try e.emit(.cast(to: left), [b], "Cast")
      } else {
        a = try e.emit(.cast(to: right), [a], "Cast")
      }
    }
    switch name {
    case "Add": return try e.add(a, b)
    case "Subtract": return try e.subtract(a, b)
    case "Multiply": return try e.multiply(a, b)
    case "TrueDivide", "Divide": return try e.divide(a, b)
    case "Minimum": return try e.emit(.binary(.minimum), [a, b], "Min")
    case "Maximum": return try e.emit(.binary(.maximum), [a, b], "Max")
    case "Greater": return try e.emit(.binary(.greater), [a, b], "Greater")
    case "GreaterEqual": return try e.emit(.binary(.greaterOrEqual), [a, b], "GreaterOrEqual")
    case "Less": return try e.emit(.binary(.less), [a, b], "Less")
    case "LessEqual": return try e.emit(.binary(.lessOrEqual), [a, b], "LessOrEqual")
    case "Equal": return try e.emit(.binary(.equal), [a, b], "Equal")
    case "NotEqual": return try e.unary(.not, try e.emit(.binary(.equal), [a, b], "Equal"), "Not")
    case "Power": return try e.emit(.binary(.power), [a, b], "Pow")
    case "LogicalAnd": return try e.emit(.binary(.and), [a, b], "And")
    case "LogicalOr": return try e.emit(.binary(.or), [a, b], "Or")
    default: throw Failure(.unknownOperator, "the operation '\(name)' is not known", at: .element(call.path.name))
    }
  }

  mutating func reshaped(_ x: ValueID, _ shape: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    guard case .list(let entries)? = shape ?? Optional.some(.none) else { throw call.wrong("the new shape is missing") }
    let own = try e.shape(x)
    var dims: [Int] = []
    for entry in entries {
      if let size = entry.int { dims.append(size) } else if entry.isNone { dims.append(-1) } else { throw call.refused("a shape that is computed") }
    }
    // The batch stays the batch, so that the other one may be open too.
    if let first = own.first, first.value == nil, dims.first == -1, !dims.dropFirst().contains(-1), let rest = Array(dims.dropFirst()).checkedProduct,
      let size = Shape.product(own.dropFirst())?.value, size == rest
    {
      return try e.reshape(x, [first] + dims.dropFirst().map { Dim($0) })
    }
    return try e.reshape(x, try target(dims, of: x, from: 0, call))
  }

  mutating func product(_ a: ValueID, _ second: Argument?, _ call: LayerCall, transposeA: Bool = false, transposeB: Bool = false) throws(Failure) -> ValueID {
    var (a, b) = (a, try value(second, call))
    func swapped(_ rank: Int) -> [Int] { rank < 2 ? Array(0..<rank) : Array(0..<(rank - 2)) + [rank - 1, rank - 2] }
    if transposeA { a = try e.transpose(a, swapped(try e.rank(a))) }
    if transposeB { b = try e.transpose(b, swapped(try e.rank(b))) }
    return try e.matMul(a, b)
  }

  mutating func joined(_ name: String, _ entries: [Argument], _ axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    var type: ElementType?
    for entry in entries { if case .tensor(let id) = entry { type = try e.element(id) } }
    var values: [ValueID] = []
    for entry in entries { values.append(try value(entry, call, like: type)) }
    guard let first = values.first else { throw call.wrong("it joins nothing") }
    let rank = try e.rank(first)
    let place = try e.axis(axis, rank: name == "Stack" ? rank + 1 : rank)
    if name == "Stack" { for index in values.indices { values[index] = try e.unsqueeze(values[index], [place]) } }
    return try e.concat(values, axis: place)
  }

  mutating func movedAxes(_ x: ValueID, _ from: [Int], _ to: [Int]) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var source: [Int] = []
    var places: [Int: Int] = [:]
    for (a, b) in zip(from, to) {
      let axis = try e.axis(a, rank: rank)
      source.append(axis)
      places[try e.axis(b, rank: rank)] = axis
    }
    var rest = (0..<rank).filter { !source.contains($0) }.makeIterator()
    var order: [Int] = []
    for place in 0..<rank { if let axis = places[place] ?? rest.next() { order.append(axis) } }
    guard order.sorted() == Array(0..<rank) else { throw Failure(.badAttribute, "axes are moved onto each other", at: .element(e.scope)) }
    return try e.transpose(x, order)
  }

  mutating func reduced(_ name: String, _ x: ValueID, _ axis: Argument?, _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let axes = axis?.ints ?? Array(0..<rank)
    switch name {
    case "Mean": return try e.reduce(.mean, x, axes: axes, keep: keep, "ReduceMean")
    case "Max", "Amax": return try e.reduce(.max, x, axes: axes, keep: keep, "ReduceMax")
    case "Min", "Amin": return try e.reduce(.min, x, axes: axes, keep: keep, "ReduceMin")
    case "Sum": return try e.reduce(.sum, x, axes: axes, keep: keep, "ReduceSum")
    case "Prod": return try e.reduce(.prod, x, axes: axes, keep: keep, "ReduceProd")
    default:
      let centered = try e.subtract(x, try e.reduce(.mean, x, axes: axes, keep: true, "ReduceMean"))
      let variance = try e.reduce(.mean, try e.multiply(centered, centered), axes: axes, keep: keep, "ReduceMean")
      return name == "Std" ? try e.unary(.sqrt, variance, "Sqrt") : variance
    }
  }

  mutating func split(_ x: ValueID, _ parts: Argument?, _ axis: Int, _ call: LayerCall) throws(Failure) -> [ValueID] {
    let axis = try e.axis(axis, rank: try e.rank(x))
    let size = try e.size(x, axis)
    var sizes: [Int] = []
    if let count = parts?.int {
      guard count > 0, size % count == 0 else { throw call.wrong("\(size) entries in \(count) parts") }
      sizes = [Int](repeating: size / count, count: count)
    } else if let bounds = parts?.ints {
      var last = 0
      for bound in bounds + [size] {
        guard bound >= last, bound <= size else { throw call.wrong("its parts are wrong") }
        sizes.append(bound - last)
        last = bound
      }
    } else {
      throw call.wrong("its parts are missing")
    }
    guard sizes.count <= 65536 else { throw call.wrong("\(sizes.count) parts") }
    return try e.emit(.layout(.split(axis: axis)), [x, try e.integers(sizes, "sizes")], "Split", count: sizes.count)
  }

  /// As `numpy.roll` along one axis.
  mutating func rolled(_ x: ValueID, _ shift: Int, _ axis: Int) throws(Failure) -> ValueID {
    let size = try e.size(x, axis)
    guard size > 0 else { return x }
    let by = ((shift % size) + size) % size
    if by == 0 { return x }
    return try e.concat([try e.slice(x, axis: axis, from: size - by, to: size), try e.slice(x, axis: axis, from: 0, to: size - by)], axis: axis)
  }

  /// `x[key]`: integers, slices, new axes and an ellipsis, one for each axis.
  mutating func item(_ x: ValueID, _ key: Argument, _ call: LayerCall) throws(Failure) -> ValueID {
    var entries: [Argument]
    if case .list(let list) = key { entries = list } else { entries = [key] }
    let taken = entries.filter { if case .none = $0 { false } else if case .ellipsis = $0 { false } else { true } }.count
    let rank = try e.rank(x)
    guard taken <= rank else { throw call.wrong("\(taken) indices for rank \(rank)") }
    if let place = entries.firstIndex(where: { if case .ellipsis = $0 { true } else { false } }) {
      entries.replaceSubrange(place...place, with: [Argument](repeating: .slice(nil, nil, nil), count: rank - taken))
    }
    var y = x
    var axis = 0
    var drop: [Int] = []
    var insert: [Int] = []
    var place = 0
    for entry in entries {
      switch entry {
      case .none:
        insert.append(place)
        place += 1
      case .slice(let start, let stop, let step):
        let step = step ?? 1
        guard step != 0 else { throw call.wrong("a step of zero") }
        if start != nil || stop != nil || step != 1 {
          y = try e.slice(y, axis: axis, from: start ?? (step > 0 ? 0 : -1), to: stop ?? (step > 0 ? Int(Int32.max) : Int(Int32.min) + 1), step: step)
        }
        axis += 1
        place += 1
      case .int(let index):
        if taken == 1 {
          y = try e.gather(y, axis: axis, at: index)
          return insert.isEmpty ? y : try e.unsqueeze(y, insert)
        }
        y = try e.slice(y, axis: axis, from: index, to: index == -1 ? Int(Int32.max) : index + 1)
        drop.append(axis)
        axis += 1
      default: throw call.refused("an index that is computed")
      }
    }
    y = try e.squeeze(y, drop)
    return try e.unsqueeze(y, insert)
  }

  /// Patches as rows (py, px, c) of the last axis.
  mutating func patches(_ x: ValueID, _ size: Argument?, _ strides: Argument?, _ padding: String, _ call: LayerCall) throws(Failure) -> ValueID {
    guard let sizes = size?.ints, let height = sizes.first, let width = sizes.last, sizes.count <= 2, (1...4096).contains(height), (1...4096).contains(width)
    else {
      throw call.wrong("the size of patches is missing")
    }
    let steps = strides?.ints ?? [height, width]
    let dims = try e.shape(x)
    guard dims.count == 4, [[height, width], [height]].contains(steps) || steps == [height, width], padding.lowercased() == "valid" else {
      throw call.refused("patches that overlap or are padded")
    }
    let (rows, columns, channels) = (try e.size(x, 1) / height, try e.size(x, 2) / width, try e.size(x, 3))
    guard rows > 0, columns > 0 else { throw call.wrong("patches larger than the image") }
    var y = x
    if rows * height != dims[1].value { y = try e.slice(y, axis: 1, from: 0, to: rows * height) }
    if columns * width != dims[2].value { y = try e.slice(y, axis: 2, from: 0, to: columns * width) }
    y = try e.reshape(y, [dims[0], Dim(rows), Dim(height), Dim(columns), Dim(width), Dim(channels)])
    y = try e.transpose(y, [0, 1, 3, 2, 4, 5])
    return try e.reshape(y, [dims[0], Dim(rows), Dim(columns), Dim(height * width * channels)])
  }
}
