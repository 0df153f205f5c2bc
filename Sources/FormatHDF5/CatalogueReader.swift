internal import Bytes
internal import Diagnostics
internal import Tensors

/// Reads the records that the guard wrote (CHDF5/catalogue.c). They come from a process that may have been led astray, so
/// they are checked like a file.
@safe struct CatalogueReader {
  private let catalogue: UnsafeRawBufferPointer
  private var file: HDF5File
  private let range: Range<Int>
  private let unpacked: ByteSource
  private var position = 0
  private var object = ""

  /// - Parameters:
  ///   - range: where the file lies in its source.
  ///   - unpacked: elements that do not lie in the file as they are used.
  init(catalogue: UnsafeRawBufferPointer, file: HDF5File, range: Range<Int>, unpacked: ByteSource) {
    unsafe self.catalogue = catalogue
    self.file = file
    self.range = range
    self.unpacked = unpacked
  }

  /// - Throws: `malformed` where a record is none.
  mutating func read() throws(Failure) -> HDF5File {
    while unsafe position < catalogue.count {
      switch try byte() {
      case UInt8(ascii: "G"):
        object = try text()
        file.add(group: object)
      case UInt8(ascii: "L"): file.add(alias: try text(), of: try text())
      case UInt8(ascii: "D"): try readDataset()
      case UInt8(ascii: "T"): try readStrings()
      case UInt8(ascii: "I"):
        let name = try text()
        let values = try numbers()
        file.add(.integers(values.map { Int(truncatingIfNeeded: $0) }), named: name, to: object)
      case UInt8(ascii: "F"):
        let name = try text()
        let values = try numbers()
        file.add(.numbers(values.map { Double(bitPattern: $0) }), named: name, to: object)
      case UInt8(ascii: "X"): file.add(.other, named: try text(), to: object)
      default: throw broken
      }
    }
    try file.applyTypeNotes()
    return file
  }

  private var broken: Failure { Failure(.malformed, "not a sound HDF5 file: its structure came out garbled", at: .init(file: file.source.name)) }

  /// The place of the next `count` bytes, which it steps over.
  private mutating func step(_ count: Int) throws(Failure) -> Int {
    guard count >= 0, unsafe count <= catalogue.count - position else { throw broken }
    defer { position += count }
    return position
  }
  private mutating func number<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(Failure) -> T {
    let start = try step(MemoryLayout<T>.size)
    return T(littleEndian: unsafe catalogue.loadUnaligned(fromByteOffset: start, as: type))
  }
  private mutating func byte() throws(Failure) -> UInt8 { try number(UInt8.self) }
  private mutating func count() throws(Failure) -> Int { Int(try number(UInt32.self)) }
  private mutating func text() throws(Failure) -> String {
    let length = try count()
    let start = try step(length)
    guard let text = unsafe String(validating: catalogue[start..<(start + length)], as: UTF8.self) else {
      throw Failure(.malformed, "a name or attribute is not UTF-8", at: .init(file: file.source.name, element: object))
    }
    return text
  }
  private mutating func numbers() throws(Failure) -> [UInt64] {
    _ = try byte()
    let count = try count()
    guard unsafe count <= (catalogue.count - position) / 8 else { throw broken }
    var result: [UInt64] = []
    result.reserveCapacity(count)
    for _ in 0..<count { result.append(try number(UInt64.self)) }
    return result
  }

  private mutating func readStrings() throws(Failure) {
    let name = try text()
    let scalar = try byte() != 0
    let count = try count()
    guard unsafe count <= (catalogue.count - position) / 4 else { throw broken }
    var values: [String] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try text()) }
    file.add(.strings(values, scalar: scalar), named: name, to: object)
  }

  private mutating func readDataset() throws(Failure) {
    object = try text()
    let type = try byte()
    let place = try byte()
    let offset = try number(UInt64.self)
    let rank = Int(try byte())
    var dims: [Int] = []
    for _ in 0..<rank {
      guard let dim = Int(exactly: try number(UInt64.self)) else { throw broken }
      dims.append(dim)
    }
    let reason = try text()
    let isOpaque = type == 200
    if isOpaque { file.opaque.insert(object) }
    if place == 3 {
      let code: DiagnosticCode =
        type == 0 ? .typeMismatch : reason.hasPrefix("filter ") ? .unsupportedVersion : reason.contains("packed larger") ? .limitExceeded : .payloadMismatch
      file.add(HDF5File.Dataset(content: .refused(reason, code), dims: dims), at: object)
      return
    }
    guard let element = ElementType(rawValue: isOpaque ? ElementType.uint16.rawValue : type), let count = dims.checkedProduct,
      let byteCount = element.byteCount(of: count), let storage = storage(place, offset, byteCount)
    else { throw broken }
    file.add(HDF5File.Dataset(content: .tensor(try Tensor(element, dims: dims, storage: storage)), dims: dims), at: object)
  }

  /// nil where the bytes do not lie inside.
  private func storage(_ place: UInt8, _ offset: UInt64, _ byteCount: Int) -> Tensor.Storage? {
    guard let offset = Int(exactly: offset) else { return nil }
    switch place {
    case 0:
      guard byteCount <= range.count, offset <= range.count - byteCount else { return nil }
      let start = range.lowerBound + offset
      return .mapped(file.source, start..<(start + byteCount))
    case 1:
      guard byteCount <= unpacked.count, offset <= unpacked.count - byteCount else { return nil }
      return .mapped(unpacked, offset..<(offset + byteCount))
    default: return byteCount == 0 ? .mapped(file.source, range.lowerBound..<range.lowerBound) : nil
    }
  }
}
