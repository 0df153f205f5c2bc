public import GraphIR

extension Op {
  /// What the operator means: the one list from cases to meanings. nil for operators that vitconv keeps without one, and
  /// for those on other things than tensors, whose meaning stands in `Execution`.
  public var semantics: (any Operator)? {
    switch self {
    case .unary(let op): op
    case .binary(let op): op
    case .select: SelectOperator()
    case .clip: ClipOperator()
    case .cast(let target): CastOperator(target: target)
    case .conversion(let op): op
    case .matrix(let op): op
    case .convolution(let op): op
    case .pooling(let op): op
    case .normalization(let op): op
    case .softmax(let op): op
    case .reduction(let op): op
    case .layout(let op): op
    case .indexing(let op): op
    case .selection(let op): op
    case .cumulative(let op): op
    case .generator(let op): op
    case .random(let op): op
    case .attention(let op): op
    case .rotary(let op): op
    case .recurrence(let op): op
    case .loss(let op): op
    case .catalogued(let op): op.semantics
    case .control, .call, .sequence, .foreign: nil
    }
  }

  /// The operator's name and domain, as ONNX spells them.
  public var name: (domain: String, mnemonic: String) {
    switch self {
    case .foreign(let op): (op.domain, op.name)
    case .call(let call): (call.domain, call.name)
    case .control(.branch): ("", "If")
    case .control(.loop): ("", "Loop")
    case .control(.scan): ("", "Scan")
    case .control(.map): ("", "SequenceMap")
    case .control(.flexAttention): ("ai.onnx.preview", "FlexAttention")
    case .sequence(let op): ("", op.mnemonic)
    case .catalogued(let op): (op.kind.entry.domain, op.kind.entry.name)
    default: (semantics?.domain ?? "", semantics?.mnemonic ?? "")
    }
  }
}
