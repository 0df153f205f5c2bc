internal import Bytes
internal import Diagnostics
internal import Tensors

/// Turns tensor messages into tensors: raw data, packed floats and external data stay where they lie; numbers that are
/// encoded one by one are decoded into memory that the payload's own size bounds.
final class TensorDecoder {
  let source: ByteSource
  /// The model's path; nil when it came through a pipe, which has no folder beside it.
  let path: String?
  let limits: ReadLimits
  /// Files opened for external data, by location.
  private(set) var externalFiles: [String: ByteSource] = [:]

  init(source: ByteSource, path: String?, limits: ReadLimits) {
    self.source = source
    self.path = path
    self.limits = limits
  }

  func tensor(_ message: TensorMessage, name: String? = nil) throws(Failure) -> Tensor {
    do throws(Failure) {
      return try decode(message)
    } catch {
      throw error.located(file: path, element: name ?? message.name)
    }
  }

  private func decode(_ message: TensorMessage) throws(Failure) -> Tensor {
    guard let raw = UInt8(exactly: message.dataType), let type = ElementType(rawValue: raw) else {
      throw Failure(.unknownElementType, "element type \(message.dataType)")
    }
    guard message.dims.count <= limits.rank else { throw Failure(.limitExceeded, "a tensor of rank \(message.dims.count)") }
    var dims: [Int] = []
    for dim in message.dims {
      guard dim >= 0, let dim = Int(exactly: dim) else { throw Failure(.malformed, "a dimension of \(dim)") }
      dims.append(dim)
    }
    guard let count = dims.checkedProduct, let byteCount = type.byteCount(of: count) else {
      throw Failure(.sizeOverflow, "the dimensions \(dims) overflow")
    }
    if message.isExternal { return try Tensor(type, dims: dims, storage: externalStorage(message, type: type, byteCount: byteCount)) }

    let field = message.payload.first?.field
    guard message.payload.allSatisfy({ $0.field == field }) else { throw Failure(.payloadMismatch, "elements are given in two ways") }
    guard let field else {
      let empty: Tensor.Storage = type == .string ? .strings([]) : .memory(unsafe TensorBuffer(byteCount: 0) { _ in })
      return try Tensor(type, dims: dims, storage: empty)
    }
    guard let payload = Payload(rawValue: field), payload.holds(type) else {
      throw Failure(.payloadMismatch, "\(type.name) elements do not stand in field \(field)")
    }
    if payload == .string { return try Tensor(type, dims: dims, storage: .strings(strings(message.payload, count: count))) }
    if payload.isPlainBytes, let only = message.payload.first, message.payload.count == 1, only.packed {
      return try Tensor(type, dims: dims, storage: .mapped(source, only.range))
    }
    return try Tensor(type, dims: dims, storage: .memory(decoded(message.payload, payload, type: type, byteCount: byteCount)))
  }

  // MARK: External data

  private func externalStorage(_ message: TensorMessage, type: ElementType, byteCount: Int) throws(Failure) -> Tensor.Storage {
    let place = try ExternalPlace(message.external)
    guard let path else {
      throw Failure(.externalPathRefused, "external data of a model that is read from a pipe", advice: "give the model's path")
    }
    guard type != .string else { throw Failure(.payloadMismatch, "strings cannot be external data") }
    let file: ByteSource
    if let known = externalFiles[place.location] {
      file = known
    } else {
      file = try SiblingFile.map(place.location, beside: path)
      externalFiles[place.location] = file
    }
    return .mapped(file, try place.range(in: file, byteCount: byteCount))
  }

  // MARK: Typed lists

  /// The fields of TensorProto that hold elements.
  private enum Payload: UInt32 {
    case float = 4, int32 = 5, string = 6, int64 = 7, raw = 9, double = 10, uint64 = 11

    /// Which element types the standard puts there.
    func holds(_ type: ElementType) -> Bool {
      switch self {
      case .raw: type != .string
      case .string: type == .string
      case .float: type == .float32 || type == .complex64
      case .double: type == .float64 || type == .complex128
      case .int64: type == .int64
      case .uint64: type == .uint64 || type == .uint32
      case .int32: type == .int32 || type.bitWidth <= 16 && type != .string
      }
    }
    /// Whether the bytes in the file are the elements.
    var isPlainBytes: Bool { self == .raw || self == .float || self == .double }
  }

  private func strings(_ references: [PayloadReference], count: Int) throws(Failure) -> [[UInt8]] {
    var result: [[UInt8]] = []
    for reference in references {
      try source.withBytes(in: reference.range) { (bytes) throws(Failure) in
        let view = unsafe bytes._unsafeView(as: UInt8.self)
        var cursor = WireCursor(0..<view.count)
        while let field = try cursor.next(view) {
          guard field.type == .lengthDelimited else { throw Failure(.malformed, "a string has wire type \(field.type.rawValue)") }
          result.append(field.content.map { view[$0] })
        }
      }
    }
    guard result.count == count else { throw Failure(.payloadMismatch, "\(result.count) strings where the shape demands \(count)") }
    return result
  }

  /// Numbers given as varints, or in several pieces.
  private func decoded(_ references: [PayloadReference], _ payload: Payload, type: ElementType, byteCount: Int) throws(Failure) -> TensorBuffer {
    // Each number takes at least one byte in the file, so this bounds the allocation by the file's size.
    let available = references.reduce(0) { $0 + $1.range.count }
    let width = payload.isPlainBytes ? 1 : Swift.max(type.bitWidth / 8, 1)
    guard byteCount / width <= available else {
      throw Failure(.payloadMismatch, "\(available) bytes of elements for \(byteCount / width) numbers")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    for reference in references {
      try source.withBytes(in: reference.range) { (span) throws(Failure) in
        let view = unsafe span._unsafeView(as: UInt8.self)
        var cursor = WireCursor(0..<view.count)
        if reference.packed, payload.isPlainBytes {
          for index in 0..<view.count { bytes.append(view[index]) }
        } else if reference.packed {
          while cursor.position < cursor.end { append(try cursor.varint(view), width: width, to: &bytes) }
        } else {
          while let field = try cursor.next(view) {
            switch (field.type, payload) {
            case (.varint, .int32), (.varint, .int64), (.varint, .uint64): append(field.varint, width: width, to: &bytes)
            case (.fixed32, .float), (.fixed64, .double): for index in field.content { bytes.append(view[index]) }
            default: throw Failure(.malformed, "an element has wire type \(field.type.rawValue)")
            }
          }
        }
      }
      guard bytes.count <= byteCount else { break }
    }
    guard bytes.count == byteCount else {
      throw Failure(.payloadMismatch, "\(bytes.count) bytes of elements where the shape demands \(byteCount)")
    }
    return unsafe TensorBuffer(byteCount: byteCount) { target in
      unsafe bytes.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }

  /// The low bytes of a number: typed lists carry narrower elements as 32-bit ones.
  private func append(_ number: UInt64, width: Int, to bytes: inout [UInt8]) {
    for index in 0..<width { bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(8 * index))) }
  }
}
