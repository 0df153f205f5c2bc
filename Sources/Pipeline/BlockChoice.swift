internal import Bytes
internal import Diagnostics
internal import Recognition

/// Which attention blocks a rewrite goes to.
enum BlockChoice: Hashable {
  case all
  case auto
  case indices(Set<Int>)

  /// `all`, `auto`, indices such as `0,3-5`, or a pattern for names with `*`, `?` and `[…]`; parts joined by commas add up.
  init(_ text: String, blocks: [AttentionBlock]) throws(Failure) {
    switch text {
    case "all": self = .all
    case "auto": self = .auto
    default:
      var indices = Set<Int>()
      for part in text.split(separator: ",", omittingEmptySubsequences: false) { indices.formUnion(try Self.indices(String(part), blocks: blocks)) }
      self = .indices(indices)
    }
  }

  private static func indices(_ part: String, blocks: [AttentionBlock]) throws(Failure) -> Set<Int> {
    let bounds = part.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
    if let low = bounds[0], let high = bounds.count == 2 ? bounds[1] : low {
      guard low <= high, 0..<blocks.count ~= low, 0..<blocks.count ~= high else {
        throw Failure(
          .usage, "--blocks \(part): the model has \(blocks.count) blocks", advice: blocks.isEmpty ? nil : "indices go from 0 to \(blocks.count - 1)")
      }
      return Set(low...high)
    }
    let named = blocks.indices.filter { GlobPattern(part).matches(blocks[$0].name) }
    guard !named.isEmpty else {
      throw Failure(.usage, "--blocks \(part): no block has such a name", advice: "names: " + blocks.map(\.name).joined(separator: ", "))
    }
    return Set(named)
  }

  func contains(_ index: Int) -> Bool {
    switch self {
    case .all, .auto: true
    case .indices(let set): set.contains(index)
    }
  }
}
