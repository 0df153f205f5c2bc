import Bytes
import Diagnostics
import Tensors
import Testing

@Suite struct TensorTests {
  @Test func storageMustFit() {
    #expect(throws: Failure.self) { try Tensor(float32: [1, 2, 3], dims: [2]) }
    #expect(throws: Failure.self) { try Tensor(float32: [], dims: [-1]) }
    #expect(throws: Failure.self) { try Tensor(.float32, dims: [.max, 2], values: [Float]()) }
    #expect(throws: Failure.self) { try Tensor(.float32, dims: [1 << 62], values: [Float]()) }
    #expect(throws: Failure.self) { try Tensor(.string, dims: [2], storage: .strings([[1]])) }
    #expect(throws: Failure.self) { try Tensor(float32: [1, 2], dims: [2]).reshaped([3]) }
  }

  @Test func codesTellWhatIsWrong() {
    #expect { try Tensor(float32: [1], dims: [2]) } throws: { ($0 as? Failure)?.code == .payloadMismatch }
    #expect { try Tensor(float32: [1], dims: [.max, .max]) } throws: { ($0 as? Failure)?.code == .sizeOverflow }
  }

  @Test(arguments: ElementType.allCases) func bytesOfEachType(_ type: ElementType) {
    guard type != .string else { return }
    #expect(type.byteCount(of: 8) == type.bitWidth)
    #expect(type.byteCount(of: 0) == 0)
    #expect(type.byteCount(of: 1) == (type.bitWidth + 7) / 8)
    #expect(type.byteCount(of: -1) == nil)
    #expect(ElementType(name: type.name) == type)
    #expect(ElementType(rawValue: type.rawValue) == type)
  }

  @Test func numbersOfAnyType() throws {
    #expect(try Tensor(.float16, dims: [2], values: [Float16(1.5), -2]).doubles() == [1.5, -2])
    #expect(try Tensor(.bfloat16, dims: [1], values: [UInt16(0x3FC0)]).doubles() == [1.5])
    #expect(try Tensor(.int8, dims: [2], values: [Int8(-1), 7]).integers() == [-1, 7])
    #expect(try Tensor(.bool, dims: [2], values: [UInt8(1), 0]).doubles() == [1, 0])
    #expect(try Tensor(.uint32, dims: [1], values: [UInt32.max]).integers() == [4_294_967_295])
    #expect(try Tensor(float32: [2], dims: []).scalar == 2)
    #expect(try Tensor(float32: [2, 3], dims: [2]).scalar == nil)
    #expect(try Tensor(float32: [2], dims: [1]).integers() == nil)
    #expect(try Tensor(.int4, dims: [2], values: [UInt8(0xF1)]).doubles() == [1, -1])
    #expect(try Tensor(.complex64, dims: [1], values: [SIMD2<Float>(1, 2)]).doubles() == nil)
  }

  @Test func reshapingSharesTheBytes() throws {
    let tensor = try Tensor(float32: [1, 2, 3, 4, 5, 6], dims: [2, 3])
    #expect(try tensor.reshaped([3, 2]).floats() == [1, 2, 3, 4, 5, 6])
    #expect(tensor.type.description == "float32[2, 3]")
  }

  @Test func shapes() {
    let shape = Shape([Dim(symbol: "batch"), 3, 4])
    #expect(shape.concrete == nil)
    #expect(shape.elementCount?.description == "12*batch")
    #expect(shape.substituting(["batch": 2])?.concrete == [2, 3, 4])
    #expect(Shape([Int.max, 2]).elementCount == nil)
    #expect([2, 0, 3].checkedProduct == 0)
    #expect([2, -1].checkedProduct == nil)
    #expect(TensorType(.int64, nil).description == "int64[*]")
  }
}
