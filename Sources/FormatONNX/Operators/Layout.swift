internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that move elements.
enum LayoutRules {
  static let standard: [String: ReadingRule] = [
    "Reshape": { view throws(Failure) in
      view.ignore("consumed_inputs")
      if view.version < 5 { return .op(.layout(.reshape(allowZero: false)), of: view, first: 1, then: [try Tensor.vector(view.ints("shape") ?? [])]) }
      return .op(.layout(.reshape(allowZero: try view.flag("allowzero"))), of: view)
    },
    "Transpose": { view throws(Failure) in
      let permutation = try view.ints("perm") ?? []
      guard Set(permutation) == Set(0..<permutation.count) else { throw view.bad("perm", "is not a permutation") }
      return .op(.layout(.transpose(permutation)), of: view)
    },
    "Squeeze": axes(.squeeze, inputSince: 13),
    "Unsqueeze": axes(.unsqueeze, inputSince: 13),
    "Flatten": { view throws(Failure) in .op(.layout(.flatten(axis: try view.int("axis", default: 1))), of: view) },
    "Expand": { view throws(Failure) in .op(.layout(.expand), of: view) },
    "Concat": { view throws(Failure) in
      guard let axis = try view.int("axis") ?? (view.version < 4 ? 1 : nil) else { throw view.bad("axis", "is missing") }
      return .op(.layout(.concat(axis: axis)), of: view)
    },
    "Split": { view throws(Failure) in
      let axis = try view.int("axis", default: 0)
      if view.version < 13, let sizes = try view.ints("split") {
        return .op(.layout(.split(axis: axis)), of: view, first: 1, then: [try Tensor.vector(sizes)])
      }
      if let parts = try view.int("num_outputs"), parts != view.resultCount { throw view.bad("num_outputs", "is not the number of outputs") }
      return .op(.layout(.split(axis: axis)), of: view)
    },
    "Slice": { view throws(Failure) in
      guard view.version < 10 else { return .op(.layout(.slice), of: view) }
      guard let starts = try view.ints("starts"), let ends = try view.ints("ends") else { throw view.bad("starts", "or 'ends' is missing") }
      let axes = try view.ints("axes") ?? Array(starts.indices)
      return .op(.layout(.slice), of: view, first: 1, then: [try Tensor.vector(starts), try Tensor.vector(ends), try Tensor.vector(axes)])
    },
    "Pad": { view throws(Failure) in
      let mode: PadMode
      switch try view.string("mode", default: "constant") {
      case "constant": mode = .constant
      case "reflect": mode = .reflect
      case "edge": mode = .edge
      case "wrap": mode = .wrap
      default: throw view.bad("mode", "has an unknown value")
      }
      guard view.version < 11 else { return .op(.layout(.pad(mode)), of: view) }
      guard let pads = try view.ints(view.version < 2 ? "paddings" : "pads") else { throw view.bad("pads", "is missing") }
      let element = view.type(at: 0)?.element ?? .float32
      guard let value = ElementwiseRules.scalar(Double(try view.float("value", default: 0)), element) else { return .unsupported("its element type") }
      return .op(.layout(.pad(mode)), of: view, first: 1, then: [try Tensor.vector(pads), value])
    },
    "Tile": { view throws(Failure) in view.version < 6 ? .unsupported("tiles along an axis, as before version 6") : .op(.layout(.tile), of: view) },
    "DepthToSpace": { view throws(Failure) in
      let mode = try view.string("mode", default: "DCR")
      guard mode == "DCR" || mode == "CRD" else { throw view.bad("mode", "has an unknown value") }
      return .op(.layout(.depthToSpace(blockSize: try blockSize(&view), columnRowDepth: mode == "CRD")), of: view)
    },
    "SpaceToDepth": { view throws(Failure) in .op(.layout(.spaceToDepth(blockSize: try blockSize(&view))), of: view) },
  ]

  private static func axes(_ op: LayoutOp, inputSince change: Int) -> ReadingRule {
    { view throws(Failure) in
      guard view.version < change else { return .op(.layout(op), of: view) }
      guard let axes = try view.ints("axes") else { return .op(.layout(op), of: view, first: 1, then: []) }
      return .op(.layout(op), of: view, first: 1, then: [try Tensor.vector(axes)])
    }
  }

  private static func blockSize(_ view: inout NodeView) throws(Failure) -> Int {
    guard let size = try view.int("blocksize"), size > 0 else { throw view.bad("blocksize", "is missing or not positive") }
    return size
  }
}
