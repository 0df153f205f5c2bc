internal import Bytes
internal import Diagnostics
internal import Tensors

/// Safetensors: eight bytes with the length of a JSON header, the header, and the tensors' bytes.
///
/// The header tells type, shape and range of each tensor; ranges must lie inside the file and have the size that type and
/// shape demand. Tensors stay where they lie.
enum Safetensors {
  /// The most bytes that a header may have, by the format's own rule.
  static let headerLimit = 100_000_000

  static func accepts(_ source: ByteSource) -> Bool {
    guard let length = headerLength(source), length >= 2, source.count >= 9 else { return false }
    return source.bytes(in: 8..<9) == [UInt8(ascii: "{")]
  }

  private static func headerLength(_ source: ByteSource) -> Int? {
    guard source.count >= 8 else { return nil }
    let length = source.bytes(in: 0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return length <= UInt64(headerLimit) ? Int(length) : nil
  }

  private static let types: [String: ElementType] = [
    "F64": .float64, "F32": .float32, "F16": .float16, "BF16": .bfloat16, "I64": .int64, "I32": .int32, "I16": .int16, "I8": .int8, "U64": .uint64,
    "U32": .uint32, "U16": .uint16, "U8": .uint8, "BOOL": .bool, "F8_E4M3": .float8e4m3fn, "F8_E5M2": .float8e5m2, "C64": .complex64,
  ]

  static func read(_ source: ByteSource, limits: ReadLimits) throws(Failure) -> (tensors: [String: Tensor], metadata: [String: String]) {
    let place = ModelLocation(file: source.name)
    guard let length = headerLength(source), length <= source.count - 8 else { throw Failure(.truncated, "the header is longer than the file", at: place) }
    guard length <= limits.structureBytes else { throw Failure(.limitExceeded, "a header of \(length) bytes", at: place) }
    let start = 8 + length
    guard let entries = try JSON.parse(source.bytes(in: 8..<start)).object else { throw Failure(.malformed, "the header is no JSON object", at: place) }
    var result: [String: Tensor] = [:]
    var ranges: [Range<Int>] = []
    for (name, entry) in entries where name != "__metadata__" {
      let own = ModelLocation(file: source.name, element: name)
      guard let word = entry["dtype"]?.string, let dims = entry["shape"]?.ints, let offsets = entry["data_offsets"]?.ints, offsets.count == 2 else {
        throw Failure(.malformed, "the header's entry is wrong", at: own)
      }
      guard let type = types[word] else { throw Failure(.unknownElementType, "elements of type '\(word)'", at: own) }
      guard dims.count <= limits.rank, let count = dims.checkedProduct, let byteCount = type.byteCount(of: count) else {
        throw Failure(.sizeOverflow, "the dimensions \(dims) overflow", at: own)
      }
      guard offsets[0] >= 0, offsets[0] <= offsets[1], offsets[1] <= source.count - start else {
        throw Failure(.truncated, "the data lie beyond the end of the file", at: own)
      }
      guard offsets[1] - offsets[0] == byteCount else {
        throw Failure(.payloadMismatch, "\(offsets[1] - offsets[0]) bytes for \(type.name)\(dims), which takes \(byteCount)", at: own)
      }
      let range = (start + offsets[0])..<(start + offsets[1])
      if !range.isEmpty { ranges.append(range) }
      result[name] = try Tensor(type, dims: dims, storage: .mapped(source, range))
    }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    for (first, second) in zip(ranges, ranges.dropFirst()) where first.upperBound > second.lowerBound {
      throw Failure(.malformed, "two tensors overlap", at: place)
    }
    return (result, (entries["__metadata__"]?.object ?? [:]).compactMapValues(\.string))
  }

  /// The pieces of a file: tensors in the order of names, each on 8 bytes.
  static func segments(_ tensors: [(name: String, tensor: Tensor)], metadata: [String: String]) throws(Failure) -> [OutputSegment] {
    var header = "{\"__metadata__\":{" + metadata.keys.sorted().map { "\(JSON.quoted($0)):\(JSON.quoted(metadata[$0] ?? ""))" }.joined(separator: ",") + "}"
    var segments: [OutputSegment] = []
    var offset = 0
    for (name, tensor) in tensors.sorted(by: { $0.name < $1.name }) {
      guard let word = types.first(where: { $0.value == tensor.elementType })?.key else {
        throw Failure(.notExpressible, "safetensors has no elements of type \(tensor.elementType.name)", at: .element(name))
      }
      header +=
        ",\(JSON.quoted(name)):{\"dtype\":\"\(word)\",\"shape\":[\(tensor.dims.map(String.init).joined(separator: ","))],\"data_offsets\":[\(offset),\(offset + tensor.byteCount)]}"
      offset += tensor.byteCount
      if case .mapped(let source, let range) = tensor.storage {
        segments.append(.source(source, range))
      } else {
        segments.append(.bytes(tensor.elements(as: UInt8.self)))
      }
    }
    header += "}"
    var bytes = Array(header.utf8)
    while bytes.count % 8 != 0 { bytes.append(0x20) }
    let length = (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> ($0 * 8)) }
    return [.bytes(length + bytes)] + segments
  }
}

extension JSON {
  /// A string with quotes and escapes.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case let control where control.value < 0x20: result += "\\u00" + (control.value < 16 ? "0" : "") + String(control.value, radix: 16)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
