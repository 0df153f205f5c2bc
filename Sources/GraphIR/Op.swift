public import Tensors

/// What a node does: a closed set of families, each with its own file and payloads. Meanings are those of the newest
/// ONNX version; readers bring older versions to it (an attribute that became an input becomes a constant input).
///
/// A new case fails to compile at every `switch` that must know it; that error is the checklist.
public enum Op: Hashable, Sendable {
  /// Element by element on one tensor.
  case unary(UnaryOp)
  /// Element by element on two broadcast tensors.
  case binary(BinaryOp)
  /// Where (ONNX 16): condition, a, b.
  case select
  /// Clip (ONNX 13): x, min?, max?; the bounds are scalars.
  case clip
  /// Cast (ONNX 28), as it is without further attributes.
  case cast(to: ElementType)
  /// The other casts.
  case conversion(ConversionOp)
  case matrix(MatrixOp)
  case convolution(ConvolutionOp)
  case pooling(PoolingOp)
  case normalization(NormalizationOp)
  case softmax(SoftmaxOp)
  case reduction(ReductionOp)
  case layout(LayoutOp)
  case indexing(IndexingOp)
  case selection(SelectionOp)
  case cumulative(CumulativeOp)
  case generator(GeneratorOp)
  case random(RandomOp)
  case attention(AttentionOp)
  case rotary(RotaryEmbedding)
  case recurrence(RecurrenceOp)
  case loss(LossOp)
  /// Runs bodies: branches, loops.
  case control(ControlOp)
  /// Runs a function that the model defines.
  indirect case call(CallOp)
  case sequence(SequenceOp)
  /// An operator that no recognizer or rewrite looks into, by its row in a table.
  case catalogued(CataloguedOp)
  /// Kept verbatim: an operator vitconv does not know.
  case foreign(ForeignOp)
}

/// An operator without a meaning in the IR. Its attributes stay with the format's record of the node.
public struct ForeignOp: Hashable, Sendable {
  public var domain: String
  public var name: String
  /// Why it has none, for messages; it makes no operator another one.
  public var reason: String

  public init(domain: String, name: String, reason: String = "") {
    self.domain = domain
    self.name = name
    self.reason = reason
  }

  public static func == (a: ForeignOp, b: ForeignOp) -> Bool { a.domain == b.domain && a.name == b.name }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(domain)
    hasher.combine(name)
  }

  /// What a run says that meets it.
  public var refusal: String {
    "there is no kernel for \(domain.isEmpty ? name : "\(domain).\(name)")" + (reason.isEmpty ? "" : ": \(reason)")
  }
}
