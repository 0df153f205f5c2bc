import Canonicalization
import Diagnostics
import GraphIR
import Inference
import Operators
import Recognition
import TestSupport
import Tensors
import Testing

/// Exported attention with one thing wrong in it: told apart from what it was, in words that name the difference.
@Suite struct MutantTests {
  /// What a mutation must lead to.
  enum Expectation: Sendable {
    /// One block less, and a near miss whose reason holds these words.
    case nearMiss(String)
    /// The same blocks, one of them with a remark or trait that holds these words.
    case remark(String)
    /// One block of another family.
    case family(AttentionFamily)
    /// Nothing changes: the mutation is the identity.
    case none
  }

  struct Mutation: Sendable, CustomStringConvertible {
    var name: String
    var expected: Expectation
    var apply: @Sendable (inout Patch, Parts) throws -> Void
    var description: String { name }
  }

  /// The values around the softmax of the first block.
  struct Parts {
    var graph: Graph
    var typed: TypedGraph
    var softmax, scoreProduct, valueProduct: NodeID
    var query, key, value, raw, scores, probabilities, result: ValueID
    /// The second block's product with values, for values from elsewhere.
    var otherValue: ValueID
    var residualAdd: NodeID

    init(_ graph: Graph, _ typed: TypedGraph, _ found: Recognized) throws {
      self.graph = graph
      self.typed = typed
      let blocks = found.blocks.compactMap(\.projected)
      // AutoInt's scores have no scale, which is remarked on before any mutation.
      guard let first = blocks.first, found.blocks.allSatisfy({ $0.remarks.isEmpty }) else { throw Absent() }
      guard case .softmax(let node, let scores, let probabilities, _) = first.core else { throw Absent() }
      (softmax, self.scores, self.probabilities) = (node, scores, probabilities)
      scoreProduct = try #require(Self.product(above: scores, graph))
      valueProduct = try #require(Self.product(below: probabilities, graph))
      query = try #require(graph[scoreProduct].input(0))
      key = try #require(graph[scoreProduct].input(1))
      value = try #require(graph[valueProduct].input(1))
      raw = try #require(graph[scoreProduct].output(0))
      result = try #require(graph[valueProduct].output(0))
      residualAdd = try #require(first.residualAdd)
      guard blocks.count > 1, case .softmax(_, _, let other, _) = blocks[1].core, let next = Self.product(below: other, graph),
        let values = graph[next].input(1)
      else { throw Absent() }
      otherValue = values
    }

    func dims(_ value: ValueID) throws -> [Int] { try #require(typed.shape(of: value)?.dims.map { $0.value ?? 1 }) }

    /// Queries and keys.
    func mapSize() throws -> (Int, Int) {
      let dims = try dims(scores)
      guard dims.count >= 2 else { throw Absent() }
      return (dims[dims.count - 2], dims[dims.count - 1])
    }

    static func product(above value: ValueID, _ graph: Graph) -> NodeID? {
      var pending = [value]
      for _ in 0..<16 where !pending.isEmpty {
        guard let id = graph.producer(of: pending.removeFirst()) else { continue }
        if graph[id].op == .matrix(.matMul) { return id }
        pending += graph[id].inputs.compactMap { $0 }
      }
      return nil
    }

    static func product(below value: ValueID, _ graph: Graph) -> NodeID? {
      var pending = [value]
      for _ in 0..<16 where !pending.isEmpty {
        let next = pending.removeFirst()
        for (id, node) in graph.liveNodes where node.inputs.contains(next) {
          if node.op == .matrix(.matMul) { return id }
          pending += node.outputs.compactMap { $0 }
        }
      }
      return nil
    }
  }

  struct Absent: Error {}

  // MARK: Mutations

  /// Puts what `make` adds behind `value` in its place for everybody who reads it.
  private static func wrap(_ patch: inout Patch, _ value: ValueID, _ make: (inout Patch) throws -> ValueID) rethrows {
    patch.replace(value, with: try make(&patch))
  }

  private static func rolled(_ patch: inout Patch, _ parts: Parts, _ value: ValueID, axis: Int) throws {
    let dims = try parts.dims(value)
    let place = axis < 0 ? axis + dims.count : axis
    let index = try Tensor(int64: (0..<dims[place]).map { Int64(($0 + 1) % dims[place]) }, dims: [dims[place]])
    wrap(&patch, value) { patch in patch.add(.indexing(.gather(axis: place)), [value, patch.addConstant("order", index)], name: "permuted") }
  }

