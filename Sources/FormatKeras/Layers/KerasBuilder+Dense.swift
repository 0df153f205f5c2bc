internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  mutating func dense(_ call: LayerCall) throws(Failure) -> ValueID {
    var x = try input(call)
    let units = try call.positive("units")
    let width = try e.size(x, try e.rank(x) - 1)
    x = try kernelProduct(x, DenseKernel(path: call.path, rows: [width], columns: [units], hasBias: call.flag("use_bias", true)), call)
    if call.flag("use_bias", true) { x = try e.add(x, try denseBias(call, [units])) }
    return try passingMask(call, try activation(call.config["activation"], x, call))
  }

  /// Float8 layers round their bias to bfloat16.
  private mutating func denseBias(_ call: LayerCall, _ dims: [Int?]) throws(Failure) -> ValueID {
    let isFloat8 = try KernelQuantization(call, call.path, stored: nil)?.form == .float8
    return try variable(call, ["bias"], 1, dims: dims) { (tensor) throws(Failure) in
      guard isFloat8, tensor.elementType == .float32 else { return tensor }
      return try tensor.converted(to: .bfloat16).converted(to: .float32)
    }
  }

  mutating func einsumDense(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    let equation = call.word("equation", "")
    let parts = equation.replacing("->", with: ",").split(separator: ",", omittingEmptySubsequences: false).map { Array($0.filter { $0 != " " }) }
    guard parts.count == 3 else { throw call.wrong("the equation '\(equation)' has not two operands and a result") }
    var operand = parts[0]
    var result = parts[2]
    let weight = parts[1]
    let rank = try e.rank(x)
    // An ellipsis stands for axes that the equation does not name.
    let spare = Array("ZYXWVUTSRQPONMLKJIHGFEDCBA".filter { !equation.contains($0) })
    func filled(_ letters: [Character], _ count: Int) -> [Character]? {
      let text = String(letters)
      guard let range = text.firstRange(of: "...") else { return letters }
      guard count >= 0, count <= spare.count else { return nil }
      return Array(text[..<range.lowerBound]) + spare.prefix(count) + Array(text[range.upperBound...])
    }
    let missing = rank - operand.filter { $0 != "." }.count
    guard let wholeOperand = filled(operand, missing), let wholeResult = filled(result, missing), wholeOperand.count == rank else {
      throw call.wrong("the equation '\(equation)' does not fit rank \(rank)")
    }
    (operand, result) = (wholeOperand, wholeResult)
    let dims = try e.shape(x)
    let kernelDims: [Int?] = weight.map { letter in operand.firstIndex(of: letter).flatMap { dims[$0].value } }
    var y: ValueID
    // The spelling of a Dense layer where it is one.
    let contracted = weight.prefix { operand.contains($0) }
    let free = Array(weight.dropFirst(contracted.count))
    let isDense = operand.suffix(contracted.count).elementsEqual(contracted) && result == operand.dropLast(contracted.count) + free && !contracted.isEmpty
    let stored = try store.find(call.path, ["kernel"], 0)
    if try KernelQuantization(call, call.path, stored: stored?.elementType) != nil {
      guard isDense, let stored else { throw call.refused("a quantized kernel of the equation '\(equation)'") }
      y = try quantizedEinsum(x, rows: kernelDims.prefix(contracted.count).compactMap { $0 }, columns: free.count, stored: stored, call)
    } else if isDense, weight.count == 2 {
      y = try e.matMul(x, try variable(call, ["kernel"], 0, dims: kernelDims))
    } else {
      let kernel = try variable(call, ["kernel"], 0, dims: kernelDims)
      y = try e.einsum("\(String(operand)),\(String(weight))->\(String(result))", [x, kernel])
    }
    if let axes = call.config["bias_axes"]?.string {
      let shape = try e.shape(y)
      var laid: [Int] = []
      var own: [Int?] = []
      for (axis, letter) in result.enumerated() {
        if axes.contains(letter) {
          guard let size = shape[axis].value else { throw call.refused("a bias along an open axis") }
          laid.append(size)
        } else if !laid.isEmpty {
          laid.append(1)
        }
      }
      // Keras stores the bias with these ones, except those in front.
      own = laid.map { $0 }
      y = try e.add(
        y,
        try variable(call, ["bias"], 1) { (tensor) throws(Failure) in
          try KerasBuilder.check(tensor, own, "bias")
          return tensor
        })
    }
    return try activation(call.config["activation"], y, call)
  }

  /// (…, rows) to (…, columns), whose sizes only the file and the configured output tell.
  private mutating func quantizedEinsum(_ x: ValueID, rows: [Int], columns: Int, stored: Tensor, _ call: LayerCall) throws(Failure) -> ValueID {
    let dims = try e.shape(x)
    var free = stored.dims.count == rows.count + columns ? Array(stored.dims.suffix(columns)) : []
    // Packed kernels are matrices of half the columns: the layer's own output shape tells.
    if try KernelQuantization(call, call.path, stored: stored.elementType)?.form == .int4 {
      let output = call.config["output_shape"]?.array?.suffix(columns).compactMap(\.int) ?? (call.config["output_shape"]?.int).map { [$0] } ?? []
      guard output.count == columns else { throw call.refused("a packed kernel of open size") }
      free = output
    }
    guard free.count == columns, rows.allSatisfy({ $0 > 0 }), let width = Shape.product(dims.suffix(rows.count)) else {
      throw call.wrong("its kernel is \(stored.type)")
    }
    let flat = rows.count == 1 ? x : try e.reshape(x, dims.dropLast(rows.count) + [width])
    let y = try kernelProduct(flat, DenseKernel(path: call.path, rows: rows, columns: free, hasBias: call.config["bias_axes"]?.string != nil), call)
    return columns == 1 ? y : try e.reshape(y, dims.dropLast(rows.count) + free.map { Dim($0) })
  }

  mutating func embedding(_ call: LayerCall) throws(Failure) -> ValueID {
    let count = try call.positive("input_dim")
    let width = try call.positive("output_dim")
    var ids = try value(call.argument(0, "inputs"), call)
    let isReverse = call.argument(1, "reverse")?.bool ?? false
    if !isReverse, try e.element(ids).isFloatingPoint { ids = try e.emit(.cast(to: .int32), [ids], "Cast") }
    let table = try embeddingTable(call, count, width)
    if call.argument(1, "reverse")?.bool ?? false { return try reverseEmbedding(call, table, count, width) }
    let result = try e.emit(.indexing(.gather(axis: 0)), [table, ids], "Gather")
    if call.flag("mask_zero", false) {
      let same = try e.emit(.binary(.equal), [ids, try e.scalar(0, like: ids)], "Equal")
      masks[result] = try e.unary(.not, same, "Not")
    }
    return result
  }

  /// (count, width); a quantized row has a scale of its own.
  private mutating func embeddingTable(_ call: LayerCall, _ count: Int, _ width: Int) throws(Failure) -> ValueID {
    let stored = try store.find(call.path, ["embeddings"], 0)
    guard let quantization = try KernelQuantization(call, call.path, stored: stored?.elementType), let stored else {
      return try variable(call, ["embeddings"], 0, dims: [count, width])
    }
    guard quantization.form != .float8 else { throw call.refused("a table in float8") }
    let type = policy(call.config).compute
    let store = store
    return try e.weight("\(call.path.name)/embeddings:\(type.name)") { () throws(Failure) in
      var values = try KerasBuilder.wholeKernel(stored, rows: count, columns: width, isPacked: quantization.form == .int4, call)
      guard let scales = try store.variable(call.path, ["embeddings_scale"], 1).doubles(), scales.count == count, scales.allSatisfy({ $0 != 0 }) else {
        throw call.refused("a table whose rows have several scales")
      }
      for index in values.indices { values[index] /= scales[index / width] }
      return try Tensor.filled(values, dims: [count, width], type)
    }
  }

  /// ReversibleEmbedding the other way: from features to scores of all entries.
  private mutating func reverseEmbedding(_ call: LayerCall, _ table: ValueID, _ count: Int, _ width: Int) throws(Failure) -> ValueID {
    let x = try input(call)
    let kernel = call.flag("tie_weights", true) ? try e.transpose(table, [1, 0]) : try variable(call, ["reverse_embeddings"], 1, dims: [width, count])
    let y = try e.matMul(x, kernel)
    guard let bound = call.config["logit_soft_cap"]?.double, bound > 0 else { return y }
    return try e.multiply(try e.unary(.tanh, try e.divide(y, bound), "Tanh"), bound)
  }

  mutating func masking(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    let same = try e.emit(.binary(.equal), [x, try e.scalar(call.number("mask_value", 0), like: x)], "Equal")
    let differs = try e.cast(try e.unary(.not, same, "Not"), .float32)
    let any = try e.emit(.binary(.greater), [try e.reduce(.max, differs, axes: [-1], keep: true, "ReduceMax"), try e.scalar(0, .float32)], "Greater")
    let result = try e.multiply(x, try e.cast(any, try e.element(x)))
    masks[result] = try e.squeeze(any, [try e.rank(x) - 1])
    return result
  }

  mutating func timeDistributed(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    guard let inner = call.config["layer"] else { throw call.wrong("it holds no layer") }
    let layer = try KerasLayer(inner)
    let dims = try e.shape(x)
    guard dims.count >= 3, dims[1].value != nil, let folded = dims[0].multiplied(by: dims[1]) else { throw call.refused("its time axis is open") }
    let flat = try e.reshape(x, [folded] + dims.dropFirst(2))
    var path = call.path.sub(layer.name, ["layer"])
    path.name = call.path.name
    let results = try self.call(LayerCall(layer: layer, path: path, positional: [.tensor(flat)], named: [:]))
    guard let first = results.first else { throw call.wrong("its layer gives nothing") }
    return try passingMask(call, try e.reshape(first, [dims[0], dims[1]] + (try e.shape(first)).dropFirst()))
  }

  // MARK: Merging

  mutating func merge(_ call: LayerCall) throws(Failure) -> ValueID {
    var values: [ValueID] = []
    for entry in try tensors(call.argument(0, "inputs"), call) { values.append(try autocast(try value(entry, call), call)) }
    // Legacy files turn `x + y` into a layer with two arguments.
    if values.count == 1, call.positional.count > 1 {
      for argument in call.positional.dropFirst() { values.append(try autocast(try value(argument, call, like: try e.element(values[0])), call)) }
    }
    guard let first = values.first else { throw call.wrong("it is called without values") }
    let operandMasks = values.map { masks[$0] }
    let result: ValueID
    switch call.layer.className {
    case "Concatenate":
      let rank = try e.rank(first)
      result = try e.concat(values, axis: try e.axis(call.config["axis"]?.int ?? -1, rank: rank))
    case "Dot": result = try dot(values, call)
    default:
      var rank = 0
      for value in values { rank = max(rank, try e.rank(value)) }
      var folded: ValueID?
      for value in values {
        var operand = value
        let own = try e.rank(value)
        // Axes are inserted after the batch.
        if own < rank, own > 0 { operand = try e.unsqueeze(value, Array(1...(rank - own))) }
        guard let left = folded else {
          folded = operand
          continue
        }
        switch call.layer.className {
        case "Add", "Average": folded = try e.add(left, operand)
        case "Subtract": folded = try e.subtract(left, operand)
        case "Multiply": folded = try e.multiply(left, operand)
        case "Maximum": folded = try e.emit(.binary(.maximum), [left, operand], "Max")
        default: folded = try e.emit(.binary(.minimum), [left, operand], "Min")
        }
      }
      guard let sum = folded else { throw call.wrong("it is called without values") }
      result = call.layer.className == "Average" ? try e.divide(sum, Double(values.count)) : sum
    }
    if let mask = try mergedMask(operandMasks) { masks[result] = mask }
    return result
  }

  /// Keras 3: all operands must have one, and any of them will do. Keras 2: those that there are must agree.
  private mutating func mergedMask(_ all: [ValueID?]) throws(Failure) -> ValueID? {
    let known = all.compactMap { $0 }
    guard let first = known.first, version == 2 || known.count == all.count else { return nil }
    var result = first
    for mask in known.dropFirst() where mask != first { result = try e.emit(.binary(version == 2 ? .and : .or), [result, mask], version == 2 ? "And" : "Or") }
    return result
  }

  private mutating func dot(_ values: [ValueID], _ call: LayerCall) throws(Failure) -> ValueID {
    guard values.count == 2 else { throw call.wrong("it is called with \(values.count) values") }
    let (rankA, rankB) = (try e.rank(values[0]), try e.rank(values[1]))
    let axes = call.config["axes"]?.ints ?? (call.config["axes"]?.int).map { [$0, $0] } ?? [-1, -1]
    guard axes.count == 2 else { throw call.wrong("'axes' is wrong") }
    let (axisA, axisB) = (try e.axis(axes[0], rank: rankA), try e.axis(axes[1], rank: rankB))
    guard axisA > 0, axisB > 0, rankA + rankB < 24 else { throw call.wrong("'axes' must not be the batch") }
    var (a, b) = (values[0], values[1])
    if call.flag("normalize", false) { (a, b) = (try unitNormalized(a, [axisA]), try unitNormalized(b, [axisB])) }
    var letters = Array("bcdefghijklmnopqrstuvw").makeIterator()
    var first: [Character] = ["a"]
    var second: [Character] = ["a"]
    for axis in 1..<rankA { first.append(axis == axisA ? "z" : letters.next() ?? "x") }
    for axis in 1..<rankB { second.append(axis == axisB ? "z" : letters.next() ?? "y") }
    let out = ["a"] + first.dropFirst().filter { $0 != "z" } + second.dropFirst().filter { $0 != "z" }
    let result = try e.einsum("\(String(first)),\(String(second))->\(String(out))", [a, b])
    return out.count == 1 ? try e.unsqueeze(result, [1]) : result
  }

  /// x/√max(Σx², 1e-12)
  mutating func unitNormalized(_ x: ValueID, _ axes: [Int]) throws(Failure) -> ValueID {
    let squares = try e.reduce(.sum, try e.multiply(x, x), axes: axes, keep: true, "ReduceSum")
    return try e.divide(x, try e.unary(.sqrt, try e.maximum(squares, 1e-12), "Sqrt"))
  }
}
