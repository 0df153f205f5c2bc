/// Names that no value of a graph has.
struct FreshNames: Sendable {
  private var taken: Set<String>

  init(_ graph: Graph) { taken = Set(graph.values.handles.map { graph.values[$0].name }) }

  /// Takes `name`; false where it is taken already.
  mutating func take(_ name: String) -> Bool { taken.insert(name).inserted }

  /// A name that starts with `stem`, taken from now on.
  mutating func make(_ stem: String) -> String {
    var name = stem
    var count = 1
    while !take(name) {
      name = "\(stem)_\(count)"
      count += 1
    }
    return name
  }
}