  private static func exchanged(_ rank: Int) -> Op { .layout(.transpose(Array(0..<(rank - 2)) + [rank - 1, rank - 2])) }

  private static func scaled(_ factor: Float) -> @Sendable (inout Patch, Parts) throws -> Void {
    { patch, parts in
      let number = try Tensor(float32: [factor], dims: [])
      wrap(&patch, parts.raw) { patch in patch.add(.binary(.multiply), [parts.raw, patch.addConstant("factor", number)], name: "scaled") }
    }
  }

  private static func masked(_ isOpen: @escaping @Sendable (Int, Int) -> Bool, _ hidden: Float) -> @Sendable (inout Patch, Parts) throws -> Void {
    { patch, parts in
      let (rows, columns) = try parts.mapSize()
      let mask = try Tensor(
        float32: (0..<(rows * columns)).map { isOpen($0 / columns, $0 % columns) ? 0 : hidden }, dims: [rows, columns])
      wrap(&patch, parts.scores) { patch in patch.add(.binary(.add), [parts.scores, patch.addConstant("mask", mask)], name: "masked") }
    }
  }

  private static func onProbabilities(_ op: BinaryOp, _ element: @escaping @Sendable (Int, Int) -> Float) -> @Sendable (inout Patch, Parts) throws -> Void {
    { patch, parts in
      let (rows, columns) = try parts.mapSize()
      let map = try Tensor(float32: (0..<(rows * columns)).map { element($0 / columns, $0 % columns) }, dims: [rows, columns])
      wrap(&patch, parts.probabilities) { patch in
        patch.add(.binary(op), [parts.probabilities, patch.addConstant("map", map)], name: "changed")
      }
    }
  }

