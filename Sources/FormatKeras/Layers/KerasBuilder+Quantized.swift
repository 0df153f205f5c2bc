internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// How a layer's kernel is quantized, as its policy and its quantization settings tell.
struct KernelQuantization {
  enum Form { case int8, int4, float8 }
  var form: Form
  /// Whether activations are quantized too, row by row.
  var quantizesInput: Bool

  /// nil for a layer that is not quantized.
  init?(_ call: LayerCall, _ path: LayerPath, stored: ElementType?) throws(Failure) {
    var policy = call.config["dtype"]?["config"]
    if let map = policy?["policy_map"]?.object {
      // One policy for each layer, by the names from the model down.
      let place = ([path.group] + path.inner).joined(separator: "/")
      policy = map.first { place == $0.key || place.hasSuffix("/" + $0.key) }?.value["config"]
    }
    let named = policy?["name"]?.string ?? call.config["dtype"]?.string ?? ""
    let mode = policy?["mode"]?.string ?? named.split(separator: "_").first.map(String.init) ?? ""
    let settings = call.config["quantization_config"]
    let className = settings?["class_name"]?.string ?? ""
    switch mode.split(separator: "/").first ?? "" {
    case "float8": form = .float8
    case "int4": form = .int4
    case "gptq", "awq": throw call.refused("weights quantized as '\(mode)'")
    default:
      guard stored == .int8 else { return nil }
      form = className.hasPrefix("Int4") ? .int4 : .int8
    }
    // Keras quantizes activations for 8 bits and not for 4, unless the settings say otherwise.
    let own = settings?["config"]?.object?["activation_quantizer"]
    quantizesInput = own.map { if case .null = $0 { false } else { true } } ?? (form == .int8)
  }
}

extension KerasBuilder {
  /// Where the variables of a dense layer lie, and the shape of its kernel: rows are contracted, columns are free.
  struct DenseKernel {
    var path: LayerPath
    var rows: [Int]
    var columns: [Int]
    var hasBias: Bool
  }

  /// x·K over the last axis of x, for kernels of numbers and quantized ones. (…, Πrows) to (…, Πcolumns)
  mutating func kernelProduct(_ x: ValueID, _ kernel: DenseKernel, _ call: LayerCall) throws(Failure) -> ValueID {
    guard let rows = kernel.rows.checkedProduct, let columns = kernel.columns.checkedProduct else { throw call.wrong("its kernel overflows") }
    let stored = try store.find(kernel.path, ["kernel"], 0)?.elementType
    guard let quantization = try KernelQuantization(call, kernel.path, stored: stored) else {
      let dims = kernel.rows + kernel.columns
      let weight = try variable(call, kernel.path, ["kernel"], 0, dims: dims) { (tensor) throws(Failure) in try tensor.reshaped([rows, columns]) }
      return try e.matMul(x, weight)
    }
    let y = try quantizedProduct(x, kernel, quantization, rows, columns, call)
    guard let adapter = try store.adapter(kernel.path, ["kernel"], hint: nil) else { return y }
    // Legacy files keep an adapter beside the quantized kernel: x·A·B·(alpha/rank) is added.
    let type = policy(call.config).compute
    let delta = try e.weight("\(kernel.path.name)/lora_kernel") { () throws(Failure) in
      let zeros = try Tensor.filled([Double](repeating: 0, count: rows * columns), dims: [rows, columns], type)
      return try KerasBuilder.adapted(zeros, adapter, call)
    }
    return try e.add(y, try e.matMul(x, delta))
  }

