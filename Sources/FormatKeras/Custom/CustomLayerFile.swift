internal import Bytes
internal import Diagnostics

/// Descriptions of a user's own layers, read from a YAML file (docs/keras.md):
///
///     layers:
///       GatedUnit:
///         config: {units: 16}
///         inputs: {x: [batch, tokens, channels]}
///         weights:
///           - {name: kernel, shape: [channels, "2 * units"]}
///         outputs: [y]
///         graph: |
///           %h = matmul(%x, %kernel)
///           …
///
/// The file is data: nothing in it is run but the operators of the text form. It is checked before the parser sees it,
/// since YAML can be nested without end and can stand for far more than it is long.
enum CustomLayerFile {
  static let byteLimit = 1 << 18
  private static let depthLimit = 32
  private static let indentLimit = 128
  private static let entryLimit = 1024

  /// The descriptions by class, or by class and layer (`Lambda.scale`).
  static func read(_ path: String) throws(Failure) -> [String: CustomLayerDefinition] {
    let source = try ByteSource(mapping: path)
    guard source.count <= byteLimit else { throw Failure(.limitExceeded, "\(source.count) bytes of descriptions", at: .init(file: path)) }
    guard let text = String(validating: source.bytes(in: 0..<source.count), as: UTF8.self) else {
      throw Failure(.malformed, "is not UTF-8", at: .init(file: path))
    }
    do throws(Failure) {
      try guardAgainstBombs(text)
      return try definitions(try root(of: text), path: path)
    } catch {
      throw error.located(file: path)
    }
  }

  static func wrong(_ what: String, _ node: YAML?) -> Failure { wrong(what, line: node?.line) }
  private static func wrong(_ what: String, line: Int?) -> Failure {
    Failure(.malformed, line.map { "line \($0): \(what)" } ?? what, advice: "docs/keras.md shows how a layer is described")
  }

  /// Refuses what would make the parser recurse or the reader multiply.
  private static func guardAgainstBombs(_ text: String) throws(Failure) {
    var depth = 0
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let bytes = Array(line.utf8)
      let indent = bytes.prefix { [0x20, 0x09, UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":")].contains($0) }
      guard indent.count <= indentLimit else { throw Failure(.limitExceeded, "line \(index + 1): nested too deep") }
      for (place, byte) in bytes.enumerated() {
        switch byte {
        case UInt8(ascii: "["), UInt8(ascii: "{"):
          depth += 1
          guard depth <= depthLimit else { throw Failure(.limitExceeded, "line \(index + 1): nested too deep") }
        case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(depth - 1, 0)
        case UInt8(ascii: "*"), UInt8(ascii: "&"):
          let isFirst = place == 0 || [0x20, 0x09, UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{")].contains(bytes[place - 1])
          let isName = place + 1 < bytes.count && (bytes[place + 1] | 0x20 >= 0x61 && bytes[place + 1] | 0x20 <= 0x7A)
          if isFirst, isName { throw wrong("anchors and aliases are not taken here", line: index + 1) }
        default: break
        }
      }
    }
  }

  private static func root(of text: String) throws(Failure) -> YAML {
    let node: YAML?
    do throws(YAML.Mistake) { node = try YAML.compose(text) } catch { throw wrong(error.what, line: error.line) }
    guard let node else { throw wrong("the file is empty", line: 1) }
    return node
  }

  private static func definitions(_ root: YAML, path: String) throws(Failure) -> [String: CustomLayerDefinition] {
    let top = try fields(root, allowed: ["layers"])
    guard let layers = top["layers"] else { throw wrong("there is no key 'layers'", root) }
    guard case .mapping(let entries) = layers.content, !entries.isEmpty else { throw wrong("'layers' describes no class", layers) }
    guard entries.count <= entryLimit else { throw Failure(.limitExceeded, "\(entries.count) classes") }
    var result: [String: CustomLayerDefinition] = [:]
    for entry in entries {
      guard let name = entry.key.string, !name.isEmpty else { throw wrong("a class has no name", entry.key) }
      // Registered classes bear their package.
      let plain = name.split(separator: ">").last.map(String.init) ?? name
      result[plain] = try definition(plain, entry.value, path: path)
    }
    return result
  }

  /// The entries of a mapping by key; a key that is not allowed is a slip of the pen.
  private static func fields(_ node: YAML, allowed: [String]) throws(Failure) -> [String: YAML] {
    guard case .mapping(let mapping) = node.content else { throw wrong("a mapping with \(allowed.joined(separator: ", ")) is wanted", node) }
    var result: [String: YAML] = [:]
    for entry in mapping {
      guard let name = entry.key.string, allowed.contains(name) else {
        throw wrong("'\(entry.key.string ?? "?")' is none of \(allowed.joined(separator: ", "))", entry.key)
      }
      result[name] = entry.value
    }
    return result
  }

