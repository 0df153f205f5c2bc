/// The type of anything that flows in a graph: ONNX's TypeProto, but for sparse tensors, which are made dense.
public indirect enum ValueType: Hashable, Sendable, CustomStringConvertible {
  case tensor(TensorType)
  /// All elements are of one type; nil where the file does not tell it.
  case sequence(of: ValueType?)
  case optional(of: ValueType?)
  case map(key: ElementType, value: ValueType?)

  public var tensor: TensorType? { if case .tensor(let type) = self { type } else { nil } }

  public var description: String {
    switch self {
    case .tensor(let type): type.description
    case .sequence(let element): "sequence(\(element?.description ?? "?"))"
    case .optional(let element): "optional(\(element?.description ?? "?"))"
    case .map(let key, let value): "map(\(key.name), \(value?.description ?? "?"))"
    }
  }
}
