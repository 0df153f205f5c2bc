/// One row of the table of operators: what it is called and which attributes it has.
public struct OperatorEntry: Sendable {
  public let kind: CataloguedOp.Kind
  /// "" is ai.onnx.
  public let domain: String
  public let name: String
  /// The version of its domain's operator set that brought it.
  public let since: Int
  public let attributes: [AttributeSchema]

  init(_ kind: CataloguedOp.Kind, _ name: String, domain: String = "", since: Int = 1, _ attributes: [AttributeSchema] = []) {
    self.kind = kind
    self.name = name
    self.domain = domain
    self.since = since
    self.attributes = attributes
  }

  public static let all: [OperatorEntry] =
    quantized + recurrent + signal + detection + text + learned + maps + training + contributed
  static let byKind = Dictionary(uniqueKeysWithValues: all.map { ($0.kind, $0) })

  static let microsoft = "com.microsoft"
  static let learning = "ai.onnx.ml"
}

extension CataloguedOp.Kind {
  public var entry: OperatorEntry { OperatorEntry.byKind[self] ?? OperatorEntry(self, rawValue, domain: "missing.entry") }
}

/// One attribute of an operator.
public struct AttributeSchema: Sendable {
  public enum Form: Hashable, Sendable, CustomStringConvertible {
    case int, float, string, ints, floats, strings, numbers
    case choice([String])

    public var description: String {
      switch self {
      case .int: "an integer"
      case .float: "a number"
      case .string: "a string"
      case .ints: "a list of integers"
      case .floats: "a list of numbers"
      case .strings: "a list of strings"
      case .numbers: "a numeric tensor"
      case .choice(let words): "one of " + words.joined(separator: ", ")
      }
    }
  }

  public let name: String
  public let form: Form
  /// What stands for an attribute that is left out; nil where its absence means something else.
  public let standard: AttributeData?
  public let isRequired: Bool

  private init(_ name: String, _ form: Form, _ standard: AttributeData?, isRequired: Bool = false) {
    self.name = name
    self.form = form
    self.standard = standard
    self.isRequired = isRequired
  }

  static func int(_ name: String, _ standard: Int? = nil) -> Self { Self(name, .int, standard.map { .int($0) }) }
  static func float(_ name: String, _ standard: Float? = nil) -> Self { Self(name, .float, standard.map { .float($0) }) }
  static func string(_ name: String) -> Self { Self(name, .string, nil) }
  static func ints(_ name: String) -> Self { Self(name, .ints, nil) }
  static func floats(_ name: String) -> Self { Self(name, .floats, nil) }
  static func strings(_ name: String) -> Self { Self(name, .strings, nil) }
  static func numbers(_ name: String) -> Self { Self(name, .numbers, nil) }
  /// The first word is the default.
  static func choice(_ name: String, _ words: [String]) -> Self { Self(name, .choice(words), words.first.map { .string(Array($0.utf8)) }) }
  var required: Self { Self(name, form, nil, isRequired: true) }

  /// The value in the attribute's form; nil where it is of another one. An empty list fits every list, since files and
  /// texts do not tell the types of nothing, and whole numbers are numbers.
  func fitting(_ value: AttributeData) -> AttributeData? {
    switch (form, value) {
    case (.int, .int), (.float, .float), (.string, .string), (.ints, .ints), (.floats, .floats), (.strings, .strings), (.numbers, .numbers): value
    case (.choice(let words), .string(let bytes)): words.contains(String(decoding: bytes, as: UTF8.self)) ? value : nil
    case (.float, .int(let whole)): .float(Float(whole))
    case (.floats, .ints(let wholes)): .floats(wholes.map { Float($0) })
    case (.strings, .ints(let nothing)) where nothing.isEmpty: .strings([])
    case (.ints, .floats(let nothing)) where nothing.isEmpty: .ints([])
    case (.strings, .floats(let nothing)) where nothing.isEmpty: .strings([])
    default: nil
    }
  }
}
