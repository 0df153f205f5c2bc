internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators of com.microsoft that are a few of the standard's in one: twins of these, lookups, sums with a bias in
/// front, products of integers. What optimizers fuse around convolutions and products stands in `FusedRules`.
enum ContributedRules {
  static let microsoft: [String: ReadingRule] = [
    // Twins of the standard's operators.
    "GridSample": { view throws(Failure) in
      guard let rule = CatalogueRules.rules(domain: "")["GridSample"] else { return .unsupported("no meaning is known for it") }
      return try rule(&view)
    },
    "Trilu": { view throws(Failure) in .op(.indexing(.trilu(upper: try view.flag("upper", default: true))), of: view) },
    "GatherND": { view throws(Failure) in .op(.indexing(.gatherND(batchDims: 0)), of: view) },
    // Uniques in the order in which they occur, their indices and how often each occurs.
    "Unique": { view throws(Failure) in
      var list = StepList()
      let unique = list.add(.selection(.unique(axis: nil, sorted: false)), .operand(0))
      return list.giving(unique, list.result(2, of: unique), list.result(3, of: unique))
    },
    "Range": { view throws(Failure) in
      guard let element = view.type(at: 0)?.element, let one = Tensor.scalar(1, element) else { return .unsupported("its element type is not declared") }
      var list = StepList()
      // Scalars may come as vectors of one element.
      let scalar = StepList.Operand.constant(try Tensor.vector([]))
      var operands = (0..<2).map { list.add(.layout(.reshape(allowZero: false)), .operand($0), scalar) }
      operands.append(view.operand(2) == nil ? .constant(one) : list.add(.layout(.reshape(allowZero: false)), .operand(2), scalar))
      return list.giving(list.add(.generator(.range), operands))
    },
    "Pad": { view throws(Failure) in
      let modes: [String: PadMode] = ["constant": .constant, "reflect": .reflect, "edge": .edge]
      guard let mode = modes[try view.string("mode", default: "constant")] else { throw view.bad("mode", "has an unknown value") }
      var list = StepList()
      let pads = list.add(.layout(.reshape(allowZero: false)), .operand(1), .constant(try Tensor.vector([-1])))
      var operands: [StepList.Operand] = [.operand(0), pads]
      if view.operand(2) != nil { operands.append(list.add(.layout(.reshape(allowZero: false)), .operand(2), .constant(try Tensor.vector([])))) }
      return list.giving(list.add(.layout(.pad(mode)), operands))
    },
    "ExpandDims": { view throws(Failure) in
      var list = StepList()
      let axis = list.add(.layout(.reshape(allowZero: false)), list.add(.cast(to: .int64), .operand(1)), .constant(try Tensor.vector([1])))
      return list.giving(list.add(.layout(.unsqueeze), .operand(0), axis))
    },
    // What gradients are left out for changes nothing here.
    "TorchEmbedding": { view throws(Failure) in .steps([.init(.indexing(.gather(axis: 0)), [.operand(0), .operand(1)])]) },

    // Sums with a bias.
    "BiasAdd": { view throws(Failure) in
      .steps([.init(.binary(.add), [.operand(0), .operand(1)]), .init(.binary(.add), [.step(0), .operand(2)])])
    },
    "BiasSoftmax": { view throws(Failure) in
      // How the bias broadcasts is told by its shape.
      view.ignore("is_inner_broadcast")
      let axis = try view.int("axis", default: 1)
      var list = StepList()
      let sum = list.add(.binary(.add), .operand(0), .operand(1))
      let shape = list.add(.generator(.shape(start: 0, end: nil)), sum)
      let flat = list.add(.softmax(.softmax(axis: -1)), list.add(.layout(.flatten(axis: axis)), sum))
      return list.giving(list.add(.layout(.reshape(allowZero: false)), flat, shape))
    },
    "BiasDropout": { view throws(Failure) in try dropout(&view, bias: 1, residual: 2, ratio: 3) },
    "BitmaskBiasDropout": { view throws(Failure) in try dropout(&view, bias: 1, residual: 2, ratio: 3, packsMask: true) },
    "BitmaskDropout": { view throws(Failure) in try dropout(&view, bias: nil, residual: nil, ratio: 1, packsMask: true) },
    // The first half of the channels times GELU of the second.
    "BiasSplitGelu": { view throws(Failure) in
      let shape = view.type(at: 1)?.shape ?? view.type(at: 0)?.shape
      guard let width = view.constant(at: 1)?.count ?? shape?.dims.last?.value, width % 2 == 0 else { return .unsupported("its channels are not declared") }
      var list = StepList()
      let sum = list.add(.binary(.add), .operand(0), .operand(1))
      func part(_ from: Int, _ to: Int) throws(Failure) -> StepList.Operand {
        list.add(
          .layout(.slice), sum, .constant(try Tensor.vector([from])), .constant(try Tensor.vector([to])), .constant(try Tensor.vector([-1])))
      }
      let left = try part(0, width / 2)
      let gate = list.add(.unary(.gelu(.exact)), try part(width / 2, width))
      return list.giving(list.add(.binary(.multiply), left, gate))
    },

    // Complex numbers, as pairs in the last axis.
    "ComplexMul": { view throws(Failure) in try complexProduct(conjugated: false) },
    "ComplexMulConj": { view throws(Failure) in try complexProduct(conjugated: true) },
    "Rfft": { view throws(Failure) in
      guard try view.int("signal_ndim", default: 1) == 1, try view.int("normalized", default: 0) == 0, try view.flag("onesided", default: true) else {
        return .unsupported("a transform along several axes, normalized or two-sided, which the operator's own text rules out")
      }
      var list = StepList()
      let real = list.add(.layout(.unsqueeze), .operand(0), .constant(try Tensor.vector([-1])))
      let axis = try Tensor(int64: [-2], dims: [])
      return list.giving(list.add(.catalogued(try CataloguedOp(.dft, ["onesided": .int(1)])), real, .absent, .constant(axis)))
    },

    // Integers.
    "MatMulInteger16": { view throws(Failure) in
      var list = StepList()
      let sides = (0..<2).map { list.add(.cast(to: .int32), .operand($0)) }
      return list.giving(list.add(.matrix(.matMul), sides))
    },
    "MulInteger": { view throws(Failure) in
      var list = StepList()
      func side(_ index: Int) -> StepList.Operand {
        let whole = list.add(.cast(to: .int32), .operand(index))
        return view.operand(index + 1) == nil ? whole : list.add(.binary(.subtract), whole, list.add(.cast(to: .int32), .operand(index + 1)))
      }
      let (a, b) = (side(0), side(2))
      return list.giving(list.add(.binary(.multiply), a, b))
    },
    "ReduceSumInteger": { view throws(Failure) in
      let keepDims = try view.flag("keepdims", default: true)
      let axes = try view.ints("axes") ?? []
      var list = StepList()
      let whole = list.add(.cast(to: .int32), .operand(0))
      return list.giving(list.add(.reduction(.init(.sum, keepDims: keepDims)), [whole] + (axes.isEmpty ? [] : [.constant(try Tensor.vector(axes))])))
    },

    // Distances between the rows of two matrices.
    "CDist": { view throws(Failure) in
      let metric = try view.string("metric", default: "sqeuclidean")
      guard metric == "euclidean" || metric == "sqeuclidean" else { return .unsupported("the metric '\(metric)'") }
      var list = StepList()
      let a = list.add(.layout(.unsqueeze), .operand(0), .constant(try Tensor.vector([1])))
      let b = list.add(.layout(.unsqueeze), .operand(1), .constant(try Tensor.vector([0])))
      let difference = list.add(.binary(.subtract), a, b)
      let square = list.add(.reduction(.init(.sumSquare, keepDims: false)), difference, .constant(try Tensor.vector([2])))
      return list.giving(metric == "euclidean" ? list.add(.unary(.sqrt), square) : square)
    },
    // Windows of `size` along an axis, each in a new last axis.
    "UnfoldTensor": { view throws(Failure) in
      let (axis, step) = (try view.int("dim", default: -1), try view.int("step", default: 1))
      guard let size = try view.int("size"), size > 0, step > 0 else { throw view.bad("size", "or 'step' is missing or not positive") }
      guard let shape = view.type(at: 0)?.shape, -shape.rank..<shape.rank ~= axis else {
        return .unsupported("its rank is not declared, or its axis not in it")
      }
      let first = axis < 0 ? axis + shape.rank : axis
      guard let length = shape[first].value, length >= size, length < 1 << 20, size < 1 << 12 else {
        return .unsupported("its axis is not declared, or too short")
      }
      let starts = Array(stride(from: 0, through: length - size, by: step))
      let places = try Tensor.vector(starts.flatMap { start in (start..<start + size).map { $0 } }).reshaped([starts.count, size])
      var list = StepList()
      let windows = list.add(.indexing(.gather(axis: first)), .operand(0), .constant(places))
      let order = Array(0...first) + Array(first + 2..<shape.rank + 1) + [first + 1]
      return list.giving(first + 1 == shape.rank ? windows : list.add(.layout(.transpose(order)), windows))
    },
    "EmbedLayerNormalization": { view throws(Failure) in
      view.ignore("mask_index_type")
      let epsilon = try view.float("epsilon", default: 1e-12)
      var list = StepList()
      return try embedding(
        view, &list, epsilon: epsilon, tables: (.operand(2), .operand(3), .operand(4)), scale: .operand(5), shift: .operand(6),
        mask: view.operand(7) == nil ? nil : .operand(7), positions: view.operand(8) == nil ? nil : .operand(8))
    },
    // The same of tables that are quantized: scales behind the mask, then zero points.
    "QEmbedLayerNormalization": { view throws(Failure) in
      let epsilon = try view.float("epsilon", default: 1e-12)
      var list = StepList()
      var parts: [StepList.Operand] = []
      for part in 0..<5 {
        guard view.operand(2 + part) != nil else {
          parts.append(.absent)
          continue
        }
        parts.append(list.append(try QuantizedRules.dequantize(.operand(2 + part), .operand(8 + part), .operand(13 + part))))
      }
      return try embedding(
        view, &list, epsilon: epsilon, tables: (parts[0], parts[1], parts[2]), scale: parts[3], shift: parts[4],
        mask: view.operand(7) == nil ? nil : .operand(7), positions: nil)
    },
  ]

