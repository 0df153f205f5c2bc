public import Diagnostics
public import Tensors

/// An operator that no recognizer or rewrite looks into: its kind and its attributes as the newest version of ONNX
/// spells them. Which attributes there are stands in one table (`OperatorEntry`), from which readers, writers and the
/// text form are derived; what the operator computes stands in `Operators`.
public struct CataloguedOp: Hashable, Sendable {
  public let kind: Kind
  /// In the order of the table; those at their default, and those that are not given, are left out.
  public let attributes: [Attribute]

  public struct Attribute: Hashable, Sendable {
    public let name: String
    public let value: AttributeData
  }

  /// - Parameter given: the attributes by name.
  /// - Throws: `badAttribute` for a name that the operator does not have, a value of another form than the table's, a
  ///   word that is none of its choices, or one that is missing and has no default.
  public init(_ kind: Kind, _ given: [String: AttributeData] = [:]) throws(Failure) {
    let entry = kind.entry
    var rest = given
    var attributes: [Attribute] = []
    for schema in entry.attributes {
      guard let value = rest.removeValue(forKey: schema.name) else {
        if schema.isRequired { throw Failure(.badAttribute, "\(entry.name): attribute '\(schema.name)' is missing") }
        continue
      }
      guard let fitting = schema.fitting(value) else {
        throw Failure(.badAttribute, "\(entry.name): attribute '\(schema.name)' is not \(schema.form)")
      }
      if fitting != schema.standard { attributes.append(Attribute(name: schema.name, value: fitting)) }
    }
    if let unknown = rest.keys.min() { throw Failure(.badAttribute, "\(entry.name) has no attribute '\(unknown)'") }
    self.kind = kind
    self.attributes = attributes
  }

  /// The value of an attribute, its default where it is not given; nil where it has none either.
  public subscript(_ name: String) -> AttributeData? {
    attributes.first { $0.name == name }?.value ?? kind.entry.attributes.first { $0.name == name }?.standard
  }

  public func optionalInt(_ name: String) -> Int? { if case .int(let value)? = self[name] { value } else { nil } }
  public func optionalFloat(_ name: String) -> Double? { if case .float(let value)? = self[name] { Double(value) } else { nil } }
  public func optionalBytes(_ name: String) -> [UInt8]? { if case .string(let value)? = self[name] { value } else { nil } }
  public func numbers(_ name: String) -> (element: ElementType, values: [Double])? {
    if case .numbers(let element, let values)? = self[name] { (element, values) } else { nil }
  }
  public func int(_ name: String) -> Int { optionalInt(name) ?? 0 }
  public func flag(_ name: String) -> Bool { int(name) != 0 }
  public func float(_ name: String) -> Double { optionalFloat(name) ?? 0 }
  public func word(_ name: String) -> String { optionalBytes(name).map { String(decoding: $0, as: UTF8.self) } ?? "" }
  /// Empty where the list is not given.
  public func ints(_ name: String) -> [Int] { if case .ints(let values)? = self[name] { values } else { [] } }
  public func floats(_ name: String) -> [Double] { if case .floats(let values)? = self[name] { values.map { Double($0) } } else { [] } }
  public func strings(_ name: String) -> [[UInt8]] { if case .strings(let values)? = self[name] { values } else { [] } }
  /// An element type by its ONNX number; nil for 0, which stands for "not given".
  public func element(_ name: String) throws(Failure) -> ElementType? {
    let number = int(name)
    if number == 0 { return nil }
    guard let raw = UInt8(exactly: number), let element = ElementType(rawValue: raw) else {
      throw Failure(.badAttribute, "\(kind.entry.name): attribute '\(name)' names element type \(number), which there is not")
    }
    return element
  }
}

/// What an attribute holds. Numbers are equal by their bits, so that NaN, which some tables name, equals itself.
public enum AttributeData: Hashable, Sendable {
  case int(Int)
  case float(Float)
  /// Bytes, most often UTF-8.
  case string([UInt8])
  case ints([Int])
  case floats([Float])
  case strings([[UInt8]])
  /// The elements of a numeric tensor; exact for every type up to 32 bits, float64, and integers up to 2^53.
  case numbers(ElementType, [Double])

  public static func == (a: AttributeData, b: AttributeData) -> Bool {
    switch (a, b) {
    case (.int(let x), .int(let y)): x == y
    case (.float(let x), .float(let y)): x.bitPattern == y.bitPattern
    case (.string(let x), .string(let y)): x == y
    case (.ints(let x), .ints(let y)): x == y
    case (.floats(let x), .floats(let y)): x.elementsEqual(y) { $0.bitPattern == $1.bitPattern }
    case (.strings(let x), .strings(let y)): x == y
    case (.numbers(let s, let x), .numbers(let t, let y)): s == t && x.elementsEqual(y) { $0.bitPattern == $1.bitPattern }
    default: false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .int(let x): hasher.combine(x)
    case .float(let x): hasher.combine(x.bitPattern)
    case .string(let x): hasher.combine(x)
    case .ints(let x): hasher.combine(x)
    case .floats(let x): for number in x { hasher.combine(number.bitPattern) }
    case .strings(let x): hasher.combine(x)
    case .numbers(let element, let x):
      hasher.combine(element)
      for number in x { hasher.combine(number.bitPattern) }
    }
  }
}
