internal import Bytes
internal import Diagnostics
internal import Tensors

/// The header of a `.npy` file: a Python dictionary literal with `descr`, `fortran_order` and `shape`
/// (NumPy enhancement proposal 1, versions 1.0 to 3.0 of the format).
struct NPYHeader {
  enum Order { case rowMajor, columnMajor }
  enum ByteOrder { case little, big }

  var elementType: ElementType
  var byteOrder: ByteOrder
  var order: Order
  var dims: [Int]

  static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]
  /// Bytes before the length of the dictionary: the magic and the version.
  static let preambleLength = 8
  /// Real headers take about a hundred bytes.
  static let maximumLength = 1 << 16

  /// How many bytes the length field takes, from the first eight bytes.
  static func lengthFieldWidth(preamble: [UInt8]) throws(Failure) -> Int {
    guard preamble.count == preambleLength, Array(preamble[..<6]) == magic else {
      throw Failure(.archiveUnreadable, "is not a .npy array")
    }
    switch preamble[6] {
    case 1: return 2
    case 2, 3: return 4
    default: throw Failure(.archiveUnreadable, "has .npy version \(preamble[6]), known are 1 to 3")
    }
  }

  /// Parses the dictionary.
  init(dictionary: [UInt8]) throws(Failure) {
    var parser = LiteralParser(dictionary)
    var descr: String?
    var order: Order?
    var shape: [Int]?
    try parser.expect("{")
    while try !parser.skip("}") {
      let key = try parser.string()
      try parser.expect(":")
      switch key {
      case "descr":
        if parser.next == UInt8(ascii: "[") { throw Failure(.archiveUnreadable, "holds records, not plain numbers") }
        descr = try parser.string()
      case "fortran_order": order = try parser.boolean() ? .columnMajor : .rowMajor
      case "shape": shape = try parser.tuple()
      default: throw Failure(.archiveUnreadable, "has the unknown header key '\(key)'")
      }
      if try !parser.skip(",") {
        try parser.expect("}")
        break
      }
    }
    try parser.expectEnd()
    guard let descr, let order, let shape else {
      throw Failure(.archiveUnreadable, "lacks 'descr', 'fortran_order' or 'shape' in its header")
    }
    guard shape.count <= ReadLimits.standard.rank else { throw Failure(.limitExceeded, "has \(shape.count) dimensions") }
    self.order = order
    dims = shape
    (elementType, byteOrder) = try NPYHeader.type(descr)
  }

  /// `<f4` and the like: byte order, kind, width in bytes.
  private static func type(_ descr: String) throws(Failure) -> (ElementType, ByteOrder) {
    var kind = descr[...]
    var byteOrder = ByteOrder.little
    if let first = kind.first, "<>=|".contains(first) {
      if first == ">" { byteOrder = .big }
      kind = kind.dropFirst()
    }
    if let type = kinds.first(where: { $0.kind == kind })?.type { return (type, byteOrder) }
    let what =
      switch kind.first {
      case "O": "pickled objects"
      case "U", "S", "a": "strings"
      case "V": "raw records"
      case "M", "m": "dates"
      default: "elements of type '\(descr)'"
      }
    throw Failure(.archiveUnreadable, "holds \(what), not plain numbers", advice: "save it with a numeric dtype, such as float32 or int64")
  }

  private static let kinds: [(kind: String, type: ElementType)] = [
    ("f4", .float32), ("f8", .float64), ("f2", .float16), ("b1", .bool), ("?", .bool),
    ("i8", .int64), ("i4", .int32), ("i2", .int16), ("i1", .int8),
    ("u8", .uint64), ("u4", .uint32), ("u2", .uint16), ("u1", .uint8),
    ("c8", .complex64), ("c16", .complex128),
  ]

  /// The bytes before the data of an array that is written: version 1.0, padded so that the data start at a multiple of 64.
  static func bytes(for type: ElementType, dims: [Int]) throws(Failure) -> [UInt8] {
    guard let kind = kinds.first(where: { $0.type == type })?.kind else {
      throw Failure(.notExpressible, "NumPy has no \(type.name)")
    }
    let descr = (type.bitWidth == 8 ? "|" : "<") + kind
    let shape = dims.count == 1 ? "(\(dims[0]),)" : "(" + dims.map(String.init).joined(separator: ", ") + ")"
    var dictionary = Array("{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    let unpadded = preambleLength + 2 + dictionary.count + 1
    dictionary += [UInt8](repeating: UInt8(ascii: " "), count: (64 - unpadded % 64) % 64)
    dictionary.append(UInt8(ascii: "\n"))
    guard let length = UInt16(exactly: dictionary.count) else { throw Failure(.notExpressible, "the shape has too many dimensions") }
    return magic + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)] + dictionary
  }
}

/// The literals that occur in a `.npy` header.
private struct LiteralParser {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var next: UInt8? {
    mutating get {
      skipSpace()
      return position < bytes.count ? bytes[position] : nil
    }
  }

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  private var damaged: Failure { Failure(.archiveUnreadable, "has a damaged header at byte \(position)") }

  mutating func skip(_ character: Unicode.Scalar) throws(Failure) -> Bool {
    guard let byte = next else { throw damaged }
    guard byte == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func expect(_ character: Unicode.Scalar) throws(Failure) {
    guard try skip(character) else { throw damaged }
  }

  mutating func expectEnd() throws(Failure) {
    guard next == nil else { throw damaged }
  }

  mutating func string() throws(Failure) -> String {
    guard let quote = next, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { throw damaged }
    position += 1
    guard let end = bytes[position...].firstIndex(of: quote) else { throw damaged }
    defer { position = end + 1 }
    return String(decoding: bytes[position..<end], as: UTF8.self)
  }

  mutating func boolean() throws(Failure) -> Bool {
    skipSpace()
    for (word, value) in [("True", true), ("False", false)] where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw damaged
  }

  /// `()`, `(3,)`, `(3, 4)`; Python 2 wrote `3L`.
  mutating func tuple() throws(Failure) -> [Int] {
    var result: [Int] = []
    try expect("(")
    while try !skip(")") {
      let start = position
      while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
      guard let value = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else { throw damaged }
      result.append(value)
      if position < bytes.count, bytes[position] == UInt8(ascii: "L") { position += 1 }
      if try !skip(",") {
        try expect(")")
        break
      }
    }
    return result
  }
}
