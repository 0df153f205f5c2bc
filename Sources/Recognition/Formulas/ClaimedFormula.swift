public import GraphIR
public import Inference

/// The computation of a block written from its report alone: sizes, flags, the scale and the extracted weights, in one
/// canonical form for each family. A run of it that gives what the graph gives bears the report out; a wrong number of
/// heads, queries taken for keys or a mask that is not there give something else.
///
/// Of the model's graph it takes the tensors that the block reads and how their axes lie, and nothing of what computes on
/// them. `BlockFormula` is the other kind, which runs the graph's own nodes apart from it.
public protocol ClaimedFormula: Sendable {
  /// Canonical values whose tensors it takes.
  var reads: [ValueID] { get }
  /// The canonical value that it must give.
  var gives: ValueID { get }
  /// Whether it spans the block from the tokens that it reads to its last linear layer.
  var isWhole: Bool { get }
  /// Writes the formula; gives the value that must equal `gives`.
  func write(_ writer: inout FormulaWriter) throws(Unwritten) -> ValueID
}

extension ClaimedFormula {
  /// The formula as a graph of its own.
  ///
  /// - Parameter symbols: the sizes that symbols have in the run.
  public func standalone(in canonical: TypedGraph, symbols: [String: Int]) throws(Unwritten) -> BlockFormula.Standalone {
    var writer = FormulaWriter(canonical, symbols: symbols)
    let result = try write(&writer)
    return try writer.finish(result, gives: gives)
  }
}
