internal import CVector

/// What the own products do to results before they are stored: steps of `y = (f(y) * gain + shift) op operand`, each part
/// optional, so that a usual chain is one or two passes over a register tile.
struct EpilogueChain {
  /// How an operand lies beside the results.
  enum Operand: Hashable {
    /// One element for each column.
    case vector
    /// Rows of its own, this many elements apart.
    case rows(Int)
  }

  private struct Step {
    var function: Pointwise.Function?
    /// Places of the operands.
    var gain, shift, operand: Int?
    var operandRow = 0
    var operation = Pointwise.Operation.add
  }
  private var steps: [Step] = []
  private var operandCount = 0

  mutating func append(_ function: Pointwise.Function) { steps.append(Step(function: function)) }

  /// The operand is the next one in the order of `prepared`.
  mutating func append(_ operation: Pointwise.Operation, _ operand: Operand) {
    let place = operandCount
    operandCount += 1
    var step = steps.popLast() ?? Step()
    let isOpen = step.operand == nil
    if operation == .multiply, operand == .vector, isOpen, step.gain == nil, step.shift == nil {
      step.gain = place
    } else if operation == .add, operand == .vector, isOpen, step.shift == nil {
      step.shift = place
    } else {
      if !isOpen {
        steps.append(step)
        step = Step()
      }
      step.operand = place
      step.operation = operation
      if case .rows(let distance) = operand { step.operandRow = distance }
    }
    steps.append(step)
  }

  /// - Parameter operands: in the order in which they were appended, each from the result's first row and column on.
  func prepared(_ operands: [UnsafeRawPointer?]) -> [VCEpilogue] {
    unsafe steps.map { step -> VCEpilogue in
      func pointer(_ place: Int?) -> UnsafePointer<Float>? { unsafe place.flatMap { unsafe operands[$0]?.assumingMemoryBound(to: Float.self) } }
      var result = unsafe VCEpilogue()
      if let function = step.function {
        let code = function.code
        unsafe result.has_function = 1
        unsafe (result.function, result.a, result.b) = code
      }
      unsafe (result.gain, result.shift, result.operand) = (pointer(step.gain), pointer(step.shift), pointer(step.operand))
      unsafe (result.operand_row, result.operation) = (step.operandRow, step.operation.code)
      return unsafe result
    }
  }
}
