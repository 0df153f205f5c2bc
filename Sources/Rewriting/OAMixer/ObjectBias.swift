internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Recognition
internal import Tensors

/// The nodes that turn patch labels into `log M`, with zeros for prefix tokens: (batch, 1, tokens, tokens).
enum ObjectBias {
  /// What the shared distance of an extra label input is called, so that the next block finds it.
  private static let sharedStem = "oamixer"

  static func add(_ fit: FittedOAMixer, site: RewriteSite, to writer: inout PatchWriter) throws(Failure) -> ValueID {
    let grid = fit.grid
    let distance: ValueID
    switch fit.rewrite.labels {
    case .input:
      distance = try sharedDistance(fit, site: site, &writer)
    case .tokens:
      let tokens = writer.batchFirst(site.block.input, from: site.block.inputLayout, "input")
      let patches = grid.prefix == 0 ? tokens : try writer.slice(tokens, axis: 1, grid.prefix..<grid.tokens, "patches")
      distance = try self.distance(fit.rewrite.distance, patches, &writer)
    }
    var bias: ValueID
    switch fit.rewrite.mask {
    case .exp:
      bias = writer.product(distance, try writer.constant("kappa", [-fit.kappa], []), "damping")
    case .minus:
      let scaled = writer.product(distance, try writer.constant("kappa", [-fit.kappa], []), "scaled")
      // Labels may be such that rounding brings 1 - kappa D a little below zero; log of zero is a weight of zero.
      let mask = writer.add(.unary(.relu), [writer.sum(scaled, try writer.constant("one", [1], []), "mask.signed")], "mask")
      bias = writer.add(.unary(.log), [mask], "log_mask")
    }
    if grid.prefix > 0 {
      let pads = try writer.integers("pads", [0, grid.prefix, grid.prefix, 0, 0, 0])
      bias = writer.add(.layout(.pad(.constant)), [bias, pads], "padded")
    }
    let axes = try writer.integers("head_axis", [1])
    return writer.add(.layout(.unsqueeze), [bias, axes], "bias")
  }

  /// Distances of the labels of all pairs of patches: (batch, patches, patches).
  private static func distance(_ kind: OAMixer.Distance, _ labels: ValueID, _ writer: inout PatchWriter) throws(Failure) -> ValueID {
    switch kind {
    case .cosine:
      // A label of zeros has no direction: the floor keeps it finite and changes no other label.
      let norm = try writer.reduce(.l2, labels, axis: 2, "norm")
      let floor = try writer.constant("norm.floor", [writer.element == .float16 ? 1e-6 : 1e-30], [])
      let unit = writer.add(.binary(.divide), [labels, writer.add(.binary(.maximum), [norm, floor], "norm.floored")], "unit")
      let cosine = writer.matMul(unit, writer.transpose(unit, [0, 2, 1], "unit.transposed"), "cosine")
      return writer.add(.binary(.subtract), [try writer.constant("one", [1], []), cosine], "distance")
    case .l1:
      let rowAxis = try writer.integers("row_axis", [2])
      let columnAxis = try writer.integers("column_axis", [1])
      let rows = writer.add(.layout(.unsqueeze), [labels, rowAxis], "rows")
      let columns = writer.add(.layout(.unsqueeze), [labels, columnAxis], "columns")
      let difference = writer.add(.unary(.abs), [writer.add(.binary(.subtract), [rows, columns], "difference")], "difference.absolute")
      let axes = try writer.integers("label_axis", [3])
      return writer.add(.reduction(ReductionOp(.sum, keepDims: false)), [difference, axes], "distance")
    }
  }

  /// The distance of the extra input's labels, made by the first block that asks.
  private static func sharedDistance(_ fit: FittedOAMixer, site: RewriteSite, _ writer: inout PatchWriter) throws(Failure) -> ValueID {
    let graph = writer.patch.base
    let name = "\(sharedStem)/\(OAMixer.labelInput)/\(fit.rewrite.distance.rawValue)"
    if let there = graph.liveNodes.lazy.flatMap({ $0.1.outputs }).compactMap({ $0 }).first(where: { graph[$0].name == name }) { return there }
    let labels: ValueID
    if let there = graph.inputs.first(where: { graph[$0].name == OAMixer.labelInput }) {
      labels = there
    } else {
      let batch = site.original.shape(of: site.block.input)?[site.block.inputLayout.batch] ?? Dim(symbol: "batch")
      let shape = Shape([batch, Dim(fit.grid.patches), Dim(symbol: "\(OAMixer.labelInput)_width")])
      labels = try writer.patch.addInput(OAMixer.labelInput, TensorType(writer.element, shape))
    }
    let distance = try self.distance(fit.rewrite.distance, labels, &writer)
    return writer.patch.add(.unary(.identity), [distance], name: name, origins: writer.origins)
  }
}
