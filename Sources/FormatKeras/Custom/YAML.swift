internal import CYAML
internal import Diagnostics

/// A node of a YAML document, as libyaml composes it.
struct YAML: Sendable {
  indirect enum Content: Sendable {
    /// - Parameter isPlain: whether it stands without quotes, so that it may be a number or nothing at all.
    case scalar(String, isPlain: Bool, isLiteral: Bool)
    case sequence([YAML])
    case mapping([Entry])
  }

  struct Entry: Sendable {
    var key: YAML
    var value: YAML
  }

  var content: Content
  /// Counted from 1.
  var line: Int

  var string: String? { if case .scalar(let text, _, _) = content { text } else { nil } }
  /// A number, as YAML's core schema writes it.
  var int: Int? { plain.flatMap { Int($0) } }
  var float: Double? {
    switch plain {
    case nil: nil
    case ".inf", "+.inf": .infinity
    case "-.inf": -.infinity
    case ".nan": .nan
    case let text?: Double(text)
    }
  }
  var bool: Bool? { plain == "true" ? true : plain == "false" ? false : nil }
  var isNull: Bool { plain.map { ["", "~", "null"].contains($0) } ?? false }
  private var plain: String? { if case .scalar(let text, true, _) = content { text } else { nil } }
}

extension YAML {
  /// Why a text is no document, and in which line.
  struct Mistake: Error {
    var what: String
    var line: Int?
  }

  private static let depthLimit = 64
  private static let nodeLimit = 1 << 16

  /// The first document of a text; nil where there is none.
  static func compose(_ text: String) throws(Mistake) -> YAML? {
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else { throw Mistake(what: "no memory for the parser", line: nil) }
    defer { unsafe yaml_parser_delete(&parser) }
    let bytes = Array(text.utf8)
    var document = unsafe yaml_document_t()
    let isLoaded = unsafe bytes.withUnsafeBufferPointer { buffer in
      // The parser reads its input during this call only.
      unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
      return unsafe yaml_parser_load(&parser, &document) == 1
    }
    guard isLoaded else {
      let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "it breaks off"
      throw Mistake(what: "not YAML: \(problem)", line: unsafe Int(clamping: parser.problem_mark.line) + 1)
    }
    defer { unsafe yaml_document_delete(&document) }
    guard unsafe yaml_document_get_root_node(&document) != nil else { return nil }
    var left = nodeLimit
    return try unsafe node(1, of: &document, depth: 0, &left)
  }

  /// - Parameter index: counted from 1, as the document's own lists count.
  private static func node(
    _ index: Int32, of document: UnsafeMutablePointer<yaml_document_t>, depth: Int, _ left: inout Int
  ) throws(Mistake) -> YAML {
    left -= 1
    guard left > 0, depth < depthLimit, let found = unsafe yaml_document_get_node(document, index) else {
      throw Mistake(what: "nested too deep, or too many entries", line: nil)
    }
    let line = unsafe Int(clamping: found.pointee.start_mark.line) + 1
    switch unsafe found.pointee.type {
    case YAML_SCALAR_NODE:
      let scalar = unsafe found.pointee.data.scalar
      let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: Int(clamping: scalar.length)), as: UTF8.self)
      let style = unsafe scalar.style
      return YAML(content: .scalar(text, isPlain: style == YAML_PLAIN_SCALAR_STYLE, isLiteral: style == YAML_LITERAL_SCALAR_STYLE), line: line)
    case YAML_SEQUENCE_NODE:
      let items = unsafe found.pointee.data.sequence.items
      var entries: [YAML] = []
      let list = unsafe Array(UnsafeBufferPointer(start: items.start, count: entryCount(items.start, items.top)))
      for item in list {
        entries.append(try unsafe node(item, of: document, depth: depth + 1, &left))
      }
      return YAML(content: .sequence(entries), line: line)
    case YAML_MAPPING_NODE:
      let pairs = unsafe found.pointee.data.mapping.pairs
      var entries: [Entry] = []
      var seen: Set<String> = []
      let list = unsafe Array(UnsafeBufferPointer(start: pairs.start, count: entryCount(pairs.start, pairs.top)))
      for pair in list {
        let key = try unsafe node(pair.key, of: document, depth: depth + 1, &left)
        if let name = key.string, !seen.insert(name).inserted { throw Mistake(what: "the key '\(name)' occurs twice", line: key.line) }
        entries.append(Entry(key: key, value: try unsafe node(pair.value, of: document, depth: depth + 1, &left)))
      }
      return YAML(content: .mapping(entries), line: line)
    default: throw Mistake(what: "a node without content", line: line)
    }
  }

  private static func entryCount<Entry>(_ start: UnsafeMutablePointer<Entry>?, _ top: UnsafeMutablePointer<Entry>?) -> Int {
    guard let start = unsafe start, let top = unsafe top else { return 0 }
    return unsafe top - start
  }
}
