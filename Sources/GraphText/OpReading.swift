internal import Diagnostics
internal import GraphIR
internal import Tensors

/// From mnemonic and attributes back to the operator: the reverse of `OpSpelling`. Each family reads and spells in one file.
enum OpReading {
  private static let plain = Dictionary(uniqueKeysWithValues: OpSpelling.plain)

  /// nil for a mnemonic that is not known.
  static func op(_ mnemonic: String, _ attributes: inout AttributeReader, _ bodies: [Subgraph] = []) throws(Failure) -> Op? {
    if let op = try control(mnemonic, &attributes, bodies) { return op }
    guard bodies.isEmpty else { throw Failure(.graphText, "'\(mnemonic)' takes no bodies") }
    if let op = plain[mnemonic] { return op }
    // One after the other: an array of functions with typed throws crashes the compiler.
    if let op = try elementwise(mnemonic, &attributes) { return op }
    if let op = try matrix(mnemonic, &attributes) { return op }
    if let op = try window(mnemonic, &attributes) { return op }
    if let op = try normalization(mnemonic, &attributes) { return op }
    if let op = try layout(mnemonic, &attributes) { return op }
    if let op = try indexing(mnemonic, &attributes) { return op }
    if let op = try attention(mnemonic, &attributes) { return op }
    if let op = try selection(mnemonic, &attributes) { return op }
    if let op = try random(mnemonic, &attributes) { return op }
    if let op = try sequence(mnemonic, &attributes) { return op }
    return try other(mnemonic, &attributes)
  }

  private static func other(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "foreign": .foreign(ForeignOp(domain: try attributes.string("domain"), name: try attributes.string("name")))
    default: try CataloguedOp.Kind(rawValue: mnemonic).map { (kind) throws(Failure) in .catalogued(try CataloguedOp(kind, attributes.takeAll())) }
    }
  }

  static func optionalElementType(_ name: String, _ attributes: inout AttributeReader) throws(Failure) -> ElementType? {
    guard let word = try attributes.word(name) else { return nil }
    guard let type = TypeText.element(word) else { throw Failure(.graphText, "the attribute '\(name)' is no element type") }
    return type
  }

  static func elementType(_ name: String, _ attributes: inout AttributeReader) throws(Failure) -> ElementType {
    guard let word = try attributes.word(name), let type = TypeText.element(word) else {
      throw Failure(.graphText, "the attribute '\(name)' is missing or no element type")
    }
    return type
  }
}
