public import Diagnostics
public import GraphIR
public import Inference

/// A known fault of an exporter, and what mends it: the graph computes what the model did not.
///
/// A repair is no rewrite: it has no settings, needs no samples, and changes a model only where it is broken.
public protocol Repair: Sendable {
  /// As reports name it.
  static var id: String { get }
  static var summary: String { get }

  /// Where the fault is in a graph as read, whose values `uses` tells the readers of.
  static func sites(in typed: TypedGraph, _ uses: Uses) -> [RepairSite]

  /// Mends one site.
  static func mend(_ site: RepairSite, in typed: TypedGraph, _ patch: inout Patch) throws(Failure)
}

/// One place of a graph that has a known fault.
public struct RepairSite: Sendable, Hashable {
  /// The repair that mends it.
  public var repair: String
  public var node: NodeID
  /// What is wrong there.
  public var fault: String

  public init(repair: String, node: NodeID, fault: String) {
    self.repair = repair
    self.node = node
    self.fault = fault
  }
}

/// Every repair there is. A new one goes into the list; reports, findings and `convert --repair` follow.
public enum RepairCatalogue {
  public static let all: [any Repair.Type] = [DistanceWithoutAbsolute.self, TrainingDropout.self]

  public static func sites(in typed: TypedGraph) -> [RepairSite] {
    let uses = Uses(typed.graph)
    return all.flatMap { $0.sites(in: typed, uses) }.sorted { $0.node < $1.node }
  }

  /// The graph with all known faults mended; the same where there are none.
  public static func mended(_ typed: TypedGraph) throws(Failure) -> (graph: Graph, sites: [RepairSite]) {
    let sites = sites(in: typed)
    if sites.isEmpty { return (typed.graph, []) }
    var patch = Patch(typed.graph)
    for site in sites {
      guard let repair = all.first(where: { $0.id == site.repair }) else { continue }
      try repair.mend(site, in: typed, &patch)
    }
    return (try patch.commit(), sites)
  }
}
