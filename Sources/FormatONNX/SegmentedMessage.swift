internal import Bytes

/// A message under construction whose parts are bytes of ours and ranges of mapped files; neighbors are joined, so an
/// untouched stretch of a file stays one range.
struct SegmentedMessage {
  private(set) var segments: [OutputSegment] = []
  private(set) var count = 0

  init() {}

  mutating func append(_ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    count += bytes.count
    if case .bytes(var last)? = segments.last {
      segments.removeLast()
      last.append(contentsOf: bytes)
      segments.append(.bytes(last))
    } else {
      segments.append(.bytes(bytes))
    }
  }

  mutating func append(_ source: ByteSource, _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    count += range.count
    if case .source(let last, let lastRange)? = segments.last, last === source, lastRange.upperBound == range.lowerBound {
      segments[segments.count - 1] = .source(source, lastRange.lowerBound..<range.upperBound)
    } else {
      segments.append(.source(source, range))
    }
  }

  mutating func append(_ encoder: WireEncoder) { append(encoder.bytes) }

  mutating func append(_ other: SegmentedMessage) {
    for segment in other.segments {
      switch segment {
      case .bytes(let bytes): append(bytes)
      case .source(let source, let range): append(source, range)
      }
    }
  }

  /// A length-delimited field with another message as content.
  mutating func field(_ number: Int, _ content: SegmentedMessage) {
    var head = WireEncoder()
    head.tag(number, .lengthDelimited)
    head.varint(UInt64(content.count))
    append(head)
    append(content)
  }

  /// Zeros up to the next multiple of `alignment`.
  mutating func pad(to alignment: Int) {
    let rest = count % alignment
    if rest > 0 { append([UInt8](repeating: 0, count: alignment - rest)) }
  }
}
