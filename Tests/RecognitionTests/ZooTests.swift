import Foundation
import GraphIR
import Recognition
import TestSupport
import Testing

/// Models as several exporters wrote them, held against what is in them.
@Suite struct ZooTests {
  /// Models whose only attention is plain: all of it must be found, and told alike whatever the dialect.
  static let plain = ZooModel.all.filter { $0.truth.blocks.allSatisfy { $0.family == "self" } && !ZooModel.beyondPlain.contains($0.truth.name) }

  @Test func thereAreModels() { #expect(Self.plain.count >= 4) }

  @Test(arguments: plain) func everyBlockIsFoundInEveryDialect(_ model: ZooModel) throws {
    var first: [String]?
    for dialect in model.dialects {
      let (_, found) = try ZooModel.recognize(model.path(dialect))
      #expect(found.blocks.map(\.heads) == model.truth.blocks.map(\.heads), "\(dialect): \(found.nearMisses.map(\.reason))")
      #expect(found.nearMisses.isEmpty || found.blocks.isEmpty, "\(dialect): \(found.nearMisses.map(\.reason))")
      let facts = found.blocks.map(\.facts)
      #expect(facts == first ?? facts, "\(dialect) tells another story than \(model.dialects[0])")
      #expect(Set(found.blocks.map(\.name)).count == found.blocks.count)
      first = first ?? facts
    }
  }

  /// Families that a truth by module name may call by another word: keys pooled or convolved inside a plain module,
  /// dilated grids inside a window module.
  static let alike: [String: Set<String>] = ["self": ["pooled", "spatial-reduction", "causal"], "window": ["grid", "axial", "self"]]

  /// Every block of every model is found in every dialect, and nothing else that attends.
  @Test(arguments: ZooModel.all) func allBlocksAndNoOthers(_ model: ZooModel) throws {
    for dialect in model.dialects {
      let (_, found) = try ZooModel.recognize(model.path(dialect))
      var left = found.blocks
      for truth in model.truth.blocks {
        let index = left.firstIndex { block in
          (block.family.rawValue == truth.family || Self.alike[truth.family]?.contains(block.family.rawValue) == true)
            && (truth.heads == nil || block.heads == truth.heads)
        }
        #expect(index != nil, "\(dialect) misses \(truth.module): \(found.nearMisses.map(\.reason))")
        if let index { left.remove(at: index) }
      }
      #expect(left.isEmpty, "\(dialect): \(left)")
    }
  }

  /// All dialects of one model tell the same of its blocks, names and nodes aside.
  @Test(arguments: ZooModel.all) func dialectsTellTheSame(_ model: ZooModel) throws {
    var first: [String]?
    for dialect in model.dialects {
      let facts = try ZooModel.recognize(model.path(dialect)).found.blocks.map(\.facts)
      #expect(facts == first ?? facts, "\(dialect) tells another story than \(model.dialects[0])")
      first = first ?? facts
    }
  }

  /// What is told of a model as a whole does not depend on its dialect either. (A simplifier folds scales into weights, and
  /// with them what tells that there were any.)
  @Test(arguments: ZooModel.all) func dialectsTellTheSameArchitecture(_ model: ZooModel) throws {
    var first: ArchitectureFacts?
    for dialect in model.dialects where !dialect.hasSuffix("_slim") {
      let architecture = try ZooModel.recognize(model.path(dialect)).found.architecture
      #expect(architecture == first ?? architecture, "\(dialect) tells another story than \(model.dialects[0])")
      first = first ?? architecture
    }
  }

  /// Families by their exact word, where the modules themselves say it.
  @Test func toldFamiliesAreExact() throws {
    let told = ZooModel.all.filter { $0.truth.name.hasPrefix("family_") }
    #expect(told.count >= 8)
    for model in told {
      for dialect in model.dialects {
        let found = try ZooModel.recognize(model.path(dialect)).found.blocks.map(\.family.rawValue)
        #expect(found.sorted() == model.truth.blocks.map(\.family).sorted(), "\(model.truth.name).\(dialect)")
      }
    }
  }

  /// Networks without attention have none of a softmax family, whatever else is found in them.
  @Test func controlsHaveNoAttention() throws {
    let allowed: Set<AttentionFamily> = [.channelGate, .spatialGate, .globalContext, .tokenMixing, .convMixing]
    for model in ZooModel.all
    where ["resnet", "convnext", "moe_gate", "seresnet", "convmixer", "mixer", "control_tokens", "control_images"].contains(model.truth.name) {
      for dialect in model.dialects {
        let blocks = try ZooModel.recognize(model.path(dialect)).found.blocks
        #expect(blocks.allSatisfy { allowed.contains($0.family) }, "\(dialect): \(blocks)")
      }
    }
  }

  /// The catalogue's own mechanisms, from exports of their official code, are told by name, and plain attention is not.
  @Test(.enabled(if: Fixtures.shared != nil), arguments: mechanisms) func mechanismsAreNamed(_ file: String, _ expected: String) throws {
    let folder = try #require(Fixtures.shared)
    for dialect in ["legacy", "dynamo"] {
      let path = "\(folder)/vectors/\(file)_\(dialect).onnx"
      guard FileManager.default.fileExists(atPath: path) else { continue }
      let found = try ZooModel.recognize(path).found
      if expected == "softmax" {
        #expect(found.blocks.allSatisfy { $0.mechanism == "softmax" } && !found.blocks.isEmpty, "\(file): \(found.blocks)")
      } else {
        #expect(found.blocks.contains { $0.mechanism == expected }, "\(file): \(found.blocks)")
      }
      #expect(found.nearMisses.isEmpty, "\(file): \(found.nearMisses)")
      #expect(found.sharedModules.map(\.bits) == (file.hasPrefix("ean") ? ["1011"] : file == "dia" ? ["111"] : []), "\(file)")
    }
  }

  static let mechanisms: [(String, String)] = [
    ("fcvit", "fcvit"), ("fcvit_globalcontext", "fcvit"), ("oamixer", "oamixer"), ("oamixer_cosine", "oamixer"), ("oamixer_mixer", "oamixer"),
    ("oamixer_conv", "oamixer"), ("oamixer_cdistbug", "oamixer"), ("vars_d", "vars"), ("vars_sd", "vars"), ("vars_perf", "vars"), ("vars_s_circconv", "vars"),
    ("fan", "fan"), ("fan_channel", "fan"), ("fan_se", "fan"), ("fan_cls", "softmax"), ("fan_token", "softmax"), ("evolving_attention", "evolving-attention"),
    ("evolving_attention_block", "evolving-attention"), ("nsa_gsa_ci", "gsa"), ("nsa_gsa_q", "gsa"), ("nsa_gsa_k", "gsa"), ("dia", "dia"), ("ean_dia", "ean"),
    ("ean_se", "ean"), ("ean_sge", "ean"), ("unrolling_relu", "unrolled-ista"), ("unrolling_shrink", "unrolled-ista"), ("unrolling_two", "unrolled-ista"),
    ("plain_attention", "softmax"), ("plain_attention_sdpa", "softmax"), ("ctr_autoint", "discrete-choice"),
  ]

  /// The values that a block names are values of the graph as it was read, with the shapes that the layouts say.
  @Test(arguments: plain) func blocksSpeakOfTheOriginal(_ model: ZooModel) throws {
    for dialect in model.dialects {
      let (graph, found) = try ZooModel.recognize(model.path(dialect))
      for block in found.blocks.compactMap(\.projected) {
        #expect(graph.order.contains(where: { block.nodes.contains($0) }))
        for value in [block.input, block.output, block.merged].compactMap({ $0 }) { #expect(value.index < graph.values.count) }
        if case .softmax(let node, let scores, let probabilities, _) = block.core {
          #expect(graph[node].input(0) == scores)
          #expect(graph[node].output(0) == probabilities)
        }
        #expect(block.query.weight.columns == block.heads * block.headDim)
        #expect(block.value.weight.materialized()?.count == block.value.weight.rows * block.heads * block.valueDim)
        #expect(block.residualAdd != nil)
      }
    }
  }
}
