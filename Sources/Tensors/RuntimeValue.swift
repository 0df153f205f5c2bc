/// What a value is while a graph runs.
public indirect enum RuntimeValue: Sendable {
  case tensor(Tensor)
  /// Elements of one kind, in order.
  case sequence([RuntimeValue])
  /// nil where nothing is held.
  case optional(RuntimeValue?)
  /// Keys (a vector of integers or strings) and as many values.
  case map(keys: Tensor, values: [RuntimeValue])

  public var tensor: Tensor? { if case .tensor(let tensor) = self { tensor } else { nil } }

  /// The kind in words, for messages.
  public var kind: String {
    switch self {
    case .tensor(let tensor): "a tensor \(tensor.type)"
    case .sequence(let elements): "a sequence of \(elements.count)"
    case .optional(let held): held.map { "an optional that holds \($0.kind)" } ?? "an empty optional"
    case .map(_, let values): "a map of \(values.count)"
    }
  }

  /// Bytes of all tensors inside; what several elements share counts for each.
  public var byteCount: Int {
    switch self {
    case .tensor(let tensor): tensor.byteCount
    case .sequence(let elements): elements.reduce(0) { $0 &+ $1.byteCount }
    case .optional(let held): held?.byteCount ?? 0
    case .map(let keys, let values): values.reduce(keys.byteCount) { $0 &+ $1.byteCount }
    }
  }

  /// The same structure with every tensor replaced.
  public func map<E: Error>(_ body: (Tensor) throws(E) -> Tensor) throws(E) -> RuntimeValue {
    switch self {
    case .tensor(let tensor): return .tensor(try body(tensor))
    case .sequence(let elements):
      var result: [RuntimeValue] = []
      result.reserveCapacity(elements.count)
      for element in elements { result.append(try element.map(body)) }
      return .sequence(result)
    case .optional(let held?): return .optional(try held.map(body))
    case .optional(nil): return self
    case .map(let keys, let values):
      var result: [RuntimeValue] = []
      for value in values { result.append(try value.map(body)) }
      return .map(keys: keys, values: result)
    }
  }
}

extension RuntimeValue {
  /// Whether the value may be one of that type. Shapes are not compared: files often declare none for elements.
  public func fits(_ type: ValueType) -> Bool {
    switch (self, type) {
    case (.tensor(let tensor), .tensor(let type)): tensor.elementType == type.element
    case (.sequence(let elements), .sequence(let element)): element.map { element in elements.allSatisfy { $0.fits(element) } } ?? true
    case (.optional(let held), .optional(let element)): held.flatMap { held in element.map { held.fits($0) } } ?? true
    // A value stands for an optional that holds it.
    case (_, .optional(let element)): element.map { fits($0) } ?? true
    case (.map(let keys, let values), .map(let key, let element)):
      keys.elementType == key && (element.map { element in values.allSatisfy { $0.fits(element) } } ?? true)
    default: false
    }
  }
}
