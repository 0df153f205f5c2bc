internal import Operators
public import Inference
public import Tensors
public import GraphIR

/// How far rounding alone may take a value from the reference's, and where that number comes from.
public struct Tolerance: Sendable, Hashable {
  public var limit: Double
  public var basis: String

  /// The unit roundoff: how far the nearest number of the type may be from a number of size 1.
  static func unit(of type: ElementType) -> Double {
    switch type {
    case .bfloat16: 0x1p-8
    case .float16: 0x1p-11
    default: 0x1p-24
    }
  }
  /// Two models round in different places, and other samples than the measured ones may round worse.
  static let safety = 8.0

  /// From a run of the same computation in float64 on some samples: the reference's own rounding error, times a factor,
  /// and a few units in the last place for values that happen to be exact.
  ///
  /// - Parameter arithmetic: the narrowest type that the models compute in.
  public static func measured(_ own: Tensor, exact: Tensor, arithmetic: ElementType = .float32, samples: Int) -> Tolerance? {
    guard own.dims == exact.dims, let a = own.doubles(), let b = exact.doubles() else { return nil }
    var (error, magnitude) = (0.0, 0.0)
    for (x, y) in zip(a, b) where x.isFinite && y.isFinite {
      error = max(error, abs(x - y))
      magnitude = max(magnitude, abs(y))
    }
    return Tolerance(
      limit: safety * (error + unit(of: arithmetic) * magnitude),
      basis:
        "\(Int(safety)) times the reference's own rounding error, \(arithmetic.name) against float64 on \(samples) samples, plus \(Int(safety)) roundoffs of its largest value"
    )
  }

  /// Without such a run: `safety * u * sqrt(k) * largest magnitude`, k being the roundings on the longest way to the value
  /// (probabilistic bound of Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019).
  public static func bounded(_ roundings: Double, reference: Tensor, arithmetic: ElementType = .float32) -> Tolerance? {
    guard let values = reference.doubles() else { return nil }
    let magnitude = values.reduce(0) { $1.isFinite ? max($0, abs($1)) : $0 }
    return Tolerance(
      limit: safety * unit(of: arithmetic) * roundings.squareRoot() * magnitude,
      basis: "\(Int(safety)) u sqrt(\(Int(roundings))) of the largest value: probabilistic bound for the roundings on the longest way to it")
  }
}

extension TypedGraph {
  /// By value, how many roundings lie on the longest way from the inputs: the contraction length of a product, the size of
  /// a reduced axis, one for everything else that computes.
  public func roundingDepths() -> HandleMap<ValueTag, Double> {
    var depths = HandleMap<ValueTag, Double>(count: graph.values.count, initial: 0)
    for (_, node) in graph.liveNodes {
      let before = node.reads.reduce(0.0) { max($0, depths[$1]) }
      let own = contraction(node)
      for output in node.outputs { if let output { depths[output] = before + own } }
    }
    return depths
  }

  private func contraction(_ node: Node) -> Double {
    func dims(_ operand: Int) -> [Int] { node.input(operand).flatMap { shape(of: $0) }?.dims.map { $0.value ?? 1 } ?? [] }
    switch node.op {
    case .matrix: return Double(dims(0).last ?? 1)
    case .convolution: return Double(dims(1).dropFirst().reduce(1, &*))
    case .normalization, .softmax, .attention: return Double(dims(0).last ?? 1)
    case .reduction, .pooling:
      let outputs = node.output(0).flatMap { shape(of: $0) }?.dims.map { $0.value ?? 1 } ?? []
      let (before, after) = (dims(0).reduce(1, &*), outputs.reduce(1, &*))
      return after > 0 ? max(1, Double(before) / Double(after)) : 1
    case .layout, .indexing, .generator, .cast: return 0
    default: return 1
    }
  }
}
