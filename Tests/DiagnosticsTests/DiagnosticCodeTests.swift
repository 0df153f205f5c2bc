import Diagnostics
import Foundation
import Testing

@Suite struct DiagnosticCodeTests {
  @Test func codesAreUniqueAndSorted() {
    let numbers = DiagnosticCode.all.map(\.number)
    #expect(numbers == Set(numbers).sorted())
    #expect(numbers.allSatisfy { (1000...9999).contains($0) } && numbers.count > 30)
  }

  @Test func theListHoldsEveryDeclaration() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let source = try String(contentsOf: root.appending(path: "Sources/Diagnostics/DiagnosticCode+Catalogue.swift"), encoding: .utf8)
    let declared = source.matches(of: /static let \w+ = DiagnosticCode\(\s*(\d+)/).compactMap { Int($0.1) }
    #expect(declared == DiagnosticCode.all.map(\.number))
  }

  @Test(arguments: DiagnosticCode.all) func everyCodeTellsWhatToDo(_ code: DiagnosticCode) {
    #expect(code.title.count > 3 && code.help.count > 10 && code.help.hasSuffix("."))
    #expect(code.title.first?.isLowercase ?? false, "titles are parts of sentences")
    #expect(code.id == "VC\(code.number)")
  }

  @Test(arguments: [
    (DiagnosticCode.fileUnreadable, Int32(3)), (.malformed, 3), (.cyclicGraph, 3), (.nonFiniteWeight, 3), (.calibrationData, 3), (.budgetBroken, 1),
    (.numericalFailure, 1), (.modelsDiffer, 1), (.badRunInput, 3), (.usage, 2), (.rewriteUnknown, 2), (.internalError, 4),
  ])
  func exitCodes(_ code: DiagnosticCode, _ exit: Int32) { #expect(code.exitCode == exit) }
}

@Suite struct DiagnosticTests {
  @Test func failuresNameTheirPlace() {
    let failure = Failure(.truncated, "the tensor ends early", at: .init(bytes: 12..<20, element: "w"))
    #expect(failure.description == "the tensor ends early ('w' at byte 12, VC1002)")
    #expect(Failure(.usage, "no such option").description == "no such option (VC7001)")
    let located = failure.located(file: "a.onnx", element: "other")
    #expect(located.at.file == "a.onnx" && located.at.element == "w", "what is known stays")
  }

  @Test func theSinkKeepsOrderAndTheWorst() {
    var sink = DiagnosticSink()
    #expect(sink.worst == nil)
    sink.report(.nearMiss, "a")
    sink.report(.nonFiniteWeight, "b", at: .element("w"))
    #expect(sink.diagnostics.map(\.message) == ["a", "b"] && sink.worst == .warning)
    #expect(Severity.note < .warning && Severity.warning < .error)
  }
}