  /// Dropout at inference of data and bias, and a residual behind it.
  private static func dropout(_ view: inout NodeView, bias: Int?, residual: Int?, ratio: Int, packsMask: Bool = false) throws(Failure) -> Translation {
    view.ignore("seed")
    let mode = ratio + 1
    if view.operand(mode) != nil, view.constant(at: mode)?.scalar != 0 { return .unsupported("it drops at random, as in training") }
    if view.wants(1) { return .unsupported("its mask is read") }
    var list = StepList()
    var x = bias.map { list.add(.binary(.add), .operand(0), .operand($0)) } ?? list.add(.unary(.identity), .operand(0))
    if let residual, view.operand(residual) != nil { x = list.add(.binary(.add), x, .operand(residual)) }
    return list.giving(x)
  }

  /// (a + bi)(c + di), or (a + bi)(c - di).
  private static func complexProduct(conjugated: Bool) throws(Failure) -> Translation {
    var list = StepList()
    func part(_ operand: Int, _ place: Int) throws(Failure) -> StepList.Operand {
      list.add(.indexing(.gather(axis: -1)), .operand(operand), .constant(try Tensor.vector([place])))
    }
    let (a, b, c, d) = (try part(0, 0), try part(0, 1), try part(1, 0), try part(1, 1))
    func product(_ x: StepList.Operand, _ y: StepList.Operand) -> StepList.Operand { list.add(.binary(.multiply), x, y) }
    let (ac, bd, ad, bc) = (product(a, c), product(b, d), product(a, d), product(b, c))
    let real = list.add(.binary(conjugated ? .add : .subtract), ac, bd)
    let imaginary = list.add(.binary(conjugated ? .subtract : .add), bc, ad)
    return list.giving(list.add(.layout(.concat(axis: -1)), real, imaginary))
  }

