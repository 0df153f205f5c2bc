import Foundation
import Operators
import Recognition
import TestSupport
import Testing

/// The catalogue's mechanisms, each in several spellings from both exporters, are told by name.
@Suite struct MechanismTests {
  struct Model: Sendable, Decodable, CustomStringConvertible {
    struct Block: Decodable {
      var family: String
      var heads: Int?
      var mechanism: String
    }
    var name: String
    var blocks: [Block]
    var dialects: [String]
    var description: String { name }
    var paths: [String] { dialects.map { Fixtures.path("models/mechanisms/\(name)\($0.isEmpty ? "" : ".\($0)").onnx") } }
  }

  static let all: [Model] = {
    let folder = Fixtures.path("models/mechanisms")
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".json") }.sorted().compactMap { name in
      FileManager.default.contents(atPath: "\(folder)/\(name)").flatMap { try? JSONDecoder().decode(Model.self, from: $0) }
    }
  }()

  private static func said(_ family: String, _ heads: Int?, _ mechanism: String) -> String { "\(family) \(heads.map(String.init) ?? "-") \(mechanism)" }

  /// Every block by family, heads and mechanism, none besides, and nothing left over that looks like attention.
  @Test(arguments: all) func blocksAreNamed(_ model: Model) throws {
    var first: [String]?
    for path in model.paths {
      let found = try ZooModel.recognize(path).found
      let wanted = model.blocks.map { block in Self.said(block.family, block.heads, block.mechanism) }.sorted()
      let got = found.blocks.map { block in
        // Modules without heads of their own say none.
        let isTold = model.blocks.contains { $0.family == block.family.rawValue && $0.heads != nil }
        return Self.said(block.family.rawValue, isTold ? block.heads : nil, block.mechanism)
      }
      #expect(got.sorted() == wanted, "\(path)")
      #expect(found.nearMisses.isEmpty, "\(path): \(found.nearMisses)")
      let facts = found.blocks.map { "\($0.family.rawValue) \($0.mechanism) \($0.heads ?? 0) \($0.queryTokens) \($0.parameters) \($0.traits)" }
      #expect(facts == first ?? facts, "\(path) tells another story than \(model.paths[0])")
      first = first ?? facts
    }
  }

  @Test func everyMechanismIsThere() {
    let seen = Set(Self.all.flatMap(\.blocks).map(\.mechanism))
    let wanted: Set<String> = [
      "softmax", "fcvit", "oamixer", "vars", "fan", "evolving-attention", "nsa", "gsa", "dia", "ean", "unrolled-ista", "discrete-choice",
    ]
    #expect(seen == wanted)
  }

  /// Which residual blocks carry a shared module, and its weights counted once.
  @Test(arguments: [
    ("dia", ["111"]), ("dia_pre", ["1111"]), ("dia_stages", ["111", "11"]), ("ean_dia", ["1011"]), ("ean_dia_tokens", ["1101"]), ("ean_se", ["0110"]),
    ("ean_se_linear", ["11011"]), ("ean_sge", ["1101"]), ("ean_stages", ["101", "1110"]),
  ]) func sharedModulesAreTold(_ name: String, _ bits: [String]) throws {
    let model = try #require(Self.all.first { $0.name == name })
    for path in model.paths {
      let found = try ZooModel.recognize(path).found
      #expect(found.sharedModules.map(\.bits) == bits, "\(path)")
      for module in found.sharedModules {
        let uses = module.attention.map { found.blocks[$0] }
        #expect(uses.reduce(0) { $0 + $1.parameters } == module.parameters)
        #expect((uses.first?.parameters ?? 0) > 0)
        // Every use does the same work on nodes of its own.
        #expect(Set(uses.dropFirst().map(\.cost.macs)).count <= 1)
        let nodes = uses.flatMap(\.nodes)
        #expect(Set(nodes).count == nodes.count, "\(path): two uses claim one node")
      }
    }
  }

  /// Models of plain attention, and those without any, have none.
  @Test func plainModelsHaveNone() throws {
    for model in ZooModel.all where model.truth.name != "autoint" {
      for dialect in model.dialects {
        let blocks = try ZooModel.recognize(model.path(dialect)).found.blocks
        #expect(blocks.allSatisfy { $0.mechanism == "softmax" }, "\(model.truth.name).\(dialect): \(blocks.filter { $0.mechanism != "softmax" })")
      }
    }
  }
}
