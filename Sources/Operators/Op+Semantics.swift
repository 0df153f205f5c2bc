public import GraphIR

extension Op {
  /// What the operator means: the one list from cases to meanings. nil for operators that vitconv keeps without one.
  public var semantics: (any Operator)? {
    switch self {
    case .unary(let op): op
    case .binary(let op): op
    case .select: SelectOperator()
    case .clip: ClipOperator()
    case .cast(let target): CastOperator(target: target)
    case .matrix(let op): op
    case .convolution(let op): op
    case .pooling(let op): op
    case .normalization(let op): op
    case .softmax(let op): op
    case .reduction(let op): op
    case .layout(let op): op
    case .indexing(let op): op
    case .generator(let op): op
    case .attention(let op): op
    case .catalogued(let op): op.semantics
    case .foreign: nil
    }
  }

  /// The operator's name and domain, as ONNX spells them.
  public var name: (domain: String, mnemonic: String) {
    if case .foreign(let op) = self { return (op.domain, op.name) }
    return (semantics?.domain ?? "", semantics?.mnemonic ?? "")
  }
}
