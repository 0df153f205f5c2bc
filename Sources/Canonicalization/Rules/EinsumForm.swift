internal import GraphIR
internal import Tensors

/// An Einsum of two operands is a product of matrices between rearrangements; one of more is a chain of those.
enum EinsumForm {
  static let rules: [Rule] = [spelledOut, alone, pairwise, scaling, contraction]

  /// An ellipsis, and a result that is not said, in letters: `...ij,...jk->...ik` of matrices is `ij,jk->ik`.
  static let spelledOut = Rule(.exact) { site, sweep in
    guard case .matrix(.einsum(let given)) = site.op, given.contains(".") || !given.contains("->") else { return nil }
    let sides = given.filter { !$0.isWhitespace }.split(separator: ">", omittingEmptySubsequences: false)
    let terms = sides[0].filter { $0 != "-" }.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard sides.count <= 2, terms.count == site.inputs.count else { return nil }
    var ranks: [Int] = []
    for (term, input) in zip(terms, site.inputs) {
      guard let rank = input.flatMap({ sweep.shape($0) })?.rank, term.count(where: { $0 == "." }) % 3 == 0 else { return nil }
      ranks.append(term.contains(".") ? rank - term.count(where: \.isLetter) : 0)
    }
    guard let most = ranks.max(), ranks.allSatisfy({ $0 >= 0 }), most <= 8 else { return nil }
    let used = Set(given)
    let free = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".filter { !used.contains($0) }.prefix(most)
    guard free.count == most else { return nil }
    // Axes of an ellipsis are counted from its end, as broadcasting does.
    func spelled(_ term: String, _ count: Int) -> String {
      term.split(separator: "...", omittingEmptySubsequences: false).joined(separator: String(free.suffix(count)))
    }
    let letters = terms.joined().filter(\.isLetter)
    let result = sides.count == 2 ? String(sides[1]) : "..." + String(Set(letters).filter { letter in letters.count(where: { $0 == letter }) == 1 }.sorted())
    let equation = zip(terms, ranks).map { spelled($0, $1) }.joined(separator: ",") + "->" + spelled(result, most)
    guard !equation.contains(".") else { return nil }
    return sweep.make(.matrix(.einsum(equation: equation)), site.inputs, for: site).map { [$0] }
  }

  /// Of one operand: a sum over the labels that the result lacks, then a transpose.
  static let alone = Rule(.rounding) { site, sweep in
    guard case .matrix(.einsum(let equation)) = site.op, site.inputs.count == 1, var value = site.input(0), let (terms, output) = Terms.parsed(equation),
      terms.count == 1, let rank = sweep.shape(value)?.rank, rank == terms[0].count, Set(output).isSubset(of: terms[0])
    else { return nil }
    let left = terms[0].filter { output.contains($0) }
    if left.count < rank {
      guard let axes = sweep.vector(terms[0].indices.filter { !output.contains(terms[0][$0]) }, for: site),
        let sum = sweep.make(.reduction(ReductionOp(.sum, keepDims: false)), [value, axes], for: site)
      else { return nil }
      value = sum
    }
    return transposed(value, output.compactMap { left.firstIndex(of: $0) }, site, &sweep).map { [$0] }
  }

  /// `einsum(a, b, c) = einsum(einsum(a, b), c)`, where the inner one keeps the labels that are still wanted.
  static let pairwise = Rule(.rounding) { site, sweep in
    guard case .matrix(.einsum(let equation)) = site.op, site.inputs.count > 2, let (terms, output) = Terms.parsed(equation),
      terms.count == site.inputs.count
    else { return nil }
    let wanted = Set(terms[2...].joined()).union(output)
    var kept: [Character] = []
    for label in terms[0] + terms[1] where wanted.contains(label) && !kept.contains(label) { kept.append(label) }
    let inner = "\(String(terms[0])),\(String(terms[1]))->\(String(kept))"
    let outer = ([kept] + terms[2...]).map { String($0) }.joined(separator: ",") + "->\(String(output))"
    guard let first = sweep.make(.matrix(.einsum(equation: inner)), [site.input(0), site.input(1)], for: site) else { return nil }
    return sweep.make(.matrix(.einsum(equation: outer)), [first] + site.inputs[2...], for: site).map { [$0] }
  }

  /// Without a contraction, an operand whose labels the other one has all is a factor.
  static let scaling = Rule(.rounding) { site, sweep in
    guard case .matrix(.einsum(let equation)) = site.op, site.inputs.count == 2, let a = site.input(0), let b = site.input(1), let terms = Terms(equation),
      let aShape = sweep.shape(a), let bShape = sweep.shape(b), terms.left.count == aShape.rank, terms.right.count == bShape.rank
    else { return nil }
    for (x, own, factor, other, shape) in [(a, terms.left, b, terms.right, bShape), (b, terms.right, a, terms.left, aShape)] {
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
    guard case .matrix(.einsum(let equation)) = site.op, site.inputs.count == 2, let a = site.input(0), let b = site.input(1), let aShape = sweep.shape(a),
      let bShape = sweep.shape(b), let terms = Terms(equation), terms.left.count == aShape.rank, terms.right.count == bShape.rank
    else { return nil }
    var sizes: [Character: Dim] = [:]
    for (label, dim) in zip(terms.left, aShape.dims) { sizes[label] = dim }
    for (label, dim) in zip(terms.right, bShape.dims) where sizes[label] == nil || sizes[label] == 1 { sizes[label] = dim }
    let batch = terms.output.filter { terms.left.contains($0) && terms.right.contains($0) }
    let contracted = terms.left.filter { terms.right.contains($0) && !terms.output.contains($0) }
    let rows = terms.output.filter { terms.left.contains($0) && !terms.right.contains($0) }
    let columns = terms.output.filter { terms.right.contains($0) && !terms.left.contains($0) }
    guard terms.left.allSatisfy({ batch.contains($0) || contracted.contains($0) || rows.contains($0) }),
      terms.right.allSatisfy({ batch.contains($0) || contracted.contains($0) || columns.contains($0) }),
      zip(terms.left, aShape.dims).allSatisfy({ sizes[$0] == $1 }), zip(terms.right, bShape.dims).allSatisfy({ sizes[$0] == $1 }),
      let left = arranged(a, terms.left, [batch, rows, contracted], sizes, site, &sweep),
      let right = arranged(b, terms.right, [batch, contracted, columns], sizes, site, &sweep),
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
    _ value: ValueID, _ labels: [Character], _ groups: [[Character]], _ sizes: [Character: Dim], _ site: Site, _ sweep: inout Sweep
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

  /// `bhid,bhjd->bhij`: plain letters, none twice in a term.
  private struct Terms {
    var left, right, output: [Character]

    init?(_ equation: String) {
      guard let (terms, result) = Terms.parsed(equation), terms.count == 2 else { return nil }
      (left, right, output) = (terms[0], terms[1], result)
    }

    static func parsed(_ equation: String) -> (terms: [[Character]], output: [Character])? {
      let text = equation.filter { !$0.isWhitespace }
      guard let arrow = text.firstRange(of: "->") else { return nil }
      let terms = text[..<arrow.lowerBound].split(separator: ",", omittingEmptySubsequences: false).map(Array.init)
      let output = Array(text[arrow.upperBound...])
      for term in terms + [output] {
        guard term.allSatisfy({ $0.isASCII && $0.isLetter }), Set(term).count == term.count else { return nil }
      }
      return (terms, output)
    }
  }
}
