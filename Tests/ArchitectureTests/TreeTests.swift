import Foundation
import TestSupport
import Testing

/// What holds for every committed file.
@Suite(.enabled(if: FileManager.default.fileExists(atPath: "\(Fixtures.root)/.git"))) struct TreeTests {
  @Test func noFileIsLarge() throws {
    let files = try trackedFiles()
    #expect(files.count > 50)
    for file in files {
      let size = try FileManager.default.attributesOfItem(atPath: "\(Fixtures.root)/\(file)")[.size] as? Int
      #expect(size ?? 0 <= 2_000_000, "\(file)")
    }
  }

  @Test func textIsFreeOfMachinePathsAndUnfinishedWork() throws {
    // Spelled in parts, so that this file does not find itself.
    let folders = ["work", "tmp", "root", "farm", "home", "Users"].map { "/" + $0 + "/" }
    let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X "]
    for file in try trackedFiles() {
      guard let data = FileManager.default.contents(atPath: "\(Fixtures.root)/\(file)"), !data.contains(0), file != "LICENSE",
        let text = String(data: data, encoding: .utf8)
      else { continue }
      for word in folders + marks {
        guard let range = text.range(of: word) else { continue }
        // A folder's name inside a longer relative path or a web address is no machine path.
        let before = range.lowerBound == text.startIndex ? " " : text[text.index(before: range.lowerBound)]
        if word.hasPrefix("/"), before.isLetter || before.isNumber || "._-*}".contains(before) { continue }
        Issue.record("\(file) holds '\(word)'")
      }
    }
  }

  @Test func everyTestTargetHasTests() throws {
    let targets = try FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.root)/Tests").filter { $0.hasSuffix("Tests") }
    for target in targets {
      #expect(try swiftFiles(in: "Tests/\(target)").contains { $0.text.contains("@Test") }, "\(target)")
    }
  }
}
