import Bytes
import Diagnostics
import Foundation
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

@Suite struct TensorDecodingTests {
  private func decode(_ message: WireEncoder) throws(Failure) -> Tensor {
    var model = HandmadeModel.single("Relu")
    model.initializer(message)
    model.node(HandmadeModel.node("Identity", ["w"], ["z"]))
    let graph = try model.read().graph
    guard let value = graph.values.handles.first(where: { graph[$0].name == "w" }), let tensor = graph.constant(value) else {
      throw Failure(.internalError, "the initializer is gone")
    }
    return tensor
  }

  private func packed(_ numbers: [Int]) -> [UInt8] {
    var encoder = WireEncoder()
    for number in numbers { encoder.varint(UInt64(bitPattern: Int64(number))) }
    return encoder.bytes
  }

  @Test(arguments: ElementType.allCases.filter { $0 != .string }) func rawDataOfEveryType(_ type: ElementType) throws {
    let byteCount = try #require(type.byteCount(of: 6))
    let bytes = (0..<byteCount).map { UInt8($0) }
    let tensor = try decode(HandmadeModel.tensor("w", type, [2, 3]) { $0.field(9, bytes: bytes) })
    #expect(tensor.elementType == type && tensor.dims == [2, 3])
    #expect(tensor.elements(as: UInt8.self) == bytes)
    guard case .mapped = tensor.storage else { throw Failure(.internalError, "raw data was copied") }
    for wrong in [byteCount - 1, byteCount + 1, 0] {
      #expect(
        code { () throws(Failure) in _ = try decode(HandmadeModel.tensor("w", type, [2, 3]) { $0.field(9, bytes: [UInt8](repeating: 0, count: wrong)) }) }
          == .payloadMismatch)
    }
  }

  @Test(
    arguments: [
      (.int32, [-1, 5, 1 << 30]), (.int16, [-300, 7, 0]), (.int8, [-128, 127, 1]), (.uint16, [65535, 1, 2]), (.uint8, [255, 0, 9]), (.bool, [1, 0, 1]),
    ] as [(ElementType, [Int])])
  func int32DataHoldsNarrowIntegers(_ type: ElementType, _ numbers: [Int]) throws {
    #expect(try decode(HandmadeModel.tensor("w", type, [3]) { $0.field(5, bytes: packed(numbers)) }).integers() == numbers)
    let unpacked = HandmadeModel.tensor("w", type, [3]) { t in for number in numbers { t.field(5, integer: Int64(number)) } }
    #expect(try decode(unpacked).integers() == numbers)
  }

  @Test func halfAndBrainFloatsStandInInt32Data() throws {
    let halves: [Float16] = [1, -2.5, 0.333]
    #expect(
      try decode(HandmadeModel.tensor("w", .float16, [3]) { $0.field(5, bytes: packed(halves.map { Int($0.bitPattern) })) }).doubles()
        == halves.map(Double.init))
    let brain = try decode(HandmadeModel.tensor("w", .bfloat16, [2]) { $0.field(5, bytes: packed([0x3F80, 0xC000])) })
    #expect(brain.doubles() == [1, -2])
  }

  @Test func fourBitElementsArePackedTwoToANumber() throws {
    let tensor = try decode(HandmadeModel.tensor("w", .int4, [3]) { $0.field(5, bytes: packed([0x21, 0x03])) })
    #expect(tensor.elements(as: UInt8.self) == [0x21, 0x03])
  }

  @Test func wideIntegers() throws {
    let numbers = [Int.min, -1, 0, Int.max]
    #expect(try decode(HandmadeModel.tensor("w", .int64, [4]) { $0.field(7, bytes: packed(numbers)) }).integers() == numbers)
    #expect(try decode(HandmadeModel.tensor("w", .uint64, [2]) { $0.field(11, bytes: packed([-1, 3])) }).elements(as: UInt64.self) == [.max, 3])
    #expect(try decode(HandmadeModel.tensor("w", .uint32, [2]) { $0.field(11, bytes: packed([4_294_967_295, 3])) }).integers() == [4_294_967_295, 3])
  }

  @Test func packedFloatsStayInTheFileAndPiecesAreJoined() throws {
    let values: [Float] = [1, 2.5, -3]
    let bytes = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) } }
    let whole = try decode(HandmadeModel.tensor("w", .float32, [3]) { $0.field(4, bytes: bytes) })
    #expect(whole.floats() == values)
    guard case .mapped = whole.storage else { throw Failure(.internalError, "packed floats were copied") }
    let pieces = try decode(
      HandmadeModel.tensor("w", .float32, [3]) { t in
        t.field(4, bytes: bytes[..<4])
        t.field(4, float: values[1])
        t.field(4, bytes: bytes[8...])
      })
    #expect(pieces.floats() == values)
    #expect(try decode(HandmadeModel.tensor("w", .complex64, [1]) { $0.field(4, bytes: bytes[..<8]) }).byteCount == 8)
  }

  @Test func strings() throws {
    let tensor = try decode(
      HandmadeModel.tensor("w", .string, [2]) {
        $0.field(6, string: "a"); $0.field(6, bytes: [0xFF, 0x00])
      })
    guard case .strings(let strings) = tensor.storage else { throw Failure(.internalError, "no strings") }
    #expect(strings == [Array("a".utf8), [0xFF, 0x00]])
    #expect(code { () throws(Failure) in _ = try decode(HandmadeModel.tensor("w", .string, [3]) { $0.field(6, string: "a") }) } == .payloadMismatch)
  }

  @Test func emptyTensorsNeedNoPayload() throws {
    #expect(try decode(HandmadeModel.tensor("w", .float32, [0, 4]) { _ in }).count == 0)
    #expect(try decode(HandmadeModel.tensor("w", .int64, [0]) { $0.field(9, bytes: []) }).count == 0)
  }

  @Test func wrongPayloadsAreRefused() {
    let cases: [(WireEncoder, DiagnosticCode)] = [
      (HandmadeModel.tensor("w", .float32, [3]) { _ in }, .payloadMismatch),
      (HandmadeModel.tensor("w", .float32, [1]) { $0.field(7, bytes: packed([1])) }, .payloadMismatch),
      (HandmadeModel.tensor("w", .int64, [2]) { $0.field(7, bytes: packed([1])) }, .payloadMismatch),
      (HandmadeModel.tensor("w", .int64, [1]) { $0.field(7, bytes: packed([1, 2])) }, .payloadMismatch),
      (
        HandmadeModel.tensor("w", .float32, [1]) {
          $0.field(4, float: 1); $0.field(9, bytes: [0, 0, 0, 0])
        }, .payloadMismatch
      ),
      (HandmadeModel.tensor("w", .float32, [-1]) { $0.field(9, bytes: []) }, .malformed),
      (HandmadeModel.tensor("w", .float32, [1 << 40, 1 << 40]) { $0.field(9, bytes: []) }, .sizeOverflow),
      (HandmadeModel.tensor("w", .int64, [1 << 61]) { $0.field(7, bytes: packed([1])) }, .sizeOverflow),
      (HandmadeModel.tensor("w", .int64, [1 << 40]) { $0.field(7, bytes: packed([1])) }, .payloadMismatch),
      (HandmadeModel.tensor("w", .float32, [Int](repeating: 1, count: 65)) { $0.field(9, bytes: [0, 0, 0, 0]) }, .limitExceeded),
    ]
    for (message, expected) in cases { #expect(code { () throws(Failure) in _ = try decode(message) } == expected) }
    let unknown = HandmadeModel.message {
      $0.field(2, integer: 99); $0.field(8, string: "w")
    }
    #expect(code { () throws(Failure) in _ = try decode(unknown) } == .unknownElementType)
  }
}