  static let mutations: [Mutation] = [
    Mutation(name: "softmax over queries", expected: .nearMiss("runs over queries")) { patch, parts in
      patch.replace(parts.probabilities, with: patch.add(.softmax(.softmax(axis: -2)), [parts.scores], name: "over_queries"))
    },
    Mutation(name: "softmax over heads", expected: .nearMiss("does not run over all keys")) { patch, parts in
      guard try parts.dims(parts.scores).count == 4 else { throw Absent() }
      patch.replace(parts.probabilities, with: patch.add(.softmax(.softmax(axis: 1)), [parts.scores], name: "over_heads"))
    },
    Mutation(name: "scores transposed", expected: .nearMiss("queries and keys are exchanged")) { patch, parts in
      let rank = try parts.dims(parts.scores).count
      wrap(&patch, parts.scores) { $0.add(exchanged(rank), [parts.scores], name: "transposed") }
    },
    Mutation(name: "probabilities transposed", expected: .nearMiss("runs over queries")) { patch, parts in
      let rank = try parts.dims(parts.scores).count
      wrap(&patch, parts.probabilities) { $0.add(exchanged(rank), [parts.probabilities], name: "transposed") }
    },
    Mutation(name: "Q and K swapped", expected: .nearMiss("queries and keys are exchanged")) { patch, parts in
      let rank = try parts.dims(parts.query).count
      let left = patch.add(exchanged(rank), [parts.key], name: "k")
      let right = patch.add(exchanged(rank), [parts.query], name: "q")
      patch.replace(parts.raw, with: patch.add(.matrix(.matMul), [left, right], name: "swapped"))
    },
    Mutation(name: "heads of K permuted", expected: .nearMiss("heads of keys are permuted")) { patch, parts in
      guard try parts.dims(parts.key).count == 4 else { throw Absent() }
      try rolled(&patch, parts, parts.key, axis: 1)
    },
    Mutation(name: "heads of the map permuted", expected: .nearMiss("heads of the attention map are permuted")) { patch, parts in
      guard try parts.dims(parts.scores).count == 4 else { throw Absent() }
      try rolled(&patch, parts, parts.probabilities, axis: 1)
    },
    Mutation(name: "heads permuted before the merge", expected: .nearMiss("heads are permuted before they are merged")) { patch, parts in
      guard try parts.dims(parts.result).count == 4 else { throw Absent() }
      try rolled(&patch, parts, parts.result, axis: 1)
    },
    Mutation(name: "tokens of V permuted", expected: .nearMiss("tokens of values are permuted")) { patch, parts in
      try rolled(&patch, parts, parts.value, axis: -2)
    },
    Mutation(name: "elements outermost in the merge", expected: .remark("elements outermost")) { patch, parts in
      guard try parts.dims(parts.result).count == 4 else { throw Absent() }
      let (id, old) = try transposeBelow(parts)
      guard parts.graph[id].op == .layout(.transpose([0, 2, 1, 3])) else { throw Absent() }
      patch.replace(old, with: patch.add(.layout(.transpose([0, 2, 3, 1])), [parts.graph[id].input(0)], name: "merged"))
    },
    Mutation(name: "no transpose before the merge", expected: .nearMiss("heads and tokens are mixed")) { patch, parts in
      guard try parts.dims(parts.result).count == 4 else { throw Absent() }
      let (id, old) = try transposeBelow(parts)
      patch.replace(old, with: try #require(parts.graph[id].input(0)))
    },
    Mutation(name: "no softmax", expected: .nearMiss("no softmax")) { patch, parts in patch.replace(parts.probabilities, with: parts.scores) },
    Mutation(name: "sigmoid for softmax", expected: .remark("a sigmoid in place of the softmax")) { patch, parts in
      patch.replace(parts.probabilities, with: patch.add(.unary(.sigmoid), [parts.scores], name: "sigmoid"))
    },
    Mutation(name: "two softmaxes", expected: .nearMiss("second softmax")) { patch, parts in
      wrap(&patch, parts.probabilities) { $0.add(.softmax(.softmax(axis: -1)), [parts.probabilities], name: "again") }
    },
    Mutation(name: "mask behind the softmax", expected: .nearMiss("mask is applied after the softmax"), apply: onProbabilities(.multiply) { $1 <= $0 ? 1 : 0 }),
    Mutation(
      name: "factors behind the softmax", expected: .nearMiss("constant map after the softmax"), apply: onProbabilities(.multiply) { Float($0 + $1) / 7 }),
    Mutation(name: "bias behind the softmax", expected: .nearMiss("bias is added after the softmax"), apply: onProbabilities(.add) { Float($0 - $1) / 7 }),
    Mutation(name: "dropout in training", expected: .nearMiss("dropout is left in training mode")) { patch, parts in
      let ratio = try Tensor(float32: [0.25], dims: [])
      let mode = try Tensor(.bool, dims: [], values: [UInt8(1)])
      wrap(&patch, parts.probabilities) { patch in
        patch.addNode(
          .random(RandomOp(.dropout, seed: 1)), [parts.probabilities, patch.addConstant("ratio", ratio), patch.addConstant("mode", mode)], name: "dropped")[0]
      }
    },
    Mutation(name: "values of another block", expected: .nearMiss("values are made from other tokens")) { patch, parts in
      guard try parts.dims(parts.value) == parts.dims(parts.otherValue) else { throw Absent() }
      patch.replace(parts.otherValue, with: parts.value)
    },
    Mutation(name: "values are keys", expected: .remark("one projection for keys and values")) { patch, parts in
      let rank = try parts.dims(parts.key).count
      patch.replace(parts.value, with: patch.add(exchanged(rank), [parts.key], name: "k_as_v"))
    },
    Mutation(name: "keys are queries", expected: .remark("one projection for queries and keys")) { patch, parts in
      let rank = try parts.dims(parts.key).count
      patch.replace(parts.key, with: patch.add(exchanged(rank), [parts.query], name: "q_as_k"))
    },
    Mutation(name: "causal", expected: .family(.causal), apply: masked({ $1 <= $0 }, -1e9)),
    Mutation(name: "causal the wrong way round", expected: .remark("the wrong way round"), apply: masked({ $1 >= $0 }, -1e9)),
    Mutation(name: "no query sees itself", expected: .remark("hides each query from itself"), apply: masked({ $1 < $0 }, -1e9)),
    Mutation(name: "a query sees nothing", expected: .remark("leaves some query no key"), apply: masked({ row, _ in row != 2 }, -1e9)),
    Mutation(name: "scale of 1", expected: .none, apply: scaled(1)),
    Mutation(name: "scale twice", expected: .remark("1 / head_dim"), apply: scaled(0.353_553_39)),
    Mutation(name: "scale missing", expected: .remark("scores are not scaled"), apply: scaled(2.828_427)),
    Mutation(name: "scale inverted", expected: .remark("is head_dim^1/2"), apply: scaled(8)),
    Mutation(name: "scale negative", expected: .remark("is negative"), apply: scaled(-1)),
    Mutation(name: "scale of all heads", expected: .remark("all heads together"), apply: scaled(0.5)),
    Mutation(name: "scale off", expected: .remark("is not head_dim^-1/2"), apply: scaled(1.1)),
    Mutation(name: "residual missing", expected: .remark("resid")) { patch, parts in
      guard parts.graph[parts.residualAdd].op == .binary(.add) else { throw Absent() }
      let sum = try #require(parts.graph[parts.residualAdd].output(0))
      let branch = parts.graph[parts.residualAdd].inputs.compactMap { $0 }.first { depends($0, on: parts.result, parts.graph) }
      patch.replace(sum, with: try #require(branch))
    },
    Mutation(name: "residual of another place", expected: .remark("residual joins another tensor")) { patch, parts in
      guard parts.graph[parts.residualAdd].op == .binary(.add) else { throw Absent() }
      let sum = try #require(parts.graph[parts.residualAdd].output(0))
      let branch = try #require(parts.graph[parts.residualAdd].inputs.compactMap { $0 }.first { depends($0, on: parts.result, parts.graph) })
      let stream = try #require(parts.graph[parts.residualAdd].inputs.compactMap { $0 }.first { $0 != branch })
      // As many tokens of as many channels, made by something else.
      let stray = patch.add(.unary(.tanh), [stream], name: "stray")
      patch.replace(sum, with: patch.add(.binary(.add), [stray, branch], name: "joined"))
    },
  ]

  private static func depends(_ value: ValueID, on source: ValueID, _ graph: Graph) -> Bool {
    var pending = [value]
    for _ in 0..<32 where !pending.isEmpty {
      let next = pending.removeFirst()
      if next == source { return true }
      if let id = graph.producer(of: next) { pending += graph[id].inputs.compactMap { $0 } }
    }
    return false
  }

  private static func transposeBelow(_ parts: Parts) throws -> (NodeID, ValueID) {
    for (id, node) in parts.graph.liveNodes where node.inputs.contains(parts.result) {
      if case .layout(.transpose) = node.op, let output = node.output(0) { return (id, output) }
    }
    throw Absent()
  }

  // MARK: Tests

  /// Plain models in every dialect that they come in.
  static let files: [String] = ZooTests.plain.flatMap { model -> [String] in
    // All dialects of what comes with the repository, two of every other model.
    let isOwn = model.folder.hasPrefix(Fixtures.path("models"))
    return (isOwn ? model.dialects : model.dialects.filter { ["legacy17", "dynamo18"].contains($0) }).map { model.path($0) }
  }

  private static func recognize(_ graph: Graph) throws -> Recognized {
    var sink = DiagnosticSink()
    return AttentionRecognition.recognize(try Canonicalizer.canonicalize(try Inference.infer(graph, sink: &sink)), original: graph)
  }

  @Test(arguments: mutations) func differencesAreNamed(_ mutation: Mutation) throws {
    var tried = 0
    for path in Self.files {
      let (graph, typed) = try ZooModel.infer(path)
      let before = try Self.recognize(graph)
      let mutant: Graph
      do {
        let parts = try Parts(graph, typed, before)
        var patch = Patch(graph)
        try mutation.apply(&patch, parts)
        mutant = try patch.commit()
        var sink = DiagnosticSink()
        _ = try Inference.infer(mutant, sink: &sink)
      } catch is Absent {
        continue
      } catch let error as Failure where error.code == .shapeMismatch {
        // The change does not fit this model's sizes.
        continue
      }
      tried += 1
      let after = try Self.recognize(mutant)
      let place = Comment(
        rawValue:
          "\(mutation.name) in \(path.split(separator: "/").last ?? ""): \(after.blocks) \(after.blocks.map(\.remarks)) \(after.nearMisses.map(\.reason))")
      switch mutation.expected {
      case .nearMiss(let words):
        #expect(after.blocks.count == before.blocks.count - 1, place)
        #expect(after.nearMisses.contains { $0.reason.contains(words) }, place)
      case .remark(let words):
        #expect(after.blocks.count == before.blocks.count, place)
        #expect(after.blocks.contains { ($0.remarks + $0.traits).contains { $0.contains(words) } }, place)
      case .family(let family):
        #expect(after.blocks.count == before.blocks.count, place)
        #expect(after.blocks.count { $0.family == family } == before.blocks.count { $0.family == family } + 1, place)
      case .none:
        #expect(after.blocks.map(\.facts) == before.blocks.map(\.facts), place)
        #expect(after.blocks.map(\.remarks) == before.blocks.map(\.remarks), place)
      }
      #expect(before.nearMisses.isEmpty && before.blocks.allSatisfy { $0.remarks.isEmpty }, place)
    }
    #expect(tried >= 4, "\(mutation.name) fits \(tried) files only")
  }
}
