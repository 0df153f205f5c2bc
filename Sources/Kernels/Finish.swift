internal import CVector

/// The post-operations that an own loop does to a piece of results while it is still in the cache: those that oneDNN lacks
/// or that would lose a NaN there (its ReLU gives 0), and what follows them.
///
/// `y = f(y) * gain + shift + summand`, gain and shift by channel, each part optional.
struct Finish {
  var function: Pointwise.Function?
  var scales = false
  /// Of the result's own shape.
  var adds = false

  /// Splits a chain into what oneDNN fuses and what is left to the own loop, or nil where neither can do it.
  static func split(_ operations: [PostOperation], channels: Int) -> (fused: [PostOperation], finish: Finish?)? {
    let first = operations.firstIndex { operation in
      if case .function(let function) = operation { return function.fused == nil }
      return false
    }
    guard let first else { return (operations, nil) }
    guard let finish = Finish(Array(operations[first...]), channels: channels) else { return nil }
    return (Array(operations[..<first]), finish)
  }

  /// The whole chain by the own loop, or nil where it has another form.
  init?(_ operations: [PostOperation], channels: Int) {
    var rest = operations[...]
    if case .function(let function)? = rest.first {
      self.function = function
      rest = rest.dropFirst()
    }
    if rest.count >= 2, case .binary(.multiply, let gain)? = rest.first, case .binary(.add, let shift)? = rest.dropFirst().first,
      gain.count == channels, shift.count == channels
    {
      scales = true
      rest = rest.dropFirst(2)
    }
    if case .binary(.add, let summand)? = rest.first, summand.count != channels {
      adds = true
      rest = rest.dropFirst()
    }
    guard rest.isEmpty else { return nil }
  }

  /// How many operands of the chain it takes.
  var operandCount: Int { (scales ? 2 : 0) + (adds ? 1 : 0) }

  /// - Parameter operands: as many as it takes; gain and shift start at the first channel of the result.
  func prepared(_ operands: [UnsafePointer<Float>?]) -> VCEpilogue {
    var result = unsafe VCEpilogue()
    if let function {
      let code = function.code
      unsafe result.has_function = 1
      unsafe (result.function, result.a, result.b) = code
    }
    guard unsafe operands.count == operandCount else { preconditionFailure("a finish without its operands") }
    if scales { unsafe (result.gain, result.shift) = (operands[0], operands[1]) }
    if adds { unsafe result.operand = operands[operandCount - 1] }
    return unsafe result
  }

  /// Does it to `rows` rows of `count` channels, `stride` elements apart in the result as in the summand; the vectors start
  /// at the first of these channels.
  func apply(_ prepared: VCEpilogue, _ y: UnsafeMutablePointer<Float>, rows: Int, stride: Int, count: Int) {
    var then = unsafe prepared
    if rows > 1, stride == count, !scales {
      // Without channels to tell apart the rows are one.
      unsafe vc_finish(&then, y, rows * count)
      return
    }
    for row in 0..<rows {
      if row > 0, adds { unsafe then.operand = then.operand.map { unsafe $0 + stride } }
      unsafe vc_finish(&then, y + row * stride, count)
    }
  }
}
