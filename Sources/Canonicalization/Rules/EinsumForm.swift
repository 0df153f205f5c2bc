internal import GraphIR
internal import Operators
internal import Tensors

/// An Einsum of two operands is a product of matrices between rearrangements; one of more is a chain of those.
enum EinsumForm {
  static let rules: [Rule] = [alone, pairwise, scaling, contraction]

  /// Of one operand: a sum over the labels that the result lacks, then a transpose.
  static let alone = Rule(.rounding) { site, sweep in
    guard site.inputs.count == 1, let equation = plain(site, sweep), var value = site.input(0) else { return nil }
    let (labels, output) = (equation.operands[0], equation.output)
    let left = labels.filter { output.contains($0) }
    if left.count < labels.count {
      guard let axes = sweep.vector(labels.indices.filter { !output.contains(labels[$0]) }, for: site),
        let sum = sweep.make(.reduction(ReductionOp(.sum, keepDims: false)), [value, axes], for: site)
      else { return nil }
      value = sum
    }
    return transposed(value, output.compactMap { left.firstIndex(of: $0) }, site, &sweep).map { [$0] }
  }

  /// `einsum(a, b, c) = einsum(einsum(a, b), c)`, where the inner one keeps the labels that are still wanted.
  static let pairwise = Rule(.rounding) { site, sweep in
    guard site.inputs.count > 2, let equation = plain(site, sweep) else { return nil }
    let terms = equation.operands
    let wanted = Set(terms[2...].joined()).union(equation.output)
    var kept: [Label] = []
    for label in terms[0] + terms[1] where wanted.contains(label) && !kept.contains(label) { kept.append(label) }
    guard let inner = EinsumEquation.text(Array(terms[..<2]), kept), let outer = EinsumEquation.text([kept] + terms[2...], equation.output),
      let first = sweep.make(.matrix(.einsum(equation: inner)), [site.input(0), site.input(1)], for: site)
    else { return nil }
    return sweep.make(.matrix(.einsum(equation: outer)), [first] + site.inputs[2...], for: site).map { [$0] }
  }

  /// Without a contraction, an operand whose labels the other one has all is a factor.
  static let scaling = Rule(.rounding) { site, sweep in
    guard site.inputs.count == 2, let terms = plain(site, sweep), let a = site.input(0), let b = site.input(1), let aShape = sweep.shape(a),
      let bShape = sweep.shape(b)
    else { return nil }
    let (left, right) = (terms.operands[0], terms.operands[1])
    for (x, own, factor, other, shape) in [(a, left, b, right, bShape), (b, right, a, left, aShape)] {
      guard Set(own) == Set(terms.output), Set(other).isSubset(of: own), other.count < own.count else { continue }
      let order = terms.output.compactMap { own.firstIndex(of: $0) }
      let places = terms.output.compactMap { other.firstIndex(of: $0) }
      let dims = terms.output.map { label in other.firstIndex(of: label).map { shape[$0] } ?? 1 }
      guard let moved = transposed(x, order, site, &sweep), let arranged = transposed(factor, places, site, &sweep),
        let spread = sweep.reshape(arranged, to: dims, for: site)
      else { return nil }
      return sweep.make(.binary(.multiply), [moved, spread], for: site).map { [$0] }
    }
    return nil
  }

  private static func transposed(_ value: ValueID, _ order: [Int], _ site: Site, _ sweep: inout Sweep) -> ValueID? {
    order == Array(order.indices) ? value : sweep.make(.layout(.transpose(order)), [value], for: site)
  }

  /// Labels in both operands and the result are batch axes, labels in both but not in the result are contracted, the others
  /// run free. Summed labels of one operand alone, and diagonals, are left as they are.
  static let contraction = Rule(.rounding) { site, sweep in
    guard site.inputs.count == 2, let terms = plain(site, sweep), let a = site.input(0), let b = site.input(1), let aShape = sweep.shape(a),
      let bShape = sweep.shape(b)
    else { return nil }
    let (ours, theirs) = (terms.operands[0], terms.operands[1])
    var sizes: [Label: Dim] = [:]
    for (label, dim) in zip(ours, aShape.dims) { sizes[label] = dim }
    for (label, dim) in zip(theirs, bShape.dims) where sizes[label] == nil || sizes[label] == 1 { sizes[label] = dim }
    let batch = terms.output.filter { ours.contains($0) && theirs.contains($0) }
    let contracted = ours.filter { theirs.contains($0) && !terms.output.contains($0) }
    let rows = terms.output.filter { ours.contains($0) && !theirs.contains($0) }
    let columns = terms.output.filter { theirs.contains($0) && !ours.contains($0) }
    guard ours.allSatisfy({ batch.contains($0) || contracted.contains($0) || rows.contains($0) }),
      theirs.allSatisfy({ batch.contains($0) || contracted.contains($0) || columns.contains($0) }),
      zip(ours, aShape.dims).allSatisfy({ sizes[$0] == $1 }), zip(theirs, bShape.dims).allSatisfy({ sizes[$0] == $1 }),
      let left = arranged(a, ours, [batch, rows, contracted], sizes, site, &sweep),
      let right = arranged(b, theirs, [batch, contracted, columns], sizes, site, &sweep),
      let product = sweep.make(.matrix(.matMul), [left, right], for: site)
    else { return nil }
    let order = batch + rows + columns
    guard let parted = sweep.reshape(product, to: order.compactMap { sizes[$0] }, for: site) else { return nil }
    let permutation = terms.output.compactMap { order.firstIndex(of: $0) }
    guard permutation.count == order.count else { return nil }
    if permutation == Array(permutation.indices) { return [parted] }
    return sweep.make(.layout(.transpose(permutation)), [parted], for: site).map { [$0] }
  }

  /// An operand with batch axes first and two groups of axes, each joined to one.
  private static func arranged(
    _ value: ValueID, _ labels: [Label], _ groups: [[Label]], _ sizes: [Label: Dim], _ site: Site, _ sweep: inout Sweep
  ) -> ValueID? {
    let order = groups.flatMap { $0 }
    let permutation = order.compactMap { labels.firstIndex(of: $0) }
    guard permutation.count == labels.count else { return nil }
    var result = value
    if permutation != Array(permutation.indices) {
      guard let moved = sweep.make(.layout(.transpose(permutation)), [result], for: site) else { return nil }
      result = moved
    }
    var dims = groups[0].compactMap { sizes[$0] }
    for group in groups.dropFirst() {
      guard let size = Shape.product(group.compactMap { sizes[$0] }[...]) else { return nil }
      dims.append(size)
    }
    return sweep.reshape(result, to: dims, for: site)
  }

  private typealias Label = EinsumEquation.Label

  /// The equation of a node whose operands' ranks are known, where no label stands twice in a term.
  private static func plain(_ site: Site, _ sweep: Sweep) -> EinsumEquation? {
    guard case .matrix(.einsum(let text)) = site.op else { return nil }
    let ranks = site.inputs.compactMap { $0.flatMap { sweep.shape($0)?.rank } }
    guard ranks.count == site.inputs.count, let equation = try? EinsumEquation(text, ranks: ranks),
      equation.operands.allSatisfy({ Set($0).count == $0.count })
    else { return nil }
    return equation
  }
}
