internal import GraphIR
internal import Tensors

/// Steps under construction; each is known by the operand that stands for its first result.
struct StepList {
  typealias Operand = Translation.Step.Operand

  private(set) var steps: [Translation.Step] = []

  mutating func add(_ op: Op, _ operands: [Operand]) -> Operand {
    steps.append(.init(op, operands))
    return .step(steps.count - 1)
  }

  mutating func add(_ op: Op, _ operands: Operand...) -> Operand { add(op, operands) }

  mutating func append(_ step: Translation.Step) -> Operand { add(step.op, step.operands) }

  /// Another result of a step.
  func result(_ index: Int, of operand: Operand) -> Operand { operand.made.map { .result(index, of: $0.step) } ?? operand }

  /// The node's results, each by what stands for it; nil for one that nobody reads. Mutating, so that steps added among its
  /// own arguments are in.
  mutating func giving(_ results: Operand?...) -> Translation { .steps(steps, results: results) }
}
