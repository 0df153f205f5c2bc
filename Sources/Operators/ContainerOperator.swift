public import Diagnostics
public import Tensors

/// The meaning of an operator that takes or makes other things than tensors: what those hold is known when it runs.
public protocol ContainerOperator: Sendable {
  var mnemonic: String { get }
  var arity: Arity { get }
  func evaluate(_ operands: [RuntimeValue?], resultCount: Int) throws(Failure) -> [RuntimeValue]
}
