internal import Diagnostics
internal import Tensors

extension ValueInfoMessage {
  /// The declared tensor type; nil for values that are no tensors, or of which nothing is declared.
  func tensorType() throws(Failure) -> TensorType? { try valueType()?.tensor }

  /// The declared type of a value that is no tensor.
  func containerType() throws(Failure) -> ValueType? {
    let type = try valueType()
    return type?.tensor == nil ? type : nil
  }

  private func valueType() throws(Failure) -> ValueType? {
    do throws(Failure) { return try type?.valueType(symbols: name) } catch { throw error.located(element: name) }
  }
}

extension TypeMessage {
  /// - Parameter symbols: names dimensions without size or name: each gets a symbol of its own.
  func valueType(symbols: String) throws(Failure) -> ValueType? {
    switch self {
    case .tensor(let element, let dims):
      guard let element, element != 0 else { return nil }
      let type = try TypeMessage.element(element)
      guard let dims else { return .tensor(TensorType(type, nil)) }
      let shape = dims.enumerated().map { index, dim in
        if let value = dim.value, value >= 0 { return Dim(Int(value)) }
        if let symbol = dim.symbol, !symbol.isEmpty { return Dim(symbol: symbol) }
        return Dim(symbol: "\(symbols).\(index)")
      }
      return .tensor(TensorType(type, Shape(shape)))
    case .sequence(let element): return .sequence(of: try element?.valueType(symbols: symbols))
    case .optional(let element): return .optional(of: try element?.valueType(symbols: symbols))
    case .map(let key, let value): return .map(key: try TypeMessage.element(key), value: try value?.valueType(symbols: symbols))
    }
  }

  private static func element(_ raw: Int32) throws(Failure) -> ElementType {
    guard let number = UInt8(exactly: raw), let element = ElementType(rawValue: number) else {
      throw Failure(.unknownElementType, "element type \(raw)")
    }
    return element
  }
}
