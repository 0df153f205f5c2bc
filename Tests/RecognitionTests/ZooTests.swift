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
      #expect(found.nearMisses.isEmpty, "\(dialect): \(found.nearMisses.map(\.reason))")
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
