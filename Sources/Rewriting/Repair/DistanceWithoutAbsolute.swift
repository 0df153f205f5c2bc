internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// `torch.cdist` with an odd p, as PyTorch's TorchScript exporter writes it: `(sum (a - b)^p)^(1/p)` without the absolute
/// value. Differences of either sign cancel, and a root of what is negative is NaN.
enum DistanceWithoutAbsolute: Repair {
  static let id = "distance-absolute"
  static let summary = "takes the absolute value of differences in a distance that an exporter wrote without it"

  private struct Place {
    var difference: ValueID
    /// Its p-th power.
    var power: ValueID
    var p: Double
    /// The sum, and its p-th root.
    var sum, root: ValueID
  }

  static func sites(in typed: TypedGraph, _ uses: Uses) -> [RepairSite] {
    return typed.graph.liveNodes.compactMap { id, node in
      guard node.op == .binary(.power), place(id, typed, uses) != nil else { return nil }
      return RepairSite(
        repair: Self.id, node: id,
        fault: "a distance raises signed differences to an odd power and takes the root of their sum, which is NaN where it is negative")
    }
  }

  static func mend(_ site: RepairSite, in typed: TypedGraph, _ patch: inout Patch) throws(Failure) {
    guard let place = place(site.node, typed, Uses(typed.graph)) else { return }
    let absolute = patch.add(.unary(.abs), [place.difference], name: "absolute", origins: [site.node])
    if place.p == 1 {
      // The root is none, its exponent a rounding of 1.
      patch.replace(place.power, with: absolute)
      patch.replace(place.root, with: place.sum)
    } else {
      patch.replace(place.power, with: patch.add(.binary(.power), [absolute, typed.graph[site.node].input(1)], name: "power", origins: [site.node]))
    }
  }

  /// The place whose differences `id` raises; nil where it is none or right as it is.
  private static func place(_ id: NodeID, _ typed: TypedGraph, _ uses: Uses) -> Place? {
    let graph = typed.graph
    guard graph[id].op == .binary(.power), let difference = graph[id].input(0), let power = graph[id].output(0), let exponent = graph[id].input(1),
      let p = typed.constant(exponent)?.scalar, p > 0, p.truncatingRemainder(dividingBy: 2) != 0, let made = graph.producer(of: difference),
      graph[made].op == .binary(.subtract), let reader = uses.onlyReader(of: power), case .reduction(let reduction) = graph[reader].op, reduction.kind == .sum,
      let sum = graph[reader].output(0), let last = uses.onlyReader(of: sum), graph[last].op == .binary(.power), graph[last].input(0) == sum,
      let root = graph[last].output(0), let other = graph[last].input(1), let q = typed.constant(other)?.scalar, abs(p * q - 1) <= 1e-4,
      typed.shape(of: root) == typed.shape(of: sum)
    else { return nil }
    return Place(difference: difference, power: power, p: p, sum: sum, root: root)
  }
}
