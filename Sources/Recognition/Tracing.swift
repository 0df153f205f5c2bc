internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Why something that looked like attention is not a block.
struct Refusal: Error {
  var at: NodeID
  var family: AttentionFamily
  var reason: String
  /// Whether the difference stands whatever else the block may be taken for.
  var isCertain: Bool
  init(_ at: NodeID, _ reason: String, as family: AttentionFamily = .selfAttention, isCertain: Bool = false) {
    self.at = at
    self.family = family
    self.reason = reason
    self.isCertain = isCertain
  }
}

/// A value followed up through rearrangements, scalar factors and norms to where it is computed.
struct Chain {
  var root: ValueID
  /// Rearrangements from the root down.
  var steps: [NodeID] = []
  var scale = 1.0
  /// `l2`, `layer` or `rms` where one was passed, with the axes it ran over seen from the value below it.
  var norm: String?
  /// Whether a rotation by position (Su et al. 2021) was passed.
  var rotary = false
  /// All nodes passed.
  var nodes: [NodeID] = []
}

extension GraphView {
  /// Which steps a walk may take besides rearrangements and casts between floating types.
  struct Passing: OptionSet {
    let rawValue: Int
    static let scale = Passing(rawValue: 1)
    static let norm = Passing(rawValue: 2)
    static let rotary = Passing(rawValue: 4)
  }

  func trace(_ value: ValueID, passing: Passing = []) -> Chain {
    var chain = Chain(root: value)
    while let (id, node) = producer(chain.root), let input = node.input(0) {
      if Rearrangement.isRearrangement(node) {
        chain.steps.append(id)
      } else if isFloatCast(node) {
        // Passed.
      } else if passing.contains(.scale), let (factor, _) = scalarFactor(node) {
        chain.scale *= factor
      } else if passing.contains(.norm), chain.norm == nil, let norm = normName(node, of: input) {
        chain.norm = norm
      } else if passing.contains(.rotary), let (source, nodes) = rotated(id) {
        chain.rotary = true
        chain.nodes += nodes
        chain.root = source
        continue
      } else {
        break
      }
      chain.nodes.append(id)
      chain.root = input
    }
    chain.steps.reverse()
    return chain
  }

  func isFloatCast(_ node: Node) -> Bool {
    guard case .cast(let to) = node.op, let input = node.input(0), let from = typed.type(of: input)?.element else { return false }
    return to.isFloatingPoint && from.isFloatingPoint
  }

  /// `x * c` for a number c, which does not widen x. (Canonical: the constant is on the right.)
  func scalarFactor(_ node: Node) -> (Double, ValueID)? {
    guard node.op == .binary(.multiply), let x = node.input(0), let c = node.input(1), let factor = scalar(c), let output = node.output(0),
      shape(x) == shape(output)
    else { return nil }
    return (factor, x)
  }

  /// The norm over the last axis that a node is.
  private func normName(_ node: Node, of input: ValueID) -> String? {
    guard case .normalization(let norm) = node.op, let rank = shape(input)?.rank else { return nil }
    switch norm {
    case .layer(let axis, _): return axis == -1 || axis == rank - 1 ? "layer" : nil
    case .rms(let axis, _): return axis == -1 || axis == rank - 1 ? "rms" : nil
    case .lp(let axis, let p): return p == 2 && (axis == -1 || axis == rank - 1) ? "l2" : nil
    default: return nil
    }
  }

  /// The layout behind `steps`, from a layout of their root.
  func push(_ layout: AxisLayout, through steps: [NodeID]) -> AxisLayout? {
    var layout = layout
    for id in steps {
      guard let next = Rearrangement.apply(graph[id], to: layout, in: typed) else { return nil }
      layout = next
    }
    return layout
  }
}
