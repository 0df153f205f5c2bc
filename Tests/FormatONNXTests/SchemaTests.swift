import Foundation
import TestSupport
import Testing

@testable import FormatONNX

/// The standard's operators, as fixtures/make/schemas.py lists them from the onnx package: each has a rule for reading it
/// or stands, with its reason, in the list of those that are refused.
@Suite struct SchemaTests {
  struct Schema: Sendable {
    let domain: String
    let name: String
    let versions: [Int]
  }

  static let schemas: [Schema] = {
    let text = (try? String(contentsOfFile: Fixtures.path("data/schemas.txt"), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
      let words = line.split(separator: " ").map(String.init)
      let versions = words.dropFirst(2).filter { !$0.hasSuffix("-") }.compactMap { Int($0) }
      return Schema(domain: words[0] == "ai.onnx" ? "" : words[0], name: words[1], versions: versions)
    }
  }()

  private func isRead(_ schema: Schema) -> Bool {
    if schema.domain.isEmpty, schema.name == "Constant" { return true }
    if schema.domain == GradientRule.domain, schema.name == GradientRule.opType { return true }
    return ControlRules.reads(domain: schema.domain, opType: schema.name) || OperatorRules.rule(domain: schema.domain, opType: schema.name) != nil
  }

  @Test func everyOperatorIsReadOrRefusedWithAReason() {
    #expect(SchemaTests.schemas.count > 220)
    #expect(SchemaTests.schemas.reduce(0) { $0 + $1.versions.count } > 640)
    let unknown = SchemaTests.schemas.filter { !isRead($0) && RefusedOperators.reason(domain: $0.domain, opType: $0.name) == nil }
    #expect(unknown.map { "\($0.domain) \($0.name)" } == [])
  }

  /// What is read is not refused as well, and a refusal says something.
  @Test func theListOfTheRefusedHoldsNothingElse() {
    for schema in SchemaTests.schemas { #expect(RefusedOperators.reason(domain: schema.domain, opType: schema.name) == nil, "\(schema.name)") }
    for name in RefusedOperators.names(domain: "com.microsoft") {
      #expect(OperatorRules.rule(domain: "com.microsoft", opType: name) == nil, "\(name)")
      #expect((RefusedOperators.reason(domain: "com.microsoft", opType: name) ?? "").count > 10)
    }
    #expect(RefusedOperators.reason(domain: "com.microsoft.nchwc", opType: "Conv") != nil)
  }
}
