internal import Diagnostics
internal import GraphIR

/// One prepared kernel call.
struct Step {
  var nodes: [NodeID]
  var kernel: String
  var reads: [Int]
  var writes: [Int]
  /// A slot read and one written that may be the same memory.
  var inPlace: (read: Int, written: Int)?
  var run: (PlanMemory) throws(Failure) -> Void
}