  /// The sum of what words, positions and segments are looked up as, normalized; the number of words that the mask
  /// keeps; the sum.
  private static func embedding(
    _ view: NodeView, _ list: inout StepList, epsilon: Float, tables: (words: StepList.Operand, positions: StepList.Operand, segments: StepList.Operand),
    scale: StepList.Operand, shift: StepList.Operand, mask: StepList.Operand?, positions: StepList.Operand?
  ) throws(Failure) -> Translation {
    let words = list.add(.indexing(.gather(axis: 0)), tables.words, .operand(0))
    let places: StepList.Operand
    if let positions {
      places = list.add(.indexing(.gather(axis: 0)), tables.positions, positions)
    } else {
      let count = list.add(.generator(.shape(start: 1, end: 2)), .operand(0))
      places = list.add(.layout(.slice), tables.positions, .constant(try Tensor.vector([0])), count, .constant(try Tensor.vector([0])))
    }
    var sum = list.add(.binary(.add), words, places)
    if view.operand(1) != nil, view.operand(4) != nil {
      sum = list.add(.binary(.add), sum, list.add(.indexing(.gather(axis: 0)), tables.segments, .operand(1)))
    }
    var kept: StepList.Operand?
    if view.wants(1) {
      // Without a mask no word counts.
      let none = StepList.Operand.constant(try Tensor(.int32, dims: [], values: [Int32(0)]))
      let counted = mask ?? list.add(.binary(.multiply), list.add(.cast(to: .int32), .operand(0)), none)
      kept = list.add(.reduction(.init(.sum, keepDims: false)), counted, .constant(try Tensor.vector([1])))
    }
    let y = list.add(.normalization(.layer(axis: -1, epsilon: epsilon)), sum, scale, shift)
    return list.giving(y, kept, sum)
  }
}