  private static func definition(_ name: String, _ node: YAML, path: String) throws(Failure) -> CustomLayerDefinition {
    let fields = try fields(node, allowed: ["config", "inputs", "weights", "outputs", "graph"])
    guard let graph = fields["graph"], case .scalar(let body, _, let isLiteral) = graph.content else { throw wrong("'\(name)' has no 'graph'", node) }
    var result = CustomLayerDefinition(className: name, file: path, body: body, bodyLine: isLiteral ? graph.line + 1 : graph.line)
    if let config = fields["config"] {
      guard case .mapping(let entries) = config.content else { throw wrong("'config' is a mapping from keys to defaults", config) }
      for entry in entries { result.config.append((try identifier(entry.key), entry.value.isNull ? nil : try constant(entry.value))) }
    }
    guard let inputs = fields["inputs"], case .mapping(let entries) = inputs.content, !entries.isEmpty else {
      throw wrong("'\(name)' has no 'inputs': a mapping from names to axes, such as {x: [batch, tokens, channels]}", fields["inputs"] ?? node)
    }
    for entry in entries { result.inputs.append((try identifier(entry.key), entry.value.isNull ? nil : try texts(entry.value))) }
    if let weights = fields["weights"] {
      guard case .sequence(let list) = weights.content, list.count <= entryLimit else { throw wrong("'weights' is a list", weights) }
      var counts: [String: Int] = [:]
      for entry in list {
        let own = try self.fields(entry, allowed: ["name", "shape", "layer", "index", "variable"])
        guard let name = own["name"] else { throw wrong("a weight has no 'name'", entry) }
        let layer = own["layer"]?.string ?? ""
        guard let index = own["index"].map({ $0.int }) ?? counts[layer, default: 0], (0..<entryLimit).contains(index) else {
          throw wrong("'index' is no place in a layer's variables", own["index"])
        }
        counts[layer] = index + 1
        let label = try identifier(name)
        result.weights.append(
          .init(
            name: label, variable: own["variable"]?.string ?? label, layer: layer, index: index,
            shape: try own["shape"].map { (node) throws(Failure) in try texts(node) },
            line: name.line))
      }
    }
    guard let outputs = fields["outputs"], case .sequence(let list) = outputs.content, !list.isEmpty, list.count <= entryLimit else {
      throw wrong("'\(name)' has no 'outputs': a list of values of its graph", fields["outputs"] ?? node)
    }
    for output in list { result.outputs.append(try identifier(output)) }
    let names = result.config.map(\.name) + result.inputs.map(\.name) + result.weights.map(\.name)
    for (index, name) in names.enumerated() where names[..<index].contains(name) { throw wrong("'\(name)' is used for two things", node) }
    return result
  }

  private static func identifier(_ node: YAML) throws(Failure) -> String {
    guard let text = node.string, let first = text.utf8.first, first == UInt8(ascii: "_") || Character(UnicodeScalar(first)).isLetter,
      text.utf8.allSatisfy({ $0 < 0x80 && ($0 == UInt8(ascii: "_") || Character(UnicodeScalar($0)).isLetter || Character(UnicodeScalar($0)).isNumber) })
    else { throw wrong("'\(node.string ?? "?")' is no name: letters, digits and '_'", node) }
    return text
  }

  private static func texts(_ node: YAML) throws(Failure) -> [String] {
    guard case .sequence(let list) = node.content, list.count <= 64 else { throw wrong("a list of axes is wanted", node) }
    var result: [String] = []
    for entry in list {
      guard let text = entry.string else { throw wrong("an axis is a name, a number or a product of them", entry) }
      result.append(text)
    }
    return result
  }

  /// A default: a number, a word, or a list of them.
  private static func constant(_ node: YAML) throws(Failure) -> JSON {
    switch node.content {
    case .scalar(let text, _, _):
      if let value = node.int { return .integer(value) }
      if let value = node.float { return .number(value) }
      if let value = node.bool { return .bool(value) }
      return .string(text)
    case .sequence(let list):
      guard list.count <= entryLimit else { throw wrong("a list of \(list.count) defaults", node) }
      var entries: [JSON] = []
      for entry in list {
        guard case .scalar = entry.content else { throw wrong("a default is a number, a word, or a list of them", entry) }
        entries.append(try constant(entry))
      }
      return .array(entries)
    case .mapping: throw wrong("a default is a number, a word, or a list of them", node)
    }
  }
}
