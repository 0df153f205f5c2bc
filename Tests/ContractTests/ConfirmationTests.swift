import Diagnostics
import Foundation
import Pipeline
import Reporting
import TestSupport
import Testing

/// Every block that recognition reports is borne out by a run of it alone.
@Suite struct ConfirmationTests {
  static let files: [String] = {
    let folders = [Fixtures.path("models/zoo")] + [Fixtures.shared.map { "\($0)/zoo" }, Fixtures.shared.map { "\($0)/vectors" }].compactMap { $0 }
    return folders.flatMap { folder in
      ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".onnx") }.sorted().map { "\(folder)/\($0)" }
    }
  }()

  /// Its distances are powers of what is negative: nothing in it is finite.
  static let broken: Set<String> = ["oamixer_cdistbug_legacy.onnx"]

  @Test(arguments: files) func blocksRunAlone(_ path: String) throws {
    let report = try Inspection.inspect(path, confirm: .always)
    for block in report.attention {
      if Self.broken.contains(String(path.split(separator: "/").last ?? "")) {
        #expect(block.confirmed == nil)
        #expect(report.findings.contains { $0.message.contains("not finite") })
        continue
      }
      #expect(block.confirmed == true, "\(block.name)")
      // What no formula reaches is borne out by the block's own nodes, which always are the whole block.
      #expect(block.confirmation?.kind == "formula" || block.confirmation?.extent == "block", "\(block.name)")
      #expect((block.confirmation?.error ?? 1) <= 1e-3, "\(block.name)")
    }
    #expect(!report.nearMisses.contains { $0.refused.hasPrefix("run on seeded inputs") }, "\(report.nearMisses)")
  }

  @Test func thereAreFiles() { #expect(Self.files.count >= 20) }
}
