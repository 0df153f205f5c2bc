import Diagnostics
import Testing

@testable import FormatONNX

@Suite struct WireTests {
  private func fields(_ bytes: [UInt8]) throws(Failure) -> [WireField] {
    var cursor = WireCursor(0..<bytes.count)
    var result: [WireField] = []
    while let field = try cursor.next(bytes.span) { result.append(field) }
    return result
  }

  @Test(arguments: [0, 1, 127, 128, 300, UInt64(Int64.max), .max] as [UInt64])
  func varintsGoBothWays(_ value: UInt64) throws {
    var encoder = WireEncoder()
    encoder.tag(5, .varint)
    encoder.varint(value)
    let field = try #require(try fields(encoder.bytes).first)
    #expect(field.number == 5 && field.varint == value && field.whole == 0..<encoder.bytes.count)
  }

  @Test func contentAndWholeAreRangesOfTheFile() throws {
    var encoder = WireEncoder()
    encoder.field(1, string: "abc")
    encoder.field(2, float: 1.5)
    let all = try fields(encoder.bytes)
    #expect(all.map(\.number) == [1, 2])
    #expect(all[0].content == 2..<5 && all[0].whole == 0..<5)
    #expect(all[1].content == 6..<10 && all[1].type == .fixed32)
  }

  @Test func paddedLengthsAreRead() throws {
    var encoder = WireEncoder()
    encoder.tag(7, .lengthDelimited)
    let start = encoder.openLength()
    encoder.raw([1, 2, 3])
    encoder.closeLength(start)
    #expect(try fields(encoder.bytes).first?.content == 6..<9)
  }

  @Test(
    arguments: [
      ([0x08], DiagnosticCode.truncated),  // a tag and no value
      ([0x0A, 0x05, 0x00], .truncated),  // a length past the end
      ([0x0D, 0x00, 0x00], .truncated),  // half a 32-bit number
      ([0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01], .truncated),  // a length of 2^64 - 1
      ([0x08] + [UInt8](repeating: 0x80, count: 10) + [0x00], .malformed),  // eleven bytes
      ([0x08] + [UInt8](repeating: 0xFF, count: 9) + [0x02], .malformed),  // 65 bits
      ([0x00, 0x00], .malformed),  // field number 0
      ([0x0B], .malformed), ([0x0C], .malformed), ([0x0E], .malformed), ([0x0F], .malformed),  // wire types 3, 4, 6, 7
    ] as [([UInt8], DiagnosticCode)])
  func brokenEncodingsAreRefused(_ bytes: [UInt8], _ expected: DiagnosticCode) {
    #expect(code { () throws(Failure) in _ = try fields(bytes) } == expected)
  }
}
