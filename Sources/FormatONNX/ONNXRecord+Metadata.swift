internal import Bytes
internal import Diagnostics
internal import GraphIR

extension ONNXRecord {
  /// The `metadata_props` of a NodeProto (field 9: key 1, value 2), read from the file when asked for.
  func metadata(ofRecord record: Int) -> [String: String] {
    guard graph.indices.contains(record), graph[record].field == GraphField.node else { return [:] }
    // The record was read once already; what cannot be read now is left out.
    return
      (try? source.withBytes { (raw) throws(Failure) -> [String: String] in
        let bytes = Span<UInt8>(_bytes: raw)
        var result: [String: String] = [:]
        var node = WireCursor(graph[record].content)
        while let field = try node.next(bytes) {
          guard field.number == 9, field.type == .lengthDelimited else { continue }
          var entry = WireCursor(field.content)
          var parts: [Int: String] = [:]
          while let part = try entry.next(bytes) {
            parts[part.number] = String(decoding: part.content.map { bytes[$0] }, as: UTF8.self)
          }
          if let key = parts[1] { result[key] = parts[2] ?? "" }
        }
        return result
      }) ?? [:]
  }
}
