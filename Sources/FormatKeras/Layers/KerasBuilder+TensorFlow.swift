internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Keras 2's records of TensorFlow functions in the graph.
  mutating func tensorFlowOperation(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let function = call.word("function", "")
    if call.layer.className == "SlicingOpLambda" || function.hasSuffix("getitem") {
      let x = try value(call.argument(0, "tensor"), call)
      guard case .list(let entries)? = call.named["slice_spec"] else { throw call.wrong("its slices are missing") }
      return [try item(x, .list(entries.map { KerasBuilder.slice($0) }), call)]
    }
    let word = function.split(separator: ".").last.map(String.init) ?? function
    let names = [
      "add": "Add", "subtract": "Subtract", "multiply": "Multiply", "truediv": "TrueDivide", "divide": "Divide", "greater": "Greater", "less": "Less",
      "greater_equal": "GreaterEqual", "less_equal": "LessEqual", "equal": "Equal", "maximum": "Maximum", "minimum": "Minimum", "pow": "Power",
      "logical_and": "LogicalAnd", "logical_or": "LogicalOr", "mul": "Multiply", "sub": "Subtract", "realdiv": "TrueDivide",
    ]
    if let name = names[word] { return [try binary(name, call.argument(0, "x"), call.argument(1, "y") ?? call.argument(1, "b"), call)] }
    switch word {
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
      throw call.refused("tf.einsum is stored without its tensors, so the file does not hold the model whole")
    default: break
    }
    guard
      let first = call.argument(0, "x") ?? call.argument(0, "input") ?? call.argument(0, "tensor") ?? call.argument(0, "logits") ?? call.argument(0, "features")
    else {
      throw call.wrong("it is called without an argument")
    }
    if case .string = first { throw call.refused("the function '\(function)' is stored without its tensors, so the file does not hold the model whole") }
    let x = try value(first, call)
    let rank = try e.rank(x)
    func named(_ names: String...) -> Argument? {
      for name in names { if let found = call.named[name], !found.isNone { return found } }
      return nil
    }
    switch word {
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
    case "extract_image_patches", "extract_image_patches_v2":
      guard let size = named("sizes")?.ints, size.count == 4, let steps = named("strides")?.ints, steps.count == 4 else {
        throw call.wrong("'sizes' is missing")
      }
      return [try patches(x, .list([.int(size[1]), .int(size[2])]), .list([.int(steps[1]), .int(steps[2])]), named("padding")?.string ?? "valid", call)]
    case "identity", "stop_gradient": return [x]
    default: throw Failure(.unknownOperator, "the function '\(function)' is not known", at: .element(call.path.name))
    }
  }

  /// An entry of `slice_spec`.
  private static func slice(_ argument: Argument) -> Argument {
    guard case .dictionary(let entries) = argument else { return argument }
    if entries["class_name"]?.string == "__ellipsis__" { return .ellipsis }
    return .slice(entries["start"]?.int, entries["stop"]?.int, entries["step"]?.int)
  }
}
