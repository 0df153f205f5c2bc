internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Keras 2's records of TensorFlow functions in the graph.
  mutating func tensorFlowOperation(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let function = call.word("function", "")
    if function.hasSuffix("getitem") || function.isEmpty {
      let x = try value(call.argument(0, "tensor"), call)
      guard let specification = call.named["slice_spec"] else { throw call.wrong("its slices are missing") }
      // One index comes without a list around it.
      let entries = if case .list(let list) = specification { list } else { [specification] }
      return [try item(x, .list(entries.map { KerasBuilder.slice($0) }), call)]
    }
    let word = function.split(separator: ".").last.map(String.init) ?? function
    let names = [
      "add": "Add", "subtract": "Subtract", "multiply": "Multiply", "truediv": "TrueDivide", "divide": "Divide", "greater": "Greater", "less": "Less",
      "greater_equal": "GreaterEqual", "less_equal": "LessEqual", "equal": "Equal", "maximum": "Maximum", "minimum": "Minimum", "pow": "Power",
      "logical_and": "LogicalAnd", "squared_difference": "SquaredDifference", "floormod": "Mod", "mod": "Mod", "floor_mod": "Mod", "floordiv": "FloorDivide",
      "logical_xor": "LogicalXor", "not_equal": "NotEqual", "divide_no_nan": "DivideNoNan", "div_no_nan": "DivideNoNan",
      "floor_div": "FloorDivide", "logical_or": "LogicalOr", "mul": "Multiply", "sub": "Subtract", "realdiv": "TrueDivide",
    ]
    if word == "atan2" { return [try binary("Arctan2", call.argument(0, "y"), call.argument(1, "x"), call)] }
    if let name = names[word] { return [try binary(name, call.argument(0, "x"), call.argument(1, "y") ?? call.argument(1, "b"), call)] }
    switch word {
    case "add_n":
      var sum: ValueID?
      for entry in try tensors(call.argument(0, "inputs"), call) {
        let next = try value(entry, call)
        sum = try sum.map { (sum) throws(Failure) in try e.add(sum, next) } ?? next
      }
      guard let sum else { throw call.wrong("it adds nothing") }
      return [sum]
    case "concat", "stack":
      return [
        try joined(
          word == "stack" ? "Stack" : "Concatenate", try tensors(call.argument(0, "values"), call), call.argument(1, "axis")?.int ?? (word == "stack" ? 0 : -1),
          call)
      ]
    case "where", "where_v2":
      let condition = try value(call.argument(0, "condition"), call)
      let (a, b) = try pair(call.argument(1, "x"), call.argument(2, "y"), call)
      return [try e.select(condition, a, b)]
    case "einsum":
      return try opaque(call, "tf.einsum is stored without its tensors, so the file does not hold the model whole")
    default: break
    }
    guard
      let first = call.argument(0, "x") ?? call.argument(0, "input") ?? call.argument(0, "input_") ?? call.argument(0, "tensor")
        ?? call.argument(0, "logits") ?? call.argument(0, "features") ?? call.argument(0, "image")
    else {
      throw call.wrong("it is called without an argument")
    }
    if case .string = first {
      return try opaque(call, "the function '\(function)' is stored without its tensors, so the file does not hold the model whole")
    }
    let x = try value(first, call)
    let rank = try e.rank(x)
    func named(_ names: String...) -> Argument? {
      for name in names { if let found = call.named[name], !found.isNone { return found } }
      return nil
    }
    switch word {
    case "shape", "shape_v2": return [try e.emit(.generator(.shape(start: 0, end: nil)), [x], "Shape")]
    case "reshape": return [try reshaped(x, call.argument(1, "shape"), call)]
    case "transpose":
      var order: [Int] = []
      for axis in call.argument(1, "perm")?.ints ?? Array((0..<rank).reversed()) { order.append(try e.axis(axis, rank: rank)) }
      guard order.sorted() == Array(0..<rank) else { throw call.wrong("'perm' is no order of the axes") }
      return [try e.transpose(x, order)]
    case "squeeze":
      let dims = try e.shape(x)
      var axes: [Int] = []
      for axis in named("axis", "squeeze_dims")?.ints ?? dims.indices.filter({ dims[$0].value == 1 }) { axes.append(try e.axis(axis, rank: rank)) }
      return [try e.squeeze(x, axes)]
    case "expand_dims":
      guard let axis = call.argument(1, "axis")?.int else { throw call.wrong("'axis' is missing") }
      return [try e.unsqueeze(x, [try e.axis(axis, rank: rank + 1)])]
    case "split":
      let parts = call.argument(1, "num_or_size_splits")
      if let sizes = parts?.ints, parts?.int == nil {
        var bounds: [Argument] = []
        var sum = 0
        for size in sizes.dropLast() {
          guard (0...(1 << 30)).contains(size) else { throw call.refused("parts of an open size") }
          sum += size
          bounds.append(.int(sum))
        }
        return try split(x, .list(bounds), call.argument(2, "axis")?.int ?? 0, call)
      }
      return try split(x, parts, call.argument(2, "axis")?.int ?? 0, call)
    case "matmul":
      return [try product(x, call.argument(1, "b"), call, transposeA: named("transpose_a")?.bool ?? false, transposeB: named("transpose_b")?.bool ?? false)]
    case "reduce_mean", "reduce_max", "reduce_sum", "reduce_min", "reduce_prod":
      let name = ["reduce_mean": "Mean", "reduce_max": "Max", "reduce_sum": "Sum", "reduce_min": "Min", "reduce_prod": "Prod"][word] ?? "Mean"
      return [try reduced(name, x, call.argument(1, "axis"), named("keepdims", "keep_dims")?.bool ?? false, call)]
    case "gelu": return [try gelu(x, approximate: named("approximate")?.bool ?? false)]
    case "softmax", "softmax_v2": return [try e.softmax(x, axis: named("axis")?.int ?? -1)]
    case "relu", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "relu6", "silu", "swish": return [try activation(named: word, x, call)]
    case "leaky_relu": return [try e.unary(.leakyRelu(alpha: Float(named("alpha")?.double ?? 0.2)), x, "LeakyRelu")]
    case "sqrt": return [try e.unary(.sqrt, x, "Sqrt")]
    case "rsqrt": return [try e.unary(.reciprocal, try e.unary(.sqrt, x, "Sqrt"), "Reciprocal")]
    case "square": return [try e.multiply(x, x)]
    case "exp": return [try e.unary(.exp, x, "Exp")]
    case "log": return [try e.unary(.log, x, "Log")]
    case "abs": return [try e.unary(.abs, x, "Abs")]
    case "negative", "neg": return [try e.unary(.neg, x, "Neg")]
    case "erf": return [try e.unary(.erf, x, "Erf")]
    case "cast":
      guard let type = ElementType(name: named("dtype")?.string ?? "") else { throw call.wrong("'dtype' is missing") }
      return [try e.emit(.cast(to: type), [x], "Cast")]
    case "clip_by_value": return [try e.clip(x, call.argument(1, "clip_value_min")?.double, call.argument(2, "clip_value_max")?.double)]
    case "roll":
      guard let shifts = call.argument(1, "shift")?.ints, let axes = call.argument(2, "axis")?.ints, axes.count == shifts.count else {
        throw call.wrong("its shifts are missing")
      }
      var y = x
      for (shift, axis) in zip(shifts, axes) { y = try rolled(y, shift, try e.axis(axis, rank: rank)) }
      return [y]
    case "gather", "gather_v2":
      let axis = try e.axis(named("axis")?.int ?? 0, rank: rank)
      if let index = call.argument(1, "indices")?.int { return [try e.gather(x, axis: axis, at: index)] }
      return [try e.emit(.indexing(.gather(axis: axis)), [x, try value(call.argument(1, "indices"), call)], "Gather")]
    case "tile":
      guard let repeats = call.argument(1, "multiples")?.ints, repeats.count == rank else { throw call.refused("this form of repetition") }
      return [try e.emit(.layout(.tile), [x, try e.integers(repeats)], "Tile")]
    case "pad", "pad_v2":
      guard case .list(let entries)? = call.argument(1, "paddings"), entries.count == rank else { throw call.wrong("'paddings' is missing") }
      let pairs = entries.compactMap(\.ints)
      guard pairs.count == rank, pairs.allSatisfy({ $0.count == 2 && $0.allSatisfy { (0...(1 << 24)).contains($0) } }) else {
        throw call.wrong("'paddings' is wrong")
      }
      return [try e.pad(x, before: pairs.map { $0[0] }, after: pairs.map { $0[1] }, value: named("constant_values")?.double ?? 0)]
    case "extract_image_patches", "extract_image_patches_v2", "extract_patches":
      guard let size = named("sizes")?.ints, size.count == 4, let steps = named("strides")?.ints, steps.count == 4 else {
        throw call.wrong("'sizes' is missing")
      }
      return [
        try patches(
          x, .list([.int(size[1]), .int(size[2])]), .list([.int(steps[1]), .int(steps[2])]), named("padding")?.string ?? "valid",
          dilation: (named("rates") ?? named("dilations"))?.ints?.dropFirst().first ?? 1, call)
      ]
    // At inference nothing is dropped.
    case "identity", "stop_gradient", "ensure_shape", "dropout", "dropout_v2": return [x]
    case "slice":
      guard let starts = call.argument(1, "begin")?.ints, let sizes = call.argument(2, "size")?.ints, starts.count == rank, sizes.count == rank,
        zip(starts, sizes).allSatisfy({ (0...(1 << 30)).contains($0) && (-1...(1 << 30)).contains($1) })
      else { throw call.refused("this form of slice") }
      var y = x
      for (axis, (start, size)) in zip(starts, sizes).enumerated() where start != 0 || size != -1 {
        y = try e.slice(y, axis: axis, from: start, to: size == -1 ? Int(Int32.max) : start + size)
      }
      return [y]
    case "strided_slice":
      let steps = call.argument(3, "strides")?.ints ?? [Int](repeating: 1, count: rank)
      guard let starts = call.argument(1, "begin")?.ints, let ends = call.argument(2, "end")?.ints,
        [starts.count, ends.count, steps.count] == [rank, rank, rank],
        steps.allSatisfy({ (1...(1 << 20)).contains($0) }),
        ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"].allSatisfy({ named($0)?.int ?? 0 == 0 })
      else { throw call.refused("this form of slice") }
      var y = x
      for axis in 0..<rank { y = try e.slice(y, axis: axis, from: starts[axis], to: ends[axis], step: steps[axis]) }
      return [y]
    case "flip_left_right", "flip_up_down":
      var same = renamed(call, "Flip", [.tensor(x)])
      same.named["axis"] = .int(word == "flip_left_right" ? rank - 2 : rank - 3)
      return try operation(same)
    case "conv2d", "conv2d_v2", "depthwise_conv2d", "depthwise_conv2d_native":
      // Strides and dilations of four numbers; the outer ones are those of batch and channels.
      func spatial(_ argument: Argument?) -> Argument {
        guard let values = argument?.ints, values.count == 4 else { return argument ?? .int(1) }
        return .list([.int(values[1]), .int(values[2])])
      }
      guard let padding = (call.argument(3, "padding") ?? named("padding"))?.string, named("data_format")?.string ?? "NHWC" == "NHWC",
        let kernel = call.argument(1, "filters") ?? named("filter")
      else { throw call.refused("this form of convolution") }
      var same = renamed(call, word.hasPrefix("depthwise") ? "DepthwiseConv" : "Conv", [.tensor(x)])
      same.positional = [.tensor(x), kernel]
      same.named["strides"] = spatial(call.argument(2, "strides"))
      same.named["dilation_rate"] = spatial(named("dilations") ?? named("rate"))
      same.named["padding"] = .string(padding.lowercased())
      same.named["data_format"] = nil
      return try operation(same)
    case "l2_normalize":
      let axes = (call.argument(1, "axis") ?? named("dim"))?.ints ?? [-1]
      let squares = try e.reduce(.sum, try e.multiply(x, x), axes: axes, keep: true, "ReduceSum")
      return [try e.divide(x, try e.unary(.sqrt, try e.maximum(squares, named("epsilon")?.double ?? 1e-12), "Sqrt"))]
    case "matrix_band_part", "band_part":
      guard let lower = call.argument(1, "num_lower")?.int, let upper = call.argument(2, "num_upper")?.int else { throw call.refused("a computed band") }
      func cut(_ x: ValueID, _ k: Int, isUpper: Bool, _ e: inout Emitter) throws(Failure) -> ValueID {
        try e.emit(.indexing(.trilu(upper: isUpper)), [x, try e.constantScalar(Int64(k))], "Trilu")
      }
      let above = lower < 0 ? x : try cut(x, -lower, isUpper: true, &e)
      return [upper < 0 ? above : try cut(above, upper, isUpper: false, &e)]
    case "bias_add":
      let bias = try value(call.argument(1, "bias"), call, like: try e.element(x))
      let isFirst = named("data_format")?.string?.hasPrefix("NC") ?? false
      guard rank >= 2 else { throw call.wrong("its input has rank \(rank)") }
      return [try e.add(x, isFirst ? try e.unsqueeze(bias, Array(1..<(rank - 1))) : bias)]
    case "resize", "resize_v2", "resize_images_v2":
      guard let size = call.argument(1, "size")?.ints, size.count == 2 else { throw call.wrong("'size' is missing") }
      var target = Resampling(size, named("method")?.string ?? "bilinear")
      target.antialiases = named("antialias")?.bool ?? false
      guard !(named("preserve_aspect_ratio")?.bool ?? false) else { throw call.refused("an image that keeps its proportions") }
      return [try resized(x, target, channelsFirst: false, call)]
    case "avg_pool2d", "max_pool2d", "avg_pool", "max_pool", "avg_pool_v2", "max_pool_v2":
      func window(_ argument: Argument?) -> [Int]? {
        guard let values = argument?.ints else { return nil }
        return values.count == 4 ? [values[1], values[2]] : values
      }
      guard rank == 4, named("data_format")?.string ?? "NHWC" == "NHWC", let size = window(call.argument(1, "ksize")) else {
        throw call.refused("this form of pooling")
      }
      var pooling = renamed(call, word.hasPrefix("avg") ? "AveragePool" : "MaxPool", [.tensor(x)])
      pooling.named["pool_size"] = .list(size.map { .int($0) })
      pooling.named["strides"] = .list((window(call.argument(2, "strides")) ?? size).map { .int($0) })
      pooling.named["padding"] = .string((call.argument(3, "padding")?.string ?? "valid").lowercased())
      return try operation(pooling)
    default:
      // The others have a twin among Keras 3's operations, some with other names for the arguments.
      guard let twin = KerasBuilder.twins[word] else {
        throw Failure(.unknownOperator, "the function '\(function)' is not known", at: .element(call.path.name))
      }
      var same = renamed(call, twin, [.tensor(x)])
      for (from, to) in [
        ("keep_dims", "keepdims"), ("dimension", "axis"), ("reduction_indices", "axis"), ("depth", "num_classes"), ("y", "x2"), ("b", "x2"), ("diagonal", "k"),
        ("multiples", "repeats"),
      ] {
        if same.named[to] == nil, let value = same.named[from] { same.named[to] = value }
      }
      if word == "argmax" || word == "argmin", let first = try operation(same).first { return [try e.emit(.cast(to: .int64), [first], "Cast")] }
      // Of the last two axes, where the operations of Keras 3 take the first two.
      if word == "trace" || word.hasPrefix("diag_part") { (same.named["axis1"], same.named["axis2"]) = (.int(rank - 2), .int(rank - 1)) }
      if word == "one_hot" { same.named["num_classes"] = call.argument(1, "depth") }
      if word == "repeat" { same.named["repeats"] = call.argument(1, "repeats") }
      if word == "reverse" { same.named["axis"] = call.argument(1, "axis") }
      if word == "sort" || word == "argsort", (named("direction")?.string ?? "ASCENDING") != "ASCENDING" { throw call.refused("the other direction") }
      return try operation(same)
    }
  }

  private static let twins: [String: String] = [
    "argmax": "Argmax", "argmin": "Argmin", "one_hot": "OneHot", "repeat": "Repeat", "repeat_with_axis": "Repeat", "reverse": "Flip", "reverse_v2": "Flip",
    "log_softmax": "LogSoftmax", "log_softmax_v2": "LogSoftmax", "floor": "Floor", "ceil": "Ceil", "round": "Round", "sign": "Sign", "cumsum": "Cumsum",
    "cumprod": "Cumprod", "reduce_logsumexp": "Logsumexp",
    "reduce_any": "Any", "reduce_all": "All", "reduce_std": "Std", "reduce_variance": "Var", "zeros_like": "ZerosLike", "zeros_like_v2": "ZerosLike",
    "ones_like": "OnesLike", "ones_like_v2": "OnesLike", "top_k": "TopK", "sort": "Sort", "argsort": "Argsort", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "sinh": "Sinh", "cosh": "Cosh", "asin": "Arcsin", "acos": "Arccos", "atan": "Arctan", "asinh": "Arcsinh", "acosh": "Arccosh", "atanh": "Arctanh",
    "expm1": "Expm1", "log1p": "Log1p", "log_sigmoid": "LogSigmoid", "reciprocal": "Reciprocal", "logical_not": "LogicalNot",
    "is_nan": "Isnan", "is_inf": "Isinf", "is_finite": "Isfinite", "erfc": "Erfc",
    "unstack": "Unstack", "space_to_depth": "SpaceToDepth",
    "depth_to_space": "DepthToSpace", "space_to_depth_v2": "SpaceToDepth", "depth_to_space_v2": "DepthToSpace", "broadcast_to": "BroadcastTo",
    "count_nonzero": "CountNonzero", "tensordot": "Tensordot", "rgb_to_grayscale": "RGBToGrayscale", "reduce_euclidean_norm": "Norm",
    "norm": "Norm", "norm_v2": "Norm", "trace": "Trace", "diag_part": "Diagonal", "diag_part_v2": "Diagonal",
  ]

  /// The call as that of an operation of Keras 3.
  private func renamed(_ call: LayerCall, _ name: String, _ positional: [Argument]) -> LayerCall {
    var result = call
    result.layer.className = name
    result.layer.config = .object([:])
    result.positional = positional + call.positional.dropFirst()
    return result
  }

  /// An entry of `slice_spec`.
  private static func slice(_ argument: Argument) -> Argument {
    guard case .dictionary(let entries) = argument else { return argument }
    if entries["class_name"]?.string == "__ellipsis__" { return .ellipsis }
    return .slice(entries["start"]?.int, entries["stop"]?.int, entries["step"]?.int)
  }
}
