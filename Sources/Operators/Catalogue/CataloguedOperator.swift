internal import Diagnostics
internal import GraphIR
internal import Tensors

/// The meaning of an operator of the table: name and domain come from its row.
protocol CataloguedOperator: Operator {
  var op: CataloguedOp { get }
}

extension CataloguedOperator {
  var mnemonic: String { op.kind.entry.name }
  var domain: String { op.kind.entry.domain }
  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(elementwise: results.elementCount) }

  func badAttribute(_ message: String) -> Failure { Failure(.badAttribute, "\(mnemonic): \(message)") }

  /// The one number of an operand that is a scalar or holds one element.
  func scalar(_ operand: Tensor, _ what: String) throws(Failure) -> Double {
    guard operand.count == 1, let value = try operand.reals(for: mnemonic).first else {
      throw mismatch("\(what) has dimensions \(operand.dims) and should be one number")
    }
    return value
  }

  /// The same of a whole number.
  func whole(_ operand: Tensor, _ what: String) throws(Failure) -> Int {
    guard operand.count == 1, let value = try operand.wholes(for: mnemonic).first else {
      throw mismatch("\(what) has dimensions \(operand.dims) and should be one number")
    }
    return value
  }

  /// What is known of a scalar operand's number before the run.
  func knownWhole(_ fact: Fact?) -> Int? {
    guard let numbers = fact?.value?.integers, numbers.count == 1 else { return nil }
    return numbers[0]
  }

  func checkElement(_ operand: Fact, _ allowed: Set<ElementType>, _ what: String) throws(Failure) {
    guard allowed.contains(operand.type.element) else {
      throw Failure(.typeMismatch, "\(mnemonic) has \(what) of \(operand.type.element.name)")
    }
  }

  func checkRank(_ operand: Fact?, _ rank: Int, _ what: String) throws(Failure) {
    guard let shape = operand?.type.shape else { return }
    guard shape.rank == rank else { throw mismatch("\(what) \(shape) should have rank \(rank)") }
  }
}
