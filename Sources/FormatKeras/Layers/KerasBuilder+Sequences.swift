internal import Diagnostics
internal import GraphIR
internal import Glibc
internal import Operators
internal import Tensors

// Operations that compare with lists of numbers, pick from them, or make sequences.
extension KerasBuilder {
  /// nil for a name that is none of them.
  mutating func sequence(_ name: String, _ call: LayerCall) throws(Failure) -> [ValueID]? {
    func named(_ key: String) -> Argument? { call.argument(Int.max, key) ?? call.config[key].map { Argument($0) } }
    switch name {
    case "Outer":
      let (a, b) = try pair(call.argument(0, "x1"), call.argument(1, "x2"), call)
      let (left, right) = (try e.reshape(a, try target([-1], of: a, from: 0, call)), try e.reshape(b, try target([-1], of: b, from: 0, call)))
      return [try e.multiply(try e.unsqueeze(left, [1]), try e.unsqueeze(right, [0]))]
    case "Vdot":
      let (a, b) = try pair(call.argument(0, "x1"), call.argument(1, "x2"), call)
      guard try e.shape(a) == e.shape(b) else { throw call.refused("values of different shapes") }
      return [try e.reduce(.sum, try e.multiply(a, b), axes: Array(0..<(try e.rank(a))), keep: false, "ReduceSum")]
    case "Linspace": return [try evenlySpaced(call, named)]
    case "Trapezoid":
      let y = try value(call.argument(0, "y"), call)
      guard call.argument(1, "x") == nil, named("x")?.isNone ?? true else { throw call.refused("a rule over places that are given") }
      let axis = try e.axis(named("axis")?.int ?? -1, rank: try e.rank(y))
      let size = try e.size(y, axis)
      guard size > 1 else { throw call.refused("a rule over \(size) places") }
      let neighbors = try e.add(try e.slice(y, axis: axis, from: 0, to: size - 1), try e.slice(y, axis: axis, from: 1, to: size))
      return [try e.multiply(try e.reduce(.sum, neighbors, axes: [axis], keep: false, "ReduceSum"), 0.5 * (named("dx")?.double ?? 1))]
    case "Digitize":
      return [try countBelow(try value(call.argument(0, "x"), call), call.argument(1, "bins"), isIncluded: true, call)]
    case "SearchSorted":
      let side = named("side")?.string ?? "left"
      return [try countBelow(try value(call.argument(1, "values"), call), call.argument(0, "sorted_sequence"), isIncluded: side == "right", call)]
    case "IsIn":
      let x = try value(call.argument(0, "x1"), call)
      guard let list = try numbers(call.argument(1, "x2"), like: x, call) else { throw call.refused("a list that is computed") }
      let same = try e.emit(.binary(.equal), [try e.unsqueeze(x, [try e.rank(x)]), list], "Equal")
      let count = try e.reduce(.max, try e.emit(.cast(to: .int32), [same], "Cast"), axes: [-1], keep: false, "ReduceMax")
      let isIn = try e.emit(.cast(to: .bool), [count], "Cast")
      return [named("invert")?.bool ?? false ? try e.unary(.not, isIn, "Not") : isIn]
    case "Select":
      guard case .list(let conditions)? = call.argument(0, "condlist"), case .list(let choices)? = call.argument(1, "choicelist"),
        conditions.count == choices.count, let first = choices.first
      else { throw call.wrong("its lists are missing or of different length") }
      var type: ElementType?
      for choice in choices { if case .tensor(let id) = choice { type = try e.element(id) } }
      if type == nil { type = try e.element(try value(first, call)) }
      var y = try value(call.argument(2, "default") ?? .number(0), call, like: type)
      for (condition, choice) in zip(conditions, choices).reversed() {
        y = try e.select(try value(condition, call), try value(choice, call, like: type), y)
      }
      return [y]
    case "ExtractSequences":
      let x = try value(call.argument(0, "x"), call)
      let axis = try e.rank(x) - 1
      let size = try e.size(x, max(axis, 0))
      guard let length = named("sequence_length")?.int, let stride = named("sequence_stride")?.int, (1...size).contains(length), (1...size).contains(stride),
        let count = [(size - length) / stride + 1, length].checkedProduct, count <= 1 << 24
      else { throw call.wrong("its length or its stride is wrong") }
      let places = (0..<count).map { Int64($0 / length * stride + $0 % length) }
      let index = e.constant("places", try Tensor(int64: places, dims: [count / length, length]))
      return [try e.emit(.indexing(.gather(axis: axis)), [x, index], "Gather")]
    case "Scatter": return [try scattered(call, named)]
    case "RFFT", "IRFFT": return try realFourier(name, call, named)
    case "Real", "Conjugate": return [try value(call.argument(0, "x"), call)]
    case "Imag": return [try e.multiply(try value(call.argument(0, "x"), call), 0)]
    case "Angle":
      let x = try value(call.argument(0, "x"), call)
      let isNegative = try e.emit(.binary(.less), [x, try e.scalar(0, like: x)], "Less")
      return [try e.select(isNegative, try e.scalar(Double.pi, like: x), try e.scalar(0, like: x))]
    default: return nil
    }
  }

