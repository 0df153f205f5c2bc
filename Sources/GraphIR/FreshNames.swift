/// Names that are given once: of a graph's values, of layers, of arrays in a file.
public struct FreshNames: Sendable {
  private var taken: Set<String>
  /// The number to try next behind a stem, so that a thousand values of one name are not each tried against all before.
  private var next: [String: Int] = [:]

  public init(taken: Set<String> = []) { self.taken = taken }

  /// Those that no value of a graph has.
  init(_ graph: Graph) { self.init(taken: Set(graph.values.handles.map { graph.values[$0].name })) }

  /// Takes `name`; false where it is taken already.
  public mutating func take(_ name: String) -> Bool { taken.insert(name).inserted }

  /// `stem`, or the first of `stem_1`, `stem_2`, … that is free; taken from now on.
  public mutating func make(_ stem: String) -> String {
    guard !take(stem) else { return stem }
    var count = next[stem] ?? 1
    var name = "\(stem)_\(count)"
    while !take(name) {
      count += 1
      name = "\(stem)_\(count)"
    }
    next[stem] = count + 1
    return name
  }
}
