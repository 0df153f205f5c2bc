internal import Bytes
internal import Diagnostics

/// Where a tensor says its elements lie: the entries of `external_data`.
struct ExternalPlace {
  var location: String
  var offset: Int
  /// nil: as many bytes as the tensor takes.
  var length: Int?

  init(_ entries: [(key: String, value: String)]) throws(Failure) {
    func number(_ key: String) throws(Failure) -> Int? {
      guard let text = entries.last(where: { $0.key == key })?.value else { return nil }
      guard let number = Int(text), number >= 0 else { throw Failure(.externalDataRange, "\(key) '\(text)' of external data") }
      return number
    }
    guard let location = entries.last(where: { $0.key == "location" })?.value else {
      throw Failure(.missingPart, "external data without a location")
    }
    self.location = location
    offset = try number("offset") ?? 0
    length = try number("length")
  }

  /// The bytes in the opened file.
  func range(in file: ByteSource, byteCount: Int) throws(Failure) -> Range<Int> {
    let length = length ?? byteCount
    let (end, overflow) = offset.addingReportingOverflow(length)
    guard !overflow, end <= file.count else {
      throw Failure(.externalDataRange, "\(length) bytes at \(offset) of '\(location)', which has \(file.count)")
    }
    return offset..<end
  }
}

/// The file of external data that goes with an output; ranges that several tensors share are written once.
struct ExternalDataFile {
  let name: String
  private(set) var content = SegmentedMessage()
  private var offsets: [Place: Int] = [:]

  private struct Place: Hashable {
    var source: ObjectIdentifier
    var range: Range<Int>
  }

  init(name: String) { self.name = name }

  mutating func place(_ source: ByteSource, _ range: Range<Int>) -> Int {
    let place = Place(source: ObjectIdentifier(source), range: range)
    if let known = offsets[place] { return known }
    let offset = open()
    content.append(source, range)
    offsets[place] = offset
    return offset
  }

  mutating func place(_ bytes: [UInt8]) -> Int {
    let offset = open()
    content.append(bytes)
    return offset
  }

  /// Starts on a page, so that runtimes can map each tensor.
  private mutating func open() -> Int {
    content.pad(to: 4096)
    return content.count
  }

  /// The entries that lead to a tensor of this file.
  func entries(offset: Int, length: Int) -> [(key: String, value: String)] {
    [("location", name), ("offset", String(offset)), ("length", String(length))]
  }
}

/// Copies messages field by field and leads external tensors in them, however deep, to another file.
struct ExternalRelocation {
  let record: ONNXRecord

  func message(
    _ kind: MessageKind, _ range: Range<Int>, to file: inout ExternalDataFile, leavingOut skipped: Set<Int> = []
  ) throws(Failure) -> SegmentedMessage {
    var result = SegmentedMessage()
    var external: [(key: String, value: String)] = []
    let fields = try fields(in: range)
    let isExternal = kind == .tensor && fields.contains { $0.number == TensorField.dataLocation && $0.varint == 1 }
    for field in fields where !skipped.contains(field.number) {
      if isExternal, field.number == TensorField.externalData {
        external.append(try entry(field.content))
        continue
      }
      switch kind.rule(for: field.number) {
      case .message(let inner)?, .messages(let inner)?:
        result.field(field.number, try message(inner, field.content, to: &file))
      default: result.append(record.source, field.whole)
      }
    }
    if isExternal {
      for entry in try moved(external, to: &file) {
        var encoder = WireEncoder()
        encoder.field(1, string: entry.key)
        encoder.field(2, string: entry.value)
        var field = WireEncoder()
        field.field(TensorField.externalData, message: encoder)
        result.append(field)
      }
    }
    return result
  }

  private func moved(_ entries: [(key: String, value: String)], to target: inout ExternalDataFile) throws(Failure) -> [(key: String, value: String)] {
    let place = try ExternalPlace(entries)
    guard let path = record.path else { throw Failure(.externalPathRefused, "external data of a model that is read from a pipe") }
    let file = if let known = record.externalFiles[place.location] { known } else { try SiblingFile.map(place.location, beside: path) }
    let range = try place.range(in: file, byteCount: max(file.count - place.offset, 0))
    let offset = target.place(file, range)
    return target.entries(offset: offset, length: range.count) + entries.filter { !["location", "offset", "length"].contains($0.key) }
  }

  private func fields(in range: Range<Int>) throws(Failure) -> [WireField] {
    try record.source.withBytes { (bytes) throws(Failure) in
      let view = unsafe bytes._unsafeView(as: UInt8.self)
      var cursor = WireCursor(range)
      var result: [WireField] = []
      while let field = try cursor.next(view) { result.append(field) }
      return result
    }
  }

  private func entry(_ range: Range<Int>) throws(Failure) -> (key: String, value: String) {
    var result = (key: "", value: "")
    for field in try fields(in: range) {
      let text = String(decoding: record.source.bytes(in: field.content), as: UTF8.self)
      if field.number == 1 { result.key = text } else if field.number == 2 { result.value = text }
    }
    return result
  }
}