  /// A constant list as a tensor of the type of what it is compared with.
  private mutating func numbers(_ argument: Argument?, like x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID? {
    let type = try e.element(x)
    switch argument {
    case .constant(let tensor)?:
      guard let values = tensor.doubles(), tensor.dims.count == 1 else { return nil }
      return e.constant("list", try Tensor.filled(values, dims: tensor.dims, type))
    case .list?:
      guard let argument, let array = KerasBuilder.nested(argument), array.dims.count == 1 else { return nil }
      return e.constant("list", try Tensor.filled(array.values, dims: array.dims, type))
    case .tensor(let id)?: return try e.rank(id) == 1 ? id : nil
    default: return nil
    }
  }

  /// How many bounds lie below each entry, or at it.
  private mutating func countBelow(_ x: ValueID, _ bounds: Argument?, isIncluded: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    var x = x
    if try !e.element(x).isFloatingPoint { x = try e.emit(.cast(to: .float32), [x], "Cast") }
    guard let list = try numbers(bounds, like: x, call) else { throw call.refused("bounds that are no list") }
    let isBelow = try e.emit(.binary(isIncluded ? .lessOrEqual : .less), [list, try e.unsqueeze(x, [try e.rank(x)])], "Less")
    return try e.reduce(.sum, try e.emit(.cast(to: .int32), [isBelow], "Cast"), axes: [-1], keep: false, "ReduceSum")
  }

  /// start + (stop − start)·k/(n − 1) along a new axis.
  private mutating func evenlySpaced(_ call: LayerCall, _ named: (String) -> Argument?) throws(Failure) -> ValueID {
    let (start, stop) = try pair(call.argument(0, "start"), call.argument(1, "stop"), call)
    guard let count = named("num")?.int, (1...65536).contains(count), !(named("retstep")?.bool ?? false), try e.element(start).isFloatingPoint else {
      throw call.refused("this form of even spacing")
    }
    let rank = max(try e.rank(start), try e.rank(stop))
    let axis = try e.axis(named("axis")?.int ?? 0, rank: rank + 1)
    guard try e.rank(start) == rank, try e.rank(stop) == rank else { throw call.refused("bounds of different ranks") }
    let steps = Double(max(named("endpoint")?.bool ?? true ? count - 1 : count, 1))
    let shares = try e.floats((0..<count).map { Double($0) / steps }, dims: [count] + [Int](repeating: 1, count: rank - axis), try e.element(start), "shares")
    let low = try e.unsqueeze(start, [axis])
    return try e.add(low, try e.multiply(try e.subtract(try e.unsqueeze(stop, [axis]), low), shares))
  }

  /// Values put into zeros of a shape, at places that are constants.
  private mutating func scattered(_ call: LayerCall, _ named: (String) -> Argument?) throws(Failure) -> ValueID {
    let places = try value(call.argument(0, "indices"), call)
    guard let tensor = e.tensor(places), tensor.dims.count == 2, tensor.dims[1] > 0, let indices = tensor.doubles() else {
      throw call.refused("places that are computed")
    }
    let updates = try value(call.argument(1, "values"), call)
    guard let dims = named("shape")?.ints, let count = dims.checkedProduct, dims.allSatisfy({ $0 > 0 }), count <= 1 << 24 else {
      throw call.wrong("'shape' is wrong")
    }
    // What meets at one place is added up.
    let rows = stride(from: 0, to: indices.count, by: tensor.dims[1]).map { Array(indices[$0..<($0 + tensor.dims[1])]) }
    guard Set(rows).count == rows.count else { throw call.refused("places that occur twice") }
    guard tensor.dims[1] <= dims.count, indices.allSatisfy({ $0 >= 0 && $0 < 1e9 }) else { throw call.wrong("its places are wrong") }
    let zeros = try e.floats([Double](repeating: 0, count: count), dims: dims, try e.element(updates), "zeros")
    let whole = e.constant("places", try Tensor(int64: indices.map { Int64($0) }, dims: tensor.dims))
    return try e.emit(.indexing(.scatterND(.none)), [zeros, whole, updates], "ScatterND")
  }

  /// Fourier transforms from and to numbers without an imaginary part, of which half of the frequencies tell all.
  private mutating func realFourier(_ name: String, _ call: LayerCall, _ named: (String) -> Argument?) throws(Failure) -> [ValueID] {
    func product(_ x: ValueID, _ rows: Int, _ columns: Int, _ label: String, _ entry: (Int, Int) -> Double, _ b: inout KerasBuilder) throws(Failure) -> ValueID
    {
      var values: [Double] = []
      values.reserveCapacity(rows * columns)
      for row in 0..<rows { for column in 0..<columns { values.append(entry(row, column)) } }
      return try b.e.matMul(x, try b.e.floats(values, dims: [rows, columns], try b.e.element(x), label))
    }
    if name == "RFFT" {
      let x = try value(call.argument(0, "x"), call)
      let axis = try e.rank(x) - 1
      guard axis >= 0 else { throw call.wrong("it is called with a number") }
      let own = try e.size(x, axis)
      let length = named("fft_length")?.int ?? own
      guard (1...4096).contains(length), (1...(1 << 20)).contains(own) else { throw call.refused("a Fourier transform of \(length) entries") }
      // Shorter inputs are filled up with zeros, which add nothing.
      let used = min(own, length)
      let part = used < own ? try e.slice(x, axis: axis, from: 0, to: used) : x
      func angle(_ row: Int, _ column: Int) -> Double { 2 * Double.pi * Double(row * column % length) / Double(length) }
      return [
        try product(part, used, length / 2 + 1, "cosines", { cos(angle($0, $1)) }, &self),
        try product(part, used, length / 2 + 1, "sines", { -sin(angle($0, $1)) }, &self),
      ]
    }
    guard case .list(let parts)? = call.argument(0, "x"), parts.count == 2 else { throw call.wrong("it takes a real and an imaginary part") }
    let (real, imaginary) = (try value(parts[0], call), try value(parts[1], call))
    let bins = try e.size(real, try e.rank(real) - 1)
    let length = named("fft_length")?.int ?? 2 * (bins - 1)
    guard (1...4096).contains(length), bins == length / 2 + 1 else { throw call.refused("a Fourier transform of \(length) entries from \(bins)") }
    // Each frequency but the first and the middle one stands for its mirror, too.
    func factor(_ bin: Int) -> Double { (bin == 0 || 2 * bin == length ? 1 : 2) / Double(length) }
    func angle(_ row: Int, _ column: Int) -> Double { 2 * Double.pi * Double(row * column % length) / Double(length) }
    let left = try product(real, bins, length, "cosines", { factor($0) * cos(angle($0, $1)) }, &self)
    let right = try product(imaginary, bins, length, "sines", { -factor($0) * sin(angle($0, $1)) }, &self)
    return [try e.add(left, right)]
  }
}
