import Foundation
import TestSupport
import Testing

@Suite struct ArrowTests {
  private static let systemModules: Set<String> = ["Glibc", "FoundationEssentials", "Synchronization"]

  @Test func theTableListsEveryTarget() throws {
    let table = try ArrowTable()
    let folders = try FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.root)/Sources").sorted()
    let swiftTargets = folders.filter { folder in
      (try? FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.root)/Sources/\(folder)"))?.contains { $0.hasSuffix(".swift") } ?? false
    }
    #expect(table.rows.map(\.target).sorted() == swiftTargets)
    #expect(table.rows.count > 15)
  }

  @Test func thePackageDeclaresTheSameArrowsInTheSameOrder() throws {
    let table = try ArrowTable()
    let package = try String(contentsOfFile: "\(Fixtures.root)/Package.swift", encoding: .utf8)
    let declared = package.matches(of: /library\("(\w+)", \[([^\]]*)\]/).map { match in
      (name: String(match.1), dependencies: match.2.matches(of: /"(\w+)"/).map { String($0.1) })
    }
    let rows = table.rows.filter { $0.target != "vitconv" }
    #expect(declared.map(\.name) == rows.map(\.target))
    for (package, row) in zip(declared, rows) {
      #expect(Set(package.dependencies) == Set(row.mayImport), "\(row.target)")
    }
    for row in rows {
      for name in row.mayImport where table[name] != nil {
        let position = rows.firstIndex { $0.target == name }
        #expect(position ?? .max < rows.firstIndex { $0.target == row.target } ?? 0, "\(row.target) imports \(name), which comes later")
      }
    }
  }

  @Test func everyImportFollowsAnArrow() throws {
    let table = try ArrowTable()
    var seen = 0
    for file in try swiftFiles(in: "Sources") {
      let target = file.path.split(separator: "/")[1]
      let allowed = table.closure(of: String(target)).union(Self.systemModules)
      for match in file.text.matches(of: /(?m)^(?:@\w+ )*(?:public |internal |package |fileprivate |private )?import (?:\w+ )?(\w+)/) {
        let module = String(match.1)
        seen += 1
        if target == "TestSupport", module == "Foundation" { continue }
        #expect(allowed.contains(module), "\(file.path) imports \(module)")
      }
    }
    #expect(seen > 50)
  }

  @Test func pointersStayWhereTheTableSaysSo() throws {
    let table = try ArrowTable()
    for file in try swiftFiles(in: "Sources") {
      let target = String(file.path.split(separator: "/")[1])
      if table[target]?.mayBeUnsafe ?? false { continue }
      let code = file.text.split(separator: "\n").filter { !$0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }
      #expect(!code.contains { $0.contains(/\bunsafe\b|Unsafe\w*Pointer|@unsafe/) }, "\(file.path)")
    }
  }

  /// A terminal or a file is the business of the program, not of the library.
  @Test func librariesDoNotPrint() throws {
    for file in try swiftFiles(in: "Sources") where !file.path.hasPrefix("Sources/vitconv/") {
      #expect(!file.text.contains(/(?m)^\s*(print|debugPrint|fatalError|exit)\(/), "\(file.path)")
    }
  }
}
