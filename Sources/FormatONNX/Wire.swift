internal import Diagnostics

/// The protobuf wire types that ONNX uses; groups (3, 4) and the unassigned ones are refused.
enum WireType: UInt8 {
  case varint = 0
  case fixed64 = 1
  case lengthDelimited = 2
  case fixed32 = 5
}

/// One field of a message: where it lies, tag included, and where its content lies.
struct WireField {
  var number: Int
  var type: WireType
  var whole: Range<Int>
  var content: Range<Int>
  /// The value of a varint, 0 for the other wire types.
  var varint: UInt64
}

/// Steps through the fields of one message. Offsets are those of the span; nothing outside `position..<end` is read.
struct WireCursor {
  private(set) var position: Int
  let end: Int

  init(_ range: Range<Int>) {
    position = range.lowerBound
    end = range.upperBound
  }

  /// The next field, or nil at the end of the message.
  mutating func next(_ bytes: borrowing Span<UInt8>) throws(Failure) -> WireField? {
    guard position < end else { return nil }
    let start = position
    let tag = try varint(bytes)
    let number = tag >> 3
    guard number > 0, number <= 0x1FFF_FFFF else { throw malformed("a field number \(number)", at: start) }
    guard let type = WireType(rawValue: UInt8(tag & 7)) else { throw malformed("wire type \(tag & 7)", at: start) }
    var content = position..<position
    var value: UInt64 = 0
    switch type {
    case .varint:
      value = try varint(bytes)
      content = content.lowerBound..<position
    case .fixed64: content = try take(8, from: start)
    case .fixed32: content = try take(4, from: start)
    case .lengthDelimited:
      let length = try varint(bytes)
      guard length <= UInt64(end - position) else {
        throw Failure(.truncated, "a field of \(length) bytes reaches past the end of what holds it", at: .init(bytes: start..<end))
      }
      content = try take(Int(length), from: start)
    }
    return WireField(number: Int(number), type: type, whole: start..<position, content: content, varint: value)
  }

  /// A varint of at most ten bytes that fits 64 bits.
  mutating func varint(_ bytes: borrowing Span<UInt8>) throws(Failure) -> UInt64 {
    let start = position
    var result: UInt64 = 0
    var shift: UInt64 = 0
    while position < end {
      let byte = bytes[position]
      position += 1
      guard shift < 63 || byte <= 1 else { throw malformed("a number longer than 64 bits", at: start) }
      result |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return result }
      shift += 7
    }
    throw Failure(.truncated, "a number is cut off", at: .init(bytes: start..<end))
  }

  private mutating func take(_ count: Int, from start: Int) throws(Failure) -> Range<Int> {
    guard count <= end - position else { throw Failure(.truncated, "a field is cut off", at: .init(bytes: start..<end)) }
    let content = position..<position + count
    position += count
    return content
  }

  private func malformed(_ what: String, at start: Int) -> Failure {
    Failure(.malformed, "\(what) is not allowed in the encoding", at: .init(bytes: start..<position))
  }
}

/// Makes messages.
struct WireEncoder {
  private(set) var bytes: [UInt8] = []

  init() {}

  mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func tag(_ number: Int, _ type: WireType) { varint(UInt64(number) << 3 | UInt64(type.rawValue)) }

  mutating func field(_ number: Int, integer: Int64) {
    tag(number, .varint)
    varint(UInt64(bitPattern: integer))
  }

  mutating func field(_ number: Int, float: Float) {
    tag(number, .fixed32)
    for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: float.bitPattern >> shift)) }
  }

  mutating func field(_ number: Int, bytes content: some Collection<UInt8>) {
    tag(number, .lengthDelimited)
    varint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  mutating func field(_ number: Int, string: String) { field(number, bytes: Array(string.utf8)) }
  mutating func field(_ number: Int, message: WireEncoder) { field(number, bytes: message.bytes) }

  /// Bytes that are already encoded.
  mutating func raw(_ content: some Sequence<UInt8>) { bytes.append(contentsOf: content) }

  /// Reserves a length of five bytes (a padded varint) and gives its place, for messages written front to back.
  mutating func openLength() -> Int {
    bytes.append(contentsOf: [0x80, 0x80, 0x80, 0x80, 0x00])
    return bytes.count
  }

  /// Fills in the length of what was written since `openLength`; lengths stay far below 2^35 by the read limits.
  mutating func closeLength(_ start: Int) {
    let length = bytes.count - start
    for index in 0..<5 {
      bytes[start - 5 + index] = UInt8(truncatingIfNeeded: length >> (7 * index)) & 0x7F | (index < 4 ? 0x80 : 0)
    }
  }
}
