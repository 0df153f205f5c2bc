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
      guard let fill = try view.float("value") else { return .op(.layout(.pad(mode)), of: view, first: 1, then: [try Tensor.vector(pads)]) }
      guard let value = Tensor.scalar(Double(fill), view.type(at: 0)?.element ?? .float32) else { return .unsupported("its element type") }
      return .op(.layout(.pad(mode)), of: view, first: 1, then: [try Tensor.vector(pads), value])
    },
    "Tile": { view throws(Failure) in
      guard view.version < 6 else { return .op(.layout(.tile), of: view) }
      // Before version 6: how often, and along which axis.
      guard let count = view.constant(at: 1)?.scalar.flatMap({ Int(exactly: $0) }), let axis = view.constant(at: 2)?.scalar.flatMap({ Int(exactly: $0) }),
        let rank = view.type(at: 0)?.shape?.rank
      else { return .unsupported("tiles along an axis that is computed") }
      guard 0..<rank ~= axis else { throw Failure(.shapeMismatch, "Tile has axis \(axis) of a tensor of rank \(rank)", at: .element(view.message.label)) }
      return .op(.layout(.tile), of: view, first: 1, then: [try Tensor.vector((0..<rank).map { $0 == axis ? count : 1 })])
    },
    "DepthToSpace": { view throws(Failure) in
      let mode = try view.string("mode", default: "DCR")
      guard mode == "DCR" || mode == "CRD" else { throw view.bad("mode", "has an unknown value") }
      return .op(.layout(.depthToSpace(blockSize: try blockSize(&view), columnRowDepth: mode == "CRD")), of: view)
    },
    "SpaceToDepth": { view throws(Failure) in
      let mode = try view.string("mode", default: "DCR")
      guard mode == "DCR" || mode == "CRD" else { throw view.bad("mode", "has an unknown value") }
      return .op(.layout(.spaceToDepth(blockSize: try blockSize(&view), columnRowDepth: mode == "CRD")), of: view)
    },
    "CenterCropPad": { view throws(Failure) in .op(.layout(.centerCropPad(axes: try view.ints("axes"))), of: view) },
    "ReverseSequence": { view throws(Failure) in
      let time = try view.int("time_axis", default: 0)
      return .op(.layout(.reverseSequence(timeAxis: time, batchAxis: try view.int("batch_axis", default: 1))), of: view)
    },
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

extension SpellingRequest {
  func spelling(of op: LayoutOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .reshape(let allowZero):
      try require(allowZero ? 14 : 5, allowZero ? "Reshape with zero dimensions" : "Reshape")
      return try plain("Reshape", allowZero ? [("allowzero", .int(1))] : [])
    case .transpose(let permutation): return try plain("Transpose", permutation.isEmpty ? [] : [("perm", .ints(permutation))])
    case .squeeze: return try axes("Squeeze")
    case .unsqueeze: return try axes("Unsqueeze")
    case .flatten(let axis): return try plain("Flatten", [("axis", .int(axis))])
    case .expand: return try plain("Expand", since: 8)
    case .concat(let axis): return try plain("Concat", since: 4, [("axis", .int(axis))])
    case .split(let axis):
      if version < 13 {
        let sizes = try constantIntegers(at: 1, "sizes of Split", until: 13)
        return OperatorSpelling("Split", [("axis", .int(axis))] + (sizes.map { [("split", .ints($0))] } ?? []), operands: [node.input(0)])
      }
      let parts = version >= 18 && node.input(1) == nil ? [("num_outputs", OperatorSpelling.Attribute.int(node.outputs.count))] : []
      return try plain("Split", [("axis", .int(axis))] + parts)
    case .slice: return try slice()
    case .pad(let mode): return try pad(mode)
    case .tile: return try plain("Tile", since: 6)
    case .depthToSpace(let blockSize, let columnRowDepth):
      if columnRowDepth { try require(11, "DepthToSpace with the depth last") }
      return try plain("DepthToSpace", [("blocksize", .int(blockSize))] + (columnRowDepth ? [("mode", .string("CRD"))] : []))
    case .spaceToDepth(let blockSize, let columnRowDepth):
      if columnRowDepth { try require(28, "SpaceToDepth with the depth last") }
      return try plain("SpaceToDepth", [("blocksize", .int(blockSize))] + (columnRowDepth ? [("mode", .string("CRD"))] : []))
    case .centerCropPad(let axes): return try plain("CenterCropPad", since: 18, axes.map { [("axes", .ints($0))] } ?? [])
    case .reverseSequence(let time, let batch):
      return try plain("ReverseSequence", since: 10, [("time_axis", .int(time)), ("batch_axis", .int(batch))])
    }
  }

  private func axes(_ name: String) throws(Failure) -> OperatorSpelling {
    if version >= 13 { return try plain(name) }
    let axes = try constantIntegers(at: 1, "axes of \(name)", until: 13)
    return OperatorSpelling(name, axes.map { [("axes", .ints($0))] } ?? [], operands: [node.input(0)])
  }

  private func slice() throws(Failure) -> OperatorSpelling {
    if version >= 10 { return try plain("Slice") }
    if let steps = try constantIntegers(at: 4, "steps of Slice", until: 10), steps.contains(where: { $0 != 1 }) { throw needs(10, "Slice with steps") }
    guard let starts = try constantIntegers(at: 1, "starts of Slice", until: 10), let ends = try constantIntegers(at: 2, "ends of Slice", until: 10) else {
      throw Failure(.notExpressible, "Slice without starts or ends", at: .element(node.name))
    }
    let axes = try constantIntegers(at: 3, "axes of Slice", until: 10)
    return OperatorSpelling(
      "Slice", [("starts", .ints(starts)), ("ends", .ints(ends))] + (axes.map { [("axes", .ints($0))] } ?? []), operands: [node.input(0)])
  }

  private func pad(_ mode: PadMode) throws(Failure) -> OperatorSpelling {
    let name: String
    switch mode {
    case .constant: name = "constant"
    case .reflect: name = "reflect"
    case .edge: name = "edge"
    case .wrap:
      try require(19, "Pad that wraps around")
      name = "wrap"
    }
    if node.input(3) != nil { try require(18, "Pad of chosen axes") }
    if version >= 11 { return try plain("Pad", [("mode", .string(name))]) }
    try require(2, "Pad")
    guard let pads = try constantIntegers(at: 1, "widths of Pad", until: 11) else {
      throw Failure(.notExpressible, "Pad without widths", at: .element(node.name))
    }
    let value = try constantScalar(at: 2, "the value of Pad", until: 11).map { [("value", OperatorSpelling.Attribute.float($0))] } ?? []
    return OperatorSpelling("Pad", [("mode", .string(name)), ("pads", .ints(pads))] + value, operands: [node.input(0)])
  }
}
