internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Dropout that was exported in training mode: every run of the model gives other numbers.
enum TrainingDropout: Repair {
  static let id = "training-dropout"
  static let summary = "takes out dropout that was exported in training mode"

  static func sites(in typed: TypedGraph, _ uses: Uses) -> [RepairSite] {
    return typed.graph.liveNodes.compactMap { place, node in
      guard case .random(let op) = node.op, op.kind == .dropout, node.input(0) != nil, node.output(0) != nil, isTraining(node, typed),
        node.output(1).map({ uses.readers(of: $0).isEmpty && !typed.graph.outputs.contains($0) }) ?? true
      else { return nil }
      return RepairSite(repair: id, node: place, fault: "dropout is left in training mode, so that every run gives other numbers")
    }
  }

  static func mend(_ site: RepairSite, in typed: TypedGraph, _ patch: inout Patch) throws(Failure) {
    guard let result = typed.graph[site.node].output(0), let data = typed.graph[site.node].input(0) else { return }
    patch.replace(result, with: data)
  }

  private static func isTraining(_ node: Node, _ typed: TypedGraph) -> Bool {
    guard let mode = node.input(2) else { return false }
    return typed.constant(mode)?.scalar.map { $0 != 0 } ?? false
  }
}
