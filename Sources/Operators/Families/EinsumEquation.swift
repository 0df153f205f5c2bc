internal import Diagnostics
internal import Tensors

/// An equation of Einsum (ONNX 12): labels of each operand's axes and of the result's, the ellipsis resolved to labels
/// of its own.
struct EinsumEquation {
  /// A letter, or an axis under the ellipsis counted from its last.
  enum Label: Hashable {
    case letter(Character)
    case ellipsis(Int)
  }
  /// One pairwise contraction of the chain that evaluates the equation left to right.
  struct Step {
    var labels: Set<Label>
    var output: [Label]
  }

  let operands: [[Label]]
  let output: [Label]

  init(_ equation: String, ranks: [Int]) throws(Failure) {
    func bad(_ why: String) -> Failure { Failure(.shapeMismatch, "Einsum '\(equation)': \(why)") }
    let text = equation.filter { !$0.isWhitespace }
    let sides = text.split(separator: "->", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let left = sides.first else { throw bad("is empty") }
    let terms = left.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard terms.count == ranks.count else { throw bad("has \(terms.count) terms for \(ranks.count) operands") }

    func labels(_ term: String, ellipsisRank: (Int) throws(Failure) -> Int) throws(Failure) -> [Label] {
      let parts = term.split(separator: "...", omittingEmptySubsequences: false)
      guard parts.count <= 2, term.filter({ $0 != "." }).allSatisfy({ $0.isASCII && $0.isLetter }), !parts.contains(where: { $0.contains(".") }) else {
        throw bad("'\(term)' is no list of letters")
      }
      let letters = parts.map { part in part.map { Label.letter($0) } }
      if letters.count < 2 {
        _ = try ellipsisRank(-1)
        return letters.first ?? []
      }
      let rank = try ellipsisRank(letters[0].count + letters[1].count)
      return letters[0] + (0..<rank).reversed().map { Label.ellipsis($0) } + letters[1]
    }
    var operands: [[Label]] = []
    var widest = 0
    for (term, rank) in zip(terms, ranks) {
      let list = try labels(term) { (letters) throws(Failure) in
        if letters < 0 { return 0 }
        guard rank >= letters else { throw bad("'\(term)' names more axes than rank \(rank)") }
        widest = max(widest, rank - letters)
        return rank - letters
      }
      guard list.count == rank else { throw bad("'\(term)' does not name \(rank) axes") }
      operands.append(list)
    }
    self.operands = operands
    if sides.count == 2 {
      let output = try labels(sides[1]) { (letters) throws(Failure) in letters < 0 ? 0 : widest }
      let known = Set(operands.joined())
      guard Set(output).count == output.count, output.allSatisfy({ known.contains($0) }) else { throw bad("the result's labels are wrong") }
      self.output = output
    } else {
      let all = operands.joined().filter { if case .letter = $0 { true } else { false } }
      let counts = all.reduce(into: [Label: Int]()) { $0[$1, default: 0] += 1 }
      let once = counts.compactMap { label, count -> Character? in if count == 1, case .letter(let letter) = label { letter } else { nil } }
      self.output = (0..<widest).reversed().map { Label.ellipsis($0) } + once.sorted().map { Label.letter($0) }
    }
  }

  /// The size of each label; sizes of 1 broadcast.
  func sizes(_ shapes: [Shape]) throws(Failure) -> [Label: Dim] {
    var sizes: [Label: Dim] = [:]
    for (labels, shape) in zip(operands, shapes) {
      for (label, dim) in zip(labels, shape.dims) {
        guard let size = (sizes[label] ?? 1).broadcast(with: dim) else {
          throw Failure(.shapeMismatch, "Einsum: an axis is \(sizes[label]?.description ?? "") and \(dim)")
        }
        sizes[label] = size
      }
    }
    return sizes
  }

  /// The contractions, each keeping what a later operand or the result needs.
  func steps() -> [Step] {
    var steps: [Step] = []
    var current = operands.first ?? []
    for index in operands.indices.dropFirst(operands.count == 1 ? 0 : 1) {
      let next = operands.count == 1 ? [] : operands[index]
      let labels = Set(current).union(next)
      let needed = Set(operands[(index + 1)...].joined()).union(output)
      let kept = index == operands.count - 1 ? output.filter { labels.contains($0) } : labels.filter { needed.contains($0) }.sorted { "\($0)" < "\($1)" }
      steps.append(Step(labels: labels, output: kept))
      current = kept
    }
    return steps
  }

  func evaluate(_ values: [[Double]], _ shapes: [[Int]]) throws(Failure) -> [Double] {
    let sizes = try sizes(shapes.map { Shape($0) }).mapValues { $0.value ?? 0 }
    var current = values[0]
    var labels = operands[0]
    var dims = shapes[0]
    for (index, step) in steps().enumerated() {
      let summed = step.labels.subtracting(step.output)
      for labels in [Array(summed), step.output] {
        guard let count = labels.map({ sizes[$0] ?? 1 }).checkedProduct, count <= 1 << 28 else {
          throw Failure(.outOfMemory, "Einsum: a contraction is too large for the reference kernels")
        }
      }
      let alone = operands.count == 1
      current = EinsumEquation.contract(
        (current, labels, dims), alone ? ([1], [], []) : (values[index + 1], operands[index + 1], shapes[index + 1]), to: step.output, sizes)
      labels = step.output
      dims = labels.map { sizes[$0] ?? 1 }
    }
    return current
  }

  private typealias Operand = (values: [Double], labels: [Label], dims: [Int])

  private static func contract(_ a: Operand, _ b: Operand, to output: [Label], _ sizes: [Label: Int]) -> [Double] {
    /// A label that stands twice steps along the diagonal.
    func strides(_ operand: Operand) -> [Label: Int] {
      var result: [Label: Int] = [:]
      for ((label, dim), step) in zip(zip(operand.labels, operand.dims), rowMajorStrides(operand.dims)) { result[label, default: 0] += dim == 1 ? 0 : step }
      return result
    }
    let aSteps = strides(a)
    let bSteps = strides(b)
    let batch = output.filter { aSteps[$0] != nil && bSteps[$0] != nil }
    let rows = output.filter { bSteps[$0] == nil }
    let columns = output.filter { aSteps[$0] == nil }
    let inner = Set(aSteps.keys).union(bSteps.keys).subtracting(output).sorted { "\($0)" < "\($1)" }
    func places(_ labels: [Label], _ steps: [Label: Int]) -> [Int] { offsets(dims: labels.map { sizes[$0] ?? 1 }, strides: labels.map { steps[$0] ?? 0 }) }
    let product = ReferenceProduct(
      aBatches: places(batch, aSteps), bBatches: places(batch, bSteps), aRows: places(rows, aSteps), aInner: places(inner, aSteps),
      bInner: places(inner, bSteps), bColumns: places(columns, bSteps))(a.values, b.values)
    let made = batch + rows + columns
    if made == output { return product }
    let steps = Dictionary(uniqueKeysWithValues: zip(made, rowMajorStrides(made.map { sizes[$0] ?? 1 })))
    return places(output, steps).map { product[$0] }
  }
}
