internal import Bytes
internal import Diagnostics

/// A field of the model or of its graph and where it lies in the file.
struct RecordRange {
  var field: Int
  /// With tag and length.
  var whole: Range<Int>
  var content: Range<Int>
}

/// What one bounded pass over the file finds: its structure without tensor elements, and where everything lies.
struct Skim {
  /// A ModelProto of `schemas/onnx.proto`, for libprotobuf-c: tensor elements are replaced by references.
  var structure: [UInt8]
  /// The fields of the ModelProto in order.
  var model: [RecordRange]
  /// The fields of its graph in order.
  var graph: [RecordRange]
  /// Whether a tensor says that its elements lie in another file.
  var hasExternalData: Bool

  /// - Throws: `unknownFormat` when the bytes are no ONNX at all, else `malformed`, `truncated` or `limitExceeded`.
  init(_ source: ByteSource, limits: ReadLimits) throws(Failure) {
    var pass = SkimPass(limits: limits) { source.forgetPages(of: $0) }
    do throws(Failure) {
      try source.withBytes { (bytes) throws(Failure) in
        let view = unsafe bytes._unsafeView(as: UInt8.self)
        try pass.message(.model, in: 0..<source.count, of: view, depth: 0)
      }
    } catch {
      // A file whose very first fields do not parse, or are none of a model's, is something else.
      if pass.recognizedFields == 0, error.code != .limitExceeded { throw Skim.unknown(source) }
      throw error
    }
    if pass.recognizedFields == 0 { throw Skim.unknown(source) }
    structure = pass.output.bytes
    model = pass.model
    graph = pass.graph
    hasExternalData = pass.hasExternalData
  }

  /// The structure of a message that is no model, tensor elements replaced by references.
  static func structure(of kind: MessageKind, in source: ByteSource, limits: ReadLimits) throws(Failure) -> [UInt8] {
    var pass = SkimPass(limits: limits) { _ in }
    try source.withBytes { (bytes) throws(Failure) in
      let view = unsafe bytes._unsafeView(as: UInt8.self)
      try pass.message(kind, in: 0..<source.count, of: view, depth: 0)
    }
    return pass.output.bytes
  }

  private static func unknown(_ source: ByteSource) -> Failure {
    Failure(.unknownFormat, source.count == 0 ? "the file is empty" : "the content is not an ONNX model", at: .init(file: source.name))
  }
}

/// The state of the pass. Recursion goes as deep as `limits.depth` and no further.
private struct SkimPass {
  let limits: ReadLimits
  var output = WireEncoder()
  var model: [RecordRange] = []
  var graph: [RecordRange] = []
  var recognizedFields = 0
  var hasExternalData = false
  private var elements = 0
  /// Called with ranges that the pass has left behind.
  private let forget: (Range<Int>) -> Void
  private var forgotten = 0

  init(limits: ReadLimits, forget: @escaping (Range<Int>) -> Void) {
    self.limits = limits
    self.forget = forget
  }

  /// Payloads from here on are worth a call to the system.
  private static let largePayload = 64 << 10

  /// The pass goes forward only: what lies before a large payload's end will not be looked at again.
  private mutating func leave(_ payload: Range<Int>) {
    guard payload.count >= SkimPass.largePayload else { return }
    forget(forgotten..<payload.upperBound)
    forgotten = payload.upperBound
  }

  /// Charges one message, string or record, each of which costs memory out of proportion to its bytes.
  private mutating func charge(at position: Int) throws(Failure) {
    elements += 1
    guard elements <= limits.messages else {
      throw Failure(.limitExceeded, "more than \(limits.messages) messages", at: .init(bytes: position..<position))
    }
    guard output.bytes.count <= limits.structureBytes else {
      throw Failure(.limitExceeded, "more than \(limits.structureBytes) bytes of structure", at: .init(bytes: position..<position))
    }
  }

  mutating func message(_ kind: MessageKind, in range: Range<Int>, of bytes: borrowing Span<UInt8>, depth: Int) throws(Failure) {
    guard depth <= limits.depth else {
      throw Failure(.limitExceeded, "messages nest more than \(limits.depth) deep", at: .init(bytes: range))
    }
    var cursor = WireCursor(range)
    var given: UInt64 = 0
    var payload: (field: Int, range: Range<Int>)?
    while let field = try cursor.next(bytes) {
      if depth <= 1 { try record(field, kind: kind, depth: depth) }
      let rule = kind.rule(for: field.number)
      if let run = payload {
        if case .payload? = rule, field.number == run.field, !isPackedPayload(field) {
          payload = (run.field, run.range.lowerBound..<field.whole.upperBound)
          continue
        }
        reference(run.field, packed: false, run.range)
        payload = nil
      }
      guard let rule else { continue }
      if case .payload = rule {
        if isPackedPayload(field) {
          if !field.content.isEmpty || field.number == 9 { reference(field.number, packed: true, field.content) }
          leave(field.content)
        } else {
          payload = (field.number, field.whole)
        }
        try charge(at: field.whole.lowerBound)
        continue
      }
      try copy(field, rule, of: bytes, depth: depth, given: &given)
      if kind == .tensor, field.number == TensorField.dataLocation, field.varint == 1 { hasExternalData = true }
      if kind == .model { recognizedFields += 1 }
    }
    if let run = payload { reference(run.field, packed: false, run.range) }
  }

