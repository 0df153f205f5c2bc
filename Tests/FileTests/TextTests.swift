import Diagnostics
import GraphText
import TestSupport
import Testing

@Suite struct TextTests {
  static let files = FileTest.all("text")

  @Test func thereAreFiles() { #expect(!Self.files.isEmpty) }

  /// Text in the printer's form comes back letter by letter.
  @Test(arguments: files) func printsWhatItParsed(_ file: FileTest) {
    let problems = file.problems {
      let printed = GraphPrinter.print(try GraphParser.parse(file.graphText))
      #expect(printed == file.graphText)
      return []
    }
    #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
  }

  /// Any beginning of a text fails with a code; nothing traps.
  @Test(arguments: files) func cutsAreSurvived(_ file: FileTest) {
    let bytes = Array(file.graphText.utf8)
    for length in stride(from: 0, to: bytes.count - 1, by: bytes.count > 2000 ? 11 : 1) {
      #expect(throws: Failure.self) { _ = try GraphParser.parse(String(decoding: bytes[..<length], as: UTF8.self)) }
    }
  }
}
