public import Bytes
public import Diagnostics

/// Memory of its own for a tensor, aligned to 64 bytes; filled once by its maker, then only read.
@safe public final class TensorBuffer: Sendable {
  public let byteCount: Int
  nonisolated(unsafe) let base: UnsafeMutableRawPointer
  private let owned: Bool

  /// Allocates and lets `fill` write all bytes; they start undefined.
  public init<E: Error>(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
    self.byteCount = byteCount
    owned = true
    unsafe base = HeapPolicy.allocate(byteCount: byteCount)
    try unsafe fill(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
  }

  /// Looks at memory of somebody else's, which must outlive every tensor made of it and not change meanwhile.
  @unsafe public init(borrowing base: UnsafeMutableRawPointer, byteCount: Int) {
    self.byteCount = byteCount
    owned = false
    unsafe self.base = unsafe base
  }

  deinit { if owned { unsafe base.deallocate() } }
}

/// A concrete array: element type, dimensions, and bytes that lie in a mapped file or in memory.
///
/// Row-major, little-endian; elements below a byte are packed from the low bits up, as in ONNX.
public struct Tensor: Sendable {
  public enum Storage: Sendable {
    case mapped(ByteSource, Range<Int>)
    case memory(TensorBuffer)
    case strings([[UInt8]])
  }

  public let elementType: ElementType
  public let dims: [Int]
  public let storage: Storage

  /// - Throws: `payloadMismatch` when the storage is not as long as type and dimensions demand.
  public init(_ elementType: ElementType, dims: [Int], storage: Storage) throws(Failure) {
    guard let count = dims.checkedProduct, let byteCount = elementType.byteCount(of: count) else {
      throw Failure(.sizeOverflow, "the dimensions \(dims) overflow")
    }
    switch storage {
    case .mapped(let source, let range):
      guard elementType != .string, range.lowerBound >= 0, range.upperBound <= source.count, range.count == byteCount else {
        throw Failure(.payloadMismatch, "\(range.count) bytes for \(elementType.name)\(dims), which takes \(byteCount)")
      }
    case .memory(let buffer):
      guard elementType != .string, buffer.byteCount == byteCount else {
        throw Failure(.payloadMismatch, "\(buffer.byteCount) bytes for \(elementType.name)\(dims), which takes \(byteCount)")
      }
    case .strings(let strings):
      guard elementType == .string, strings.count == count else {
        throw Failure(.payloadMismatch, "\(strings.count) strings for \(elementType.name)\(dims)")
      }
    }
    self.elementType = elementType
    self.dims = dims
    self.storage = storage
  }

  /// The number of elements; dimensions were checked on construction.
  public var count: Int { dims.reduce(1, &*) }
  public var byteCount: Int { elementType.byteCount(of: count) ?? 0 }
  public var type: TensorType { TensorType(elementType, Shape(dims)) }

  /// Lends the bytes; string tensors have none. Mapped bytes may start at any address.
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    switch storage {
    case .mapped(let source, let range): try unsafe source.withUnsafeBytes(in: range, body)
    case .memory(let buffer): try unsafe body(UnsafeRawBufferPointer(start: buffer.base, count: buffer.byteCount))
    case .strings: try unsafe body(UnsafeRawBufferPointer(start: nil, count: 0))
    }
  }

  /// The same bytes under other dimensions of equal product.
  public func reshaped(_ dims: [Int]) throws(Failure) -> Tensor { try Tensor(elementType, dims: dims, storage: storage) }
}

extension Tensor {
  /// A tensor of `values`, whose bytes are taken as they lie in memory.
  public init<T: BitwiseCopyable>(_ elementType: ElementType, dims: [Int], values: [T]) throws(Failure) {
    let buffer = unsafe TensorBuffer(byteCount: values.count * MemoryLayout<T>.stride) { target in
      unsafe values.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
    try self.init(elementType, dims: dims, storage: .memory(buffer))
  }

  public init(float32 values: [Float], dims: [Int]) throws(Failure) { try self.init(.float32, dims: dims, values: values) }
  public init(float64 values: [Double], dims: [Int]) throws(Failure) { try self.init(.float64, dims: dims, values: values) }
  public init(int64 values: [Int64], dims: [Int]) throws(Failure) { try self.init(.int64, dims: dims, values: values) }

  /// Elements as they are stored, `T` having the width of the element type.
  public func elements<T: BitwiseCopyable>(as type: T.Type) -> [T] {
    let n = (elementType == .string ? 0 : byteCount) / MemoryLayout<T>.stride
    return unsafe [T](unsafeUninitializedCapacity: n) { target, used in
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[..<(n * MemoryLayout<T>.stride)])
      if case .mapped(let source, let range) = storage {
        unsafe source.copy(range.lowerBound..<(range.lowerBound + bytes.count), to: bytes)
      } else {
        unsafe withUnsafeBytes { unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<bytes.count])) }
      }
      used = n
    }
  }
}