  private mutating func quantizedProduct(
    _ x: ValueID, _ kernel: DenseKernel, _ quantization: KernelQuantization, _ rows: Int, _ columns: Int, _ call: LayerCall
  ) throws(Failure) -> ValueID {
    let after = kernel.hasBias ? 2 : 1
    switch quantization.form {
    case .float8: return try float8Product(x, kernel, rows, columns, call)
    case .int8, .int4:
      let isPacked = quantization.form == .int4
      let store = store
      let scale = try store.variable(kernel.path, ["kernel_scale"], after)
      let values = try KerasBuilder.wholeKernel(try store.variable(kernel.path, ["kernel"], 0), rows: rows, columns: columns, isPacked: isPacked, call)
      guard let factors = scale.doubles(), !factors.isEmpty, factors.count % columns == 0 else { throw call.wrong("its scales are \(scale.type)") }
      let type = policy(call.config).compute
      let key = kernel.path.name
      if isPacked, let zeros = try? store.variable(kernel.path, ["kernel_zero"], after + 1).doubles(), zeros.count == factors.count,
        let groups = try store.variable(kernel.path, ["g_idx"], after + 2).doubles(), groups.count == rows
      {
        // Groups of rows, each with a scale and a zero: (q − zero)·scale.
        var numbers = values
        let count = factors.count / columns
        for row in 0..<rows {
          guard let group = Int(exactly: groups[row]), (0..<count).contains(group) else { throw call.wrong("its groups are wrong") }
          for column in 0..<columns {
            let place = group * columns + column
            numbers[row * columns + column] = (numbers[row * columns + column] - zeros[place]) * factors[place]
          }
        }
        return try e.matMul(x, try e.weight("\(key)/kernel:\(type.name)") { () throws(Failure) in try Tensor.filled(numbers, dims: [rows, columns], type) })
      }
      guard factors.count == columns, factors.allSatisfy({ $0 != 0 }) else { throw call.wrong("\(factors.count) scales for \(columns) columns") }
      guard quantization.quantizesInput else {
        var numbers = values
        for index in numbers.indices { numbers[index] /= factors[index % columns] }
        return try e.matMul(x, try e.weight("\(key)/kernel:\(type.name)") { () throws(Failure) in try Tensor.filled(numbers, dims: [rows, columns], type) })
      }
      // Activations are quantized row by row, x·127/max|x|, and the product is scaled back.
      let whole = try e.weight("\(key)/kernel:whole") { () throws(Failure) in try Tensor.filled(values, dims: [rows, columns], type) }
      let divisor = try e.weight("\(key)/kernel_scale") { () throws(Failure) in try Tensor.filled(factors, dims: [columns], type) }
      let (quantized, factor) = try quantizedRows(x)
      return try e.divide(try e.matMul(quantized, whole), try e.multiply(factor, divisor))
    }
  }

  /// round(x·127/max|x|) along the last axis, and the factor.
  mutating func quantizedRows(_ x: ValueID) throws(Failure) -> (ValueID, ValueID) {
    let largest = try e.reduce(.max, try e.unary(.abs, x, "Abs"), axes: [-1], keep: true, "ReduceMax")
    let factor = try e.divide(try e.scalar(127, like: x), try e.add(largest, 1e-7))
    return (try e.clip(try e.unary(.round, try e.multiply(x, factor), "Round"), -127, 127), factor)
  }

  /// The integers of a kernel; two of 4 bits lie in a byte, the lower one first, along the columns.
  static func wholeKernel(_ tensor: Tensor, rows: Int, columns: Int, isPacked: Bool, _ call: LayerCall) throws(Failure) -> [Double] {
    guard tensor.elementType == .int8, let values = tensor.doubles() else { throw call.wrong("its kernel is \(tensor.type)") }
    let width = isPacked ? columns / 2 + columns % 2 : columns
    guard let count = [rows, width].checkedProduct, values.count == count else {
      throw Failure(.shapeMismatch, "the configuration demands \(rows) x \(columns), the file holds \(Shape(tensor.dims))", at: .element(call.path.name))
    }
    guard isPacked else { return values }
    var result = [Double](repeating: 0, count: rows * columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let byte = Int(values[row * width + column / 2]) & 0xFF
        let nibble = column % 2 == 0 ? byte & 15 : byte >> 4
        result[row * columns + column] = Double(nibble >= 8 ? nibble - 16 : nibble)
      }
    }
    return result
  }

  /// Both operands rounded to float8 (e4m3) at their scales.
  private mutating func float8Product(_ x: ValueID, _ kernel: DenseKernel, _ rows: Int, _ columns: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let after = kernel.hasBias ? 2 : 1
    func scale(_ name: String, _ index: Int) throws(Failure) -> Double {
      guard let value = try store.variable(kernel.path, [name], index).doubles()?.first, value > 0 else { throw call.wrong("'\(name)' is wrong") }
      return value
    }
    let inputScale = try scale("inputs_scale", after)
    let kernelScale = try scale("kernel_scale", after + 2)
    let weight = try variable(call, kernel.path, ["kernel"], 0, dims: kernel.rows + kernel.columns) { (tensor) throws(Failure) in
      guard let values = tensor.doubles() else { throw call.wrong("its kernel is \(tensor.type)") }
      return try Tensor.filled(values.map { ($0 / kernelScale).roundedToE4M3 * kernelScale }, dims: [rows, columns], tensor.elementType)
    }
    // Cast to float8 came with operator set 19.
    e.requireOpset(19)
    let type = try e.element(x)
    let bounded = try e.clip(try e.divide(x, inputScale), -448, 448)
    let rounded = try e.emit(.cast(to: type), [try e.emit(.cast(to: .float8e4m3fn), [bounded], "Cast")], "Cast")
    return try e.matMul(try e.multiply(rounded, inputScale), weight)
  }
}

extension Double {
  /// The nearest number of float8 e4m3 (FN), ties to even; those beyond 448 become 448.
  var roundedToE4M3: Double {
    if self == 0 || !isFinite { return self }
    let step = Double(sign: .plus, exponent: Swift.max(exponent, -6) - 3, significand: 1)
    return Swift.min(Swift.max((self / step).rounded(.toNearestOrEven) * step, -448), 448)
  }
}
