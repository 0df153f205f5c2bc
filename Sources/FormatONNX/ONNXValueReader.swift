public import Bytes
public import Diagnostics
public import Tensors

/// Reads values that lie in files of their own: TensorProto, SequenceProto, OptionalProto, as test cases hold them.
public enum ONNXValueReader {
  /// - Parameter type: what the value is to be; the file does not tell its own kind. nil means a tensor.
  /// - Throws: what reading a model throws; the same limits hold.
  public static func read(_ source: ByteSource, type: ValueType?, limits: ReadLimits = .standard) throws(Failure) -> RuntimeValue {
    do throws(Failure) {
      let kind: ValueMessage.Kind
      let schema: MessageKind
      switch type {
      case .tensor?, nil: (kind, schema) = (.tensor, .tensor)
      case .sequence?: (kind, schema) = (.sequence, .sequence)
      case .optional?: (kind, schema) = (.optional, .optional)
      case .map?: (kind, schema) = (.map, .map)
      }
      let structure = try Skim.structure(of: schema, in: source, limits: limits)
      let decoder = TensorDecoder(source: source, path: source.name, limits: limits)
      return try value(try ValueMessage.decode(structure, kind), decoder)
    } catch {
      throw error.located(file: source.name)
    }
  }

  private static func value(_ message: ValueMessage, _ decoder: TensorDecoder) throws(Failure) -> RuntimeValue {
    switch message {
    case .tensor(let tensor): return .tensor(try decoder.tensor(tensor))
    case .sequence(let elements): return .sequence(try values(elements, decoder))
    case .optional(let held?): return .optional(try value(held, decoder))
    case .optional(nil): return .optional(nil)
    case .map(let numbers, let strings, let type, let elements):
      let values = try values(elements, decoder)
      guard let raw = UInt8(exactly: type), let key = ElementType(rawValue: raw), key == .string || key.isInteger else {
        throw Failure(.unknownElementType, "a map has keys of type \(type)")
      }
      let count = key == .string ? strings.count : numbers.count
      guard count == values.count else { throw Failure(.payloadMismatch, "a map has \(count) keys and \(values.count) values") }
      let keys =
        key == .string
        ? try Tensor(.string, dims: [count], storage: .strings(strings)) : try Tensor(int64: numbers, dims: [count])
      return .map(keys: keys, values: values)
    }
  }

  private static func values(_ messages: [ValueMessage], _ decoder: TensorDecoder) throws(Failure) -> [RuntimeValue] {
    var result: [RuntimeValue] = []
    for message in messages { result.append(try value(message, decoder)) }
    return result
  }
}
