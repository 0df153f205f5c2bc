import Foundation
import TestSupport

/// The table "Targets and arrows" of ARCHITECTURE.md.
struct ArrowTable {
  struct Row {
    var target: String
    var mayImport: [String]
    var mayBeUnsafe: Bool
  }

  let rows: [Row]

  init() throws {
    let text = try String(contentsOfFile: "\(Fixtures.root)/ARCHITECTURE.md", encoding: .utf8)
    rows = text.split(separator: "\n").compactMap { line in
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
      guard cells.count == 6, cells[1].hasPrefix("`") else { return nil }
      func names(_ cell: String) -> [String] { cell.matches(of: /`([A-Za-z0-9]+)`/).map { String($0.1) } }
      return Row(target: names(cells[1])[0], mayImport: names(cells[3]), mayBeUnsafe: cells[4] == "unsafe")
    }
  }

  subscript(target: String) -> Row? { rows.first { $0.target == target } }

  /// What a target may import: its row's names and, C targets aside, those of the rows it names.
  func closure(of target: String) -> Set<String> {
    guard let row = self[target] else { return [] }
    var result = Set(row.mayImport)
    for name in row.mayImport {
      result.formUnion(closure(of: name).filter { self[$0] != nil })
    }
    return result
  }
}

/// The Swift files of a folder of the repository.
func swiftFiles(in folder: String) throws -> [(path: String, text: String)] {
  let root = "\(Fixtures.root)/\(folder)"
  return try FileManager.default.subpathsOfDirectory(atPath: root).filter { $0.hasSuffix(".swift") }.sorted().map {
    ("\(folder)/\($0)", try String(contentsOfFile: "\(root)/\($0)", encoding: .utf8))
  }
}

/// Paths that git tracks.
func trackedFiles() throws -> [String] {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["git", "-C", Fixtures.root, "ls-files", "-z"]
  let output = Pipe()
  process.standardOutput = output
  try process.run()
  let data = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
}
