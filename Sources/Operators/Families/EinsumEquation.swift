public import Diagnostics
internal import Tensors

/// An equation of Einsum (ONNX 12): labels of each operand's axes and of the result's, the ellipsis resolved to labels
/// of its own.
public struct EinsumEquation: Sendable {
  /// A letter in ASCII, or an axis under the ellipsis counted from its last.
  public enum Label: Hashable, Comparable, Sendable {
    case letter(UInt8)
    case ellipsis(Int)
  }
  /// One pairwise contraction of the chain that evaluates the equation left to right.
  struct Step {
    var labels: Set<Label>
    var output: [Label]
  }

  public let operands: [[Label]]
  public let output: [Label]

  /// - Parameter ranks: how many axes each operand has.
  /// - Throws: `shapeMismatch` where the text is no equation, or does not fit the ranks.
  public init(_ equation: String, ranks: [Int]) throws(Failure) {
    func bad(_ why: String) -> Failure { Failure(.shapeMismatch, "Einsum '\(equation)': \(why)") }
    let text = equation.utf8.filter { $0 != UInt8(ascii: " ") && !(9...13).contains($0) }
    let arrow = text.indices.dropLast().first { text[$0] == UInt8(ascii: "-") && text[$0 + 1] == UInt8(ascii: ">") }
    let terms = text[..<(arrow ?? text.count)].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard terms.count == ranks.count else { throw bad("has \(terms.count) terms for \(ranks.count) operands") }

    func labels(_ term: ArraySlice<UInt8>, ellipsisRank: (_ letters: Int) throws(Failure) -> Int) throws(Failure) -> [Label] {
      var list: [Label] = []
      var ellipsis: Int?
      var rest = term
      while let next = rest.popFirst() {
        switch next {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): list.append(.letter(next))
        case UInt8(ascii: ".") where ellipsis == nil && rest.starts(with: [next, next]):
          rest = rest.dropFirst(2)
          ellipsis = list.count
        default: throw bad("'\(String(decoding: term, as: UTF8.self))' is no list of letters")
        }
      }
      if let ellipsis { list.insert(contentsOf: (0..<(try ellipsisRank(list.count))).reversed().map { .ellipsis($0) }, at: ellipsis) }
      return list
    }
    var operands: [[Label]] = []
    var widest = 0
    for (term, rank) in zip(terms, ranks) {
      let list = try labels(term) { (letters) throws(Failure) in
        guard rank >= letters else { throw bad("'\(String(decoding: term, as: UTF8.self))' names more axes than rank \(rank)") }
        widest = max(widest, rank - letters)
        return rank - letters
      }
      guard list.count == rank else { throw bad("'\(String(decoding: term, as: UTF8.self))' does not name \(rank) axes") }
      operands.append(list)
    }
    self.operands = operands
    if let arrow {
      let output = try labels(text[(arrow + 2)...]) { _ in widest }
      let known = Set(operands.joined())
      guard Set(output).count == output.count, output.allSatisfy({ known.contains($0) }) else { throw bad("the result's labels are wrong") }
      self.output = output
    } else {
      let counts = operands.joined().reduce(into: [Label: Int]()) { $0[$1, default: 0] += 1 }
      let once = counts.filter { if case .letter = $0.key { $0.value == 1 } else { false } }
      self.output = (0..<widest).reversed().map { .ellipsis($0) } + once.keys.sorted()
    }
  }

  /// The text of an equation; labels of an ellipsis get letters that no other label has. nil where letters run out.
  public static func text(_ operands: [[Label]], _ output: [Label]) -> String? {
    let labels = Set(operands.joined())
    let letters = (UInt8(ascii: "a")...UInt8(ascii: "z")).map { $0 } + (UInt8(ascii: "A")...UInt8(ascii: "Z")).map { $0 }
    var free = letters.filter { !labels.contains(.letter($0)) }.reversed().map { $0 }
    var spelled: [Label: UInt8] = [:]
    for label in labels.sorted() {
      if case .letter(let letter) = label {
        spelled[label] = letter
      } else {
        guard let letter = free.popLast() else { return nil }
        spelled[label] = letter
      }
    }
    func term(_ labels: [Label]) -> String { String(decoding: labels.compactMap { spelled[$0] }, as: UTF8.self) }
    return operands.map(term).joined(separator: ",") + "->" + term(output)
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
      let kept = index == operands.count - 1 ? output.filter { labels.contains($0) } : labels.filter { needed.contains($0) }.sorted()
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
    let inner = Set(aSteps.keys).union(bSteps.keys).subtracting(output).sorted()
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
