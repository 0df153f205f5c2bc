internal import Diagnostics

/// Nodes that are kept word for word since their operator has no meaning here: one diagnostic for each operator and reason,
/// however many nodes share it.
struct ForeignNodes {
  private var entries: [(diagnostic: Diagnostic, count: Int)] = []
  private var indices: [String: Int] = [:]

  var diagnostics: [Diagnostic] {
    entries.map { entry in
      var diagnostic = entry.diagnostic
      if entry.count > 1 { diagnostic.message += " (\(entry.count) nodes)" }
      return diagnostic
    }
  }

  mutating func note(_ node: NodeMessage, reason: String) {
    let domain = node.domain.isEmpty ? "" : " of domain '\(node.domain)'"
    let text = "\(node.opType)\(domain) passes through untouched: \(reason)"
    add(Diagnostic(.unknownOperator, text, at: .element(node.name)), count: 1)
  }

  /// What a body of a graph reports is the model's, too.
  mutating func merge(_ other: ForeignNodes) {
    for entry in other.entries { add(entry.diagnostic, count: entry.count) }
  }

  private mutating func add(_ diagnostic: Diagnostic, count: Int) {
    if let index = indices[diagnostic.message] {
      entries[index].count += count
    } else {
      indices[diagnostic.message] = entries.count
      entries.append((diagnostic, count))
    }
  }
}
