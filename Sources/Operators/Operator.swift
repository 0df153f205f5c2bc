public import Diagnostics
public import Tensors

/// What is known of a small integer tensor of shape arithmetic: one `Dim` per element, symbols included, row-major.
public struct SymbolicVector: Hashable, Sendable {
  /// Empty for a scalar, one entry for a vector; pads are sometimes built through a matrix.
  public var dims: [Int]
  public var elements: [Dim]
  public init(dims: [Int], elements: [Dim]) {
    self.dims = dims
    self.elements = elements
  }
}

/// What is known of a value's elements before anything runs.
public enum KnownValue: Sendable {
  case tensor(Tensor)
  case symbolic(SymbolicVector)

  /// The elements as dimensions: of an integer tensor of rank 0 or 1, or of a symbolic vector.
  public var dimensions: [Dim]? {
    switch self {
    case .symbolic(let vector): vector.dims.count <= 1 ? vector.elements : nil
    case .tensor(let tensor): tensor.dims.count <= 1 && tensor.count <= ShapeArithmetic.countLimit ? tensor.integers()?.map { Dim($0) } : nil
    }
  }
  /// The elements as numbers, row-major, when all are and they are few enough to be a shape.
  public var integers: [Int]? {
    switch self {
    case .symbolic(let vector): Shape(vector.elements).concrete
    case .tensor(let tensor): tensor.count <= ShapeArithmetic.countLimit ? tensor.integers() : nil
    }
  }
}

/// The type of a value and, where it is known, its elements.
public struct Fact: Sendable {
  public var type: TensorType
  public var value: KnownValue?
  public init(_ type: TensorType, value: KnownValue? = nil) {
    self.type = type
    self.value = value
  }
}

/// Work of one node. `macs` are multiply-adds of matrix products and convolutions, attention products included;
/// `elementwise` counts every other arithmetic result. The two are never added up.
public struct Cost: Hashable, Sendable {
  public var macs: Int
  public var elementwise: Int
  public init(macs: Int = 0, elementwise: Int = 0) {
    self.macs = macs
    self.elementwise = elementwise
  }
}

/// The meaning of one operator: its shape rule, cost and reference kernel, declared in one place.
public protocol Operator: Sendable {
  /// The ONNX name and domain, for messages and counts.
  var mnemonic: String { get }
  var domain: String { get }
  /// How many operands and results it takes.
  var arity: Arity { get }

  /// Types of the `resultCount` results (and their elements where shape arithmetic tells them). An operand is nil where
  /// it is left out. Called only when the types of all given operands are known.
  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact]

  /// Work for concrete operand and result types.
  func cost(operands: [TensorType?], results: [TensorType]) -> Cost

  /// The reference kernel: plain, correct, no limits on layout. Throws `operatorNotRunnable` for types it does not have.
  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor]
}

public struct Arity: Hashable, Sendable {
  public var operands: ClosedRange<Int>
  public var results: ClosedRange<Int>
  public init(_ operands: ClosedRange<Int>, results: ClosedRange<Int> = 1...1) {
    self.operands = operands
    self.results = results
  }
}
