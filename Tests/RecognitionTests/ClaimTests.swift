import Canonicalization
import Diagnostics
import Execution
import FormatNPZ
import GraphIR
import Inference
import Recognition
import TestSupport
import Tensors
import Testing

/// Formulas written from what is told of a block: right ones give what the graph gives, wrong ones do not.
@Suite struct ClaimTests {
  /// One model in one dialect, run on its own inputs.
  struct Subject {
    var canonical: TypedGraph
    var blocks: [AttentionBlock]
    var tensors: [ValueID: Tensor]
    var symbols: [String: Int]

    init?(_ path: String) throws {
      guard let arrays = try? ArrayArchive.read(path: String(path.dropLast(5)) + ".npz") else { return nil }
      let (graph, typed) = try ZooModel.infer(path)
      let canonical = try Canonicalizer.canonicalize(typed)
      self.canonical = canonical
      blocks = AttentionRecognition.recognize(canonical, original: graph).blocks
      let inputs = NumericsTests.inputs(canonical.graph, arrays)
      var symbols: [String: Int] = [:]
      for id in canonical.graph.inputs {
        for (dim, size) in zip(canonical.shape(of: id)?.dims ?? [], inputs[canonical.graph[id].name]?.dims ?? []) {
          if let symbol = dim.symbol { symbols[symbol] = size }
        }
      }
      self.symbols = symbols
      let wanted = Set(blocks.flatMap(\.claims).flatMap { $0.reads + [$0.gives] }).filter { canonical.constant($0) == nil }
      tensors = try Executor(canonical.graph).run(inputs, keeping: wanted.sorted()).values
    }

    /// How far a formula is from the graph; infinite where it fits no tensor, nil where it is not written.
    func error(_ claim: any ClaimedFormula) throws -> Double? {
      let standalone: BlockFormula.Standalone
      do throws(Unwritten) {
        standalone = try claim.standalone(in: canonical, symbols: symbols)
      } catch {
        return error == .misfit ? .infinity : nil
      }
      var inputs: [String: Tensor] = [:]
      for (name, value) in standalone.inputs { inputs[name] = tensors[value] }
      let executor = Executor(standalone.graph)
      guard let run = try? executor.run(inputs) else { return .infinity }
      return NumericsTests.error(executor.graph.outputs.first.flatMap { run.values[$0] }, tensors[standalone.output])
    }
  }

  @Test(arguments: ZooModel.all) func whatIsToldGivesWhatTheGraphGives(_ model: ZooModel) throws {
    for dialect in model.dialects {
      guard let subject = try Subject(model.path(dialect)) else { continue }
      for block in subject.blocks {
        for claim in block.claims {
          let error = try #require(try subject.error(claim), "\(dialect) \(block.name) is not written")
          #expect(error <= 1e-3, "\(dialect) \(block.name): \(error)")
        }
      }
    }
  }

  /// Plain attention is written as a whole, whatever the spelling.
  @Test(arguments: ZooTests.plain) func plainBlocksAreWhole(_ model: ZooModel) throws {
    for dialect in model.dialects {
      for block in try ZooModel.recognize(model.path(dialect)).found.blocks where block.projected != nil && !block.rotary {
        #expect(block.claims.contains { $0.isWhole }, "\(dialect) \(block.name)")
      }
    }
  }

  struct Lie: Sendable, CustomStringConvertible {
    var description: String
    /// nil where it would be no lie.
    var tell: @Sendable (ClaimedAttention) -> ClaimedAttention?
  }

  static let lies: [Lie] = [
    Lie(description: "twice the heads") { claim in
      var claim = claim
      claim.heads *= 2
      return claim
    },
    Lie(description: "heads of another size") { claim in
      var claim = claim
      claim.headDim += 1
      return claim
    },
    Lie(description: "fewer heads of keys") { claim in
      guard claim.keyHeads == claim.heads, claim.heads > 1 else { return nil }
      var claim = claim
      claim.keyHeads = 1
      return claim
    },
    Lie(description: "queries for keys") { claim in
      var claim = claim
      (claim.query, claim.key) = (claim.key, claim.query)
      return claim
    },
    Lie(description: "keys for values") { claim in
      guard claim.headDim == claim.valueDim else { return nil }
      var claim = claim
      (claim.value, claim.key) = (claim.key, claim.value)
      return claim
    },
    Lie(description: "a scale too large") { claim in
      var claim = claim
      claim.scale *= 1.5
      return claim
    },
    Lie(description: "the other answer to causal") { claim in
      var claim = claim
      claim.causal.toggle()
      return claim
    },
  ]

  @Test(arguments: lies) func whatIsToldWronglyIsRefuted(_ lie: Lie) throws {
    var told = 0
    for model in ZooTests.plain {
      for dialect in model.dialects {
        guard let subject = try Subject(model.path(dialect)) else { continue }
        for block in subject.blocks {
          for case let claim as ClaimedAttention in block.claims where claim.isWhole {
            guard let wrong = lie.tell(claim) else { continue }
            told += 1
            let error = try #require(try subject.error(wrong))
            #expect(error > 1e-3, "\(lie) of \(dialect) \(block.name): \(error)")
          }
        }
      }
    }
    #expect(told > 4)
  }
}
