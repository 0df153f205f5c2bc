internal import Diagnostics
public import Tensors

/// Operators that run bodies.
public indirect enum ControlOp: Hashable, Sendable {
  /// If (ONNX 25): condition; the bodies take nothing and give the node's results.
  case branch(then: Subgraph, otherwise: Subgraph)
  /// Loop (ONNX 25): trip count?, condition?, carried values…; the body takes iteration, condition, carried values and gives
  /// condition, carried values, and elements that are stacked along a new first axis.
  case loop(Subgraph)
  /// Scan (ONNX 25): states…, scanned values…; the body takes states and elements, and gives states and elements.
  case scan(ScanOp)
  /// SequenceMap (ONNX 17): a sequence, then sequences of the same length or tensors that every element goes with; the
  /// body maps elements to elements.
  case map(Subgraph)
  /// FlexAttention (ai.onnx.preview 1): Q, K, V.
  case flexAttention(FlexAttentionOp)
}

/// Attention of rank 4 whose scores and probabilities (batch, query heads, queries, keys) may go through a body each; it
/// takes them and gives them back, of the same shape.
public struct FlexAttentionOp: Hashable, Sendable {
  public var scoreModifier: Subgraph?
  public var probabilityModifier: Subgraph?
  /// nil: 1/sqrt(head size).
  public var scale: Float?
  /// Of scores and probabilities; nil: float32, or float64 where the operands are.
  public var precision: ElementType?
  public init(scoreModifier: Subgraph?, probabilityModifier: Subgraph?, scale: Float?, precision: ElementType?) {
    self.scoreModifier = scoreModifier
    self.probabilityModifier = probabilityModifier
    self.scale = scale
    self.precision = precision
  }
}

/// All lists have one entry for each scanned input or output.
public struct ScanOp: Hashable, Sendable {
  public var body: Subgraph
  public var inputAxes: [Int]
  public var outputAxes: [Int]
  /// Whether elements are taken, or put, from the last to the first.
  public var inputsReversed: [Bool]
  public var outputsReversed: [Bool]
  /// Scan of version 8: the first operand gives the lengths of the sequences (may be left out), and every value has an
  /// axis of batches in front; the scanned axis is the second one.
  public var isBatched: Bool

  public init(body: Subgraph, inputAxes: [Int], outputAxes: [Int], inputsReversed: [Bool], outputsReversed: [Bool], isBatched: Bool = false) {
    self.body = body
    self.inputAxes = inputAxes
    self.outputAxes = outputAxes
    self.inputsReversed = inputsReversed
    self.outputsReversed = outputsReversed
    self.isBatched = isBatched
  }
}

/// A call of a function that the model itself defines, instantiated: attributes that the function refers to are filled
/// in. The body's formal inputs are the operands that are given, in order.
public struct CallOp: Hashable, Sendable {
  public var domain: String
  public var name: String
  public var overload: String
  public var body: Subgraph
  public init(domain: String, name: String, overload: String = "", body: Subgraph) {
    self.domain = domain
    self.name = name
    self.overload = overload
    self.body = body
  }
}

extension Op {
  /// The bodies that the operator runs.
  public var bodies: [Subgraph] {
    switch self {
    case .control(.branch(let then, let otherwise)): [then, otherwise]
    case .control(.loop(let body)), .control(.map(let body)): [body]
    case .control(.scan(let scan)): [scan.body]
    case .control(.flexAttention(let op)): [op.scoreModifier, op.probabilityModifier].compactMap { $0 }
    case .call(let call): [call.body]
    default: []
    }
  }

  /// The operator with other bodies in their place.
  func mappingBodies(_ transform: (Subgraph) throws(Failure) -> Subgraph) throws(Failure) -> Op {
    switch self {
    case .control(.branch(let then, let otherwise)):
      return .control(.branch(then: try transform(then), otherwise: try transform(otherwise)))
    case .control(.loop(let body)): return .control(.loop(try transform(body)))
    case .control(.map(let body)): return .control(.map(try transform(body)))
    case .control(.scan(var scan)):
      scan.body = try transform(scan.body)
      return .control(.scan(scan))
    case .control(.flexAttention(var op)):
      if let body = op.scoreModifier { op.scoreModifier = try transform(body) }
      if let body = op.probabilityModifier { op.probabilityModifier = try transform(body) }
      return .control(.flexAttention(op))
    case .call(var call):
      call.body = try transform(call.body)
      return .call(call)
    default: return self
    }
  }
}
