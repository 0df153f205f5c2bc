public import Diagnostics
public import GraphIR
public import Tensors

extension Dim {
  /// The size of an axis of which nothing is known. `Inference` gives each occurrence a name of its own.
  public static let unknown = Dim(symbol: "?")

  func plus(_ other: Dim) throws(Failure) -> Dim { try checked(adding(other)) }
  func minus(_ other: Dim) throws(Failure) -> Dim { try checked(subtracting(other)) }
  func times(_ other: Dim) throws(Failure) -> Dim { try checked(multiplied(by: other)) }
  func floored(by other: Dim) throws(Failure) -> Dim { try checked(floorDivided(by: other)) }
  func ceiled(by other: Dim) throws(Failure) -> Dim { try checked(ceilDivided(by: other)) }
  func atLeast(_ other: Dim) throws(Failure) -> Dim { try checked(maximum(other)) }
  func atMost(_ other: Dim) throws(Failure) -> Dim { try checked(minimum(other)) }

  private func checked(_ result: Dim?) throws(Failure) -> Dim {
    guard let result else { throw Failure(.sizeOverflow, "a size computed from \(self) overflows") }
    return result
  }

  /// Whether the two may be the same size: false only where they are certain to differ.
  func agrees(with other: Dim) -> Bool {
    if let a = value, let b = other.value { return a == b }
    return true
  }

  /// The more telling of two sizes that agree.
  func merged(with other: Dim) -> Dim { value != nil || other == .unknown ? self : other.value != nil || self == .unknown ? other : self }
}

extension Shape {
  /// A shape of that rank of which no size is known.
  static func unknown(rank: Int) -> Shape { Shape([Dim](repeating: .unknown, count: rank)) }
}

extension Array where Element == Fact? {
  func fact(_ index: Int) -> Fact? { index < count ? self[index] : nil }

  func required(_ index: Int) throws(Failure) -> Fact {
    guard let fact = fact(index) else { throw Failure(.operandCount, "operand \(index) is missing") }
    return fact
  }

  /// The element type that the given operands share.
  func sharedElement(_ indices: [Int], of mnemonic: String) throws(Failure) -> ElementType {
    var found: ElementType?
    for index in indices {
      guard let element = fact(index)?.type.element else { continue }
      if let found, found != element { throw Failure(.typeMismatch, "\(mnemonic) of \(found.name) and \(element.name)") }
      found = element
    }
    guard let found else { throw Failure(.operandCount, "\(mnemonic) has no operands") }
    return found
  }
}

extension Array where Element == Tensor? {
  func tensor(_ index: Int) -> Tensor? { index < count ? self[index] : nil }

  func required(_ index: Int) throws(Failure) -> Tensor {
    guard let tensor = tensor(index) else { throw Failure(.operandCount, "operand \(index) is missing") }
    return tensor
  }
}

extension Operator {
  /// - Throws: `operandCount` where the node has more or fewer operands or results than the operator.
  public func checkArity(_ node: Node) throws(Failure) { try arity.check(node, mnemonic) }
}

extension Arity {
  public func check(_ node: Node, _ mnemonic: String) throws(Failure) {
    guard operands.contains(node.inputs.count), node.inputs.prefix(operands.lowerBound).allSatisfy({ $0 != nil }) else {
      throw Failure(.operandCount, "\(mnemonic) has \(node.inputs.count { $0 != nil }) operands")
    }
    guard results.contains(node.outputs.count) else { throw Failure(.operandCount, "\(mnemonic) has \(node.outputs.count) results") }
  }
}

extension Operator {
  /// What `infer` gives; what it throws names the operator, which arithmetic on sizes does not know.
  public func inferred(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    do throws(Failure) { return try infer(operands, resultCount: resultCount) } catch {
      guard !error.message.contains(mnemonic) else { throw error }
      var named = error
      named.message = "\(mnemonic): \(error.message)"
      throw named
    }
  }

  /// `axis` counted from the front.
  func axis(_ axis: Int, rank: Int) throws(Failure) -> Int {
    guard axis >= -rank, axis < rank else { throw Failure(.shapeMismatch, "\(mnemonic) has axis \(axis) of a tensor of rank \(rank)") }
    return axis < 0 ? axis + rank : axis
  }

  /// Axes counted from the front, each once.
  func axes(_ list: [Int], rank: Int) throws(Failure) -> [Int] {
    var result: [Int] = []
    for item in list {
      let next = try axis(item, rank: rank)
      guard !result.contains(next) else { throw Failure(.shapeMismatch, "\(mnemonic) has axis \(next) twice") }
      result.append(next)
    }
    return result
  }

  func mismatch(_ message: String) -> Failure { Failure(.shapeMismatch, "\(mnemonic): \(message)") }

  func checkFloat(_ element: ElementType) throws(Failure) {
    guard element.isFloatingPoint else { throw Failure(.typeMismatch, "\(mnemonic) of \(element.name)") }
  }

  func checkNumeric(_ element: ElementType) throws(Failure) {
    guard element.isFloatingPoint || element.isInteger else { throw Failure(.typeMismatch, "\(mnemonic) of \(element.name)") }
  }

  func checkRank(_ shape: Shape, _ range: ClosedRange<Int>, _ operand: String) throws(Failure) {
    guard range.contains(shape.rank) else { throw mismatch("\(operand) has rank \(shape.rank)") }
  }

  func checkAgree(_ a: Dim, _ b: Dim, _ what: @autoclosure () -> String) throws(Failure) {
    guard a.agrees(with: b) else { throw mismatch("\(what()): \(a) and \(b)") }
  }

  /// The element types and concrete dimensions of what `evaluate` has to make, by the shape rule itself.
  func resultTypes(_ operands: [Tensor?], _ resultCount: Int) throws(Failure) -> [(element: ElementType, dims: [Int])] {
    for operand in operands { if let operand { try checkRunnable(operand.dims) } }
    let facts = try inferred(operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }, resultCount: resultCount)
    var result: [(element: ElementType, dims: [Int])] = []
    for fact in facts {
      guard let dims = fact.type.shape?.concrete else {
        throw Failure(.operatorNotRunnable, "\(mnemonic): the result's shape \(fact.type) is not known from the operands")
      }
      try checkRunnable(dims)
      result.append((fact.type.element, dims))
    }
    return result
  }

  /// Reference kernels take and make up to 2^28 elements, and no longer axis even where another one is empty.
  func checkRunnable(_ dims: [Int]) throws(Failure) {
    guard let count = dims.checkedProduct else { throw Failure(.sizeOverflow, "\(mnemonic): the dimensions \(dims) overflow") }
    guard count <= 1 << 28, dims.allSatisfy({ $0 <= 1 << 28 }) else {
      throw Failure(.outOfMemory, "\(mnemonic): dimensions \(dims) are too large for the reference kernels")
    }
  }

  func notRunnable(_ element: ElementType) -> Failure { Failure(.operatorNotRunnable, "there is no reference kernel for \(mnemonic) of \(element.name)") }
}