  private mutating func copy(
    _ field: WireField, _ rule: MessageKind.Rule, of bytes: borrowing Span<UInt8>, depth: Int, given: inout UInt64
  ) throws(Failure) {
    switch rule {
    case .varint:
      try expect(field, .varint)
      output.tag(field.number, .varint)
      output.varint(field.varint)
    case .fixed32:
      try expect(field, .fixed32)
      append(field.whole, of: bytes)
    case .packedVarint, .packedFixed32:
      if field.type == .lengthDelimited {
        try checkPacked(field, rule, of: bytes)
      } else if case .packedVarint = rule {
        try expect(field, .varint)
      } else {
        try expect(field, .fixed32)
      }
      append(field.whole, of: bytes)
      try charge(at: field.whole.lowerBound)
    case .string:
      try expect(field, .lengthDelimited)
      try checkText(field.content, of: bytes)
      append(field.whole, of: bytes)
      try charge(at: field.whole.lowerBound)
    case .bytes:
      try expect(field, .lengthDelimited)
      append(field.whole, of: bytes)
      try charge(at: field.whole.lowerBound)
    case .message(let kind):
      guard given & (1 << UInt64(field.number)) == 0 else {
        throw Failure(.malformed, "a part that stands once is given twice (field \(field.number))", at: .init(bytes: field.whole))
      }
      given |= 1 << UInt64(field.number)
      try nested(field, kind, of: bytes, depth: depth)
    case .messages(let kind):
      try nested(field, kind, of: bytes, depth: depth)
    case .payload: break
    }
  }

  private mutating func nested(_ field: WireField, _ kind: MessageKind, of bytes: borrowing Span<UInt8>, depth: Int) throws(Failure) {
    try expect(field, .lengthDelimited)
    try charge(at: field.whole.lowerBound)
    output.tag(field.number, .lengthDelimited)
    let start = output.openLength()
    try message(kind, in: field.content, of: bytes, depth: depth + 1)
    output.closeLength(start)
  }

  /// Notes the fields of the model and of the model's own graph, known or not.
  private mutating func record(_ field: WireField, kind: MessageKind, depth: Int) throws(Failure) {
    let range = RecordRange(field: field.number, whole: field.whole, content: field.content)
    switch kind {
    case .model: model.append(range)
    case .graph: graph.append(range)
    default: return
    }
    try charge(at: field.whole.lowerBound)
  }

  /// Whether all elements lie in one piece: raw data and packed lists do, strings and unpacked lists do not.
  private func isPackedPayload(_ field: WireField) -> Bool { field.type == .lengthDelimited && field.number != 6 }

  private mutating func reference(_ field: Int, packed: Bool, _ range: Range<Int>) {
    var message = WireEncoder()
    message.field(1, integer: Int64(field))
    message.field(2, integer: packed ? 1 : 0)
    message.field(3, integer: Int64(range.lowerBound))
    message.field(4, integer: Int64(range.count))
    output.field(Skim.payloadField, message: message)
  }

  private mutating func append(_ range: Range<Int>, of bytes: borrowing Span<UInt8>) {
    unsafe bytes.extracting(range).withUnsafeBufferPointer { unsafe output.raw($0) }
  }

  private func expect(_ field: WireField, _ type: WireType) throws(Failure) {
    guard field.type == type else {
      throw Failure(.malformed, "field \(field.number) has wire type \(field.type.rawValue), not \(type.rawValue)", at: .init(bytes: field.whole))
    }
  }

  private func checkPacked(_ field: WireField, _ rule: MessageKind.Rule, of bytes: borrowing Span<UInt8>) throws(Failure) {
    guard case .packedVarint = rule else {
      guard field.content.count % 4 == 0 else { throw Failure(.malformed, "a list of floats is cut off", at: .init(bytes: field.whole)) }
      return
    }
    var cursor = WireCursor(field.content)
    while cursor.position < cursor.end { _ = try cursor.varint(bytes) }
  }

  /// Names travel as C strings, so they must be text without NUL.
  private func checkText(_ range: Range<Int>, of bytes: borrowing Span<UInt8>) throws(Failure) {
    var ascii = true
    for index in range {
      let byte = bytes[index]
      if byte == 0 { throw Failure(.malformed, "a name holds a NUL byte", at: .init(bytes: range)) }
      if byte >= 0x80 { ascii = false }
    }
    if ascii { return }
    do {
      _ = try UTF8Span(validating: bytes.extracting(range))
    } catch {
      throw Failure(.malformed, "a name is not UTF-8", at: .init(bytes: range))
    }
  }
}

extension Skim {
  /// The private field of TensorProto in `schemas/onnx.proto`.
  static let payloadField = 50000
}
