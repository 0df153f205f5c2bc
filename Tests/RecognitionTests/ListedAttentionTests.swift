import GraphIR
import GraphText
import Recognition
import Testing

/// Attention told by names and shapes of weights that stand without a graph.
@Suite struct ListedAttentionTests {
  private static func modules(_ arrays: [(name: String, shape: [Int])], heads: Int? = nil) throws -> [ListedAttention] {
    let lines = arrays.enumerated().map { "  %w\($0) = weight @\"\($1.name)\" : f32\($1.shape)\n" }
    let outputs = arrays.indices.map { "%w\($0)" }.joined(separator: ", ")
    let graph = try GraphParser.parse("graph %weights() -> (\(outputs)) {\n\(lines.joined())}\n")
    #expect(graph.isListing)
    return ListedAttention.modules(of: graph, heads: heads)
  }

  /// Keras keeps heads as an axis, in each of its three layouts of names.
  @Test(arguments: [
    ("attn/query_dense/vars/0", "attn/key_dense/vars/0", "attn/value_dense/vars/0", "attn/output_dense/vars/0", "attn"),
    ("mha/mha/query/kernel:0", "mha/mha/key/kernel:0", "mha/mha/value/kernel:0", "mha/mha/attention_output/kernel:0", "mha/mha"),
    ("b/_query_dense/vars/0", "b/_key_dense/vars/0", "b/_value_dense/vars/0", "b/_output_dense/vars/0", "b"),
  ])
  func kernelsOfKerasTellHeads(_ query: String, _ key: String, _ value: String, _ output: String, _ name: String) throws {
    let found = try Self.modules([
      (query, [16, 2, 8]), (key, [16, 2, 8]), (value, [16, 2, 6]), (output, [2, 6, 16]), ("layers/dense/vars/0", [16, 16]), ("optimizer/vars/1", [16, 2, 8]),
    ])
    let module = try #require(found.first)
    #expect(found.count == 1 && module.name == name && module.family == .selfAttention)
    #expect(module.heads == 2 && module.headDim == 8 && module.valueDim == 6)
    #expect(module.parameters == 2 * 16 * 16 + 2 * 16 * 12)
    #expect(module.weights.map(\.role) == ["query", "key", "value", "output"])
  }

  @Test func sharedHeadsAndOtherTokensAreTold() throws {
    let grouped = try Self.modules([("a/query/kernel", [16, 4, 8]), ("a/key/kernel", [16, 2, 8]), ("a/value/kernel", [16, 2, 8])])
    #expect(grouped.map(\.family) == [.gqa] && grouped.first?.heads == 4)
    let crossing = try Self.modules([("a/query/kernel", [16, 4, 8]), ("a/key/kernel", [24, 4, 8]), ("a/value/kernel", [24, 4, 8])])
    #expect(crossing.map(\.family) == [.cross])
  }

  /// PyTorch's matrices join heads: another array tells them, or whoever knows the model.
  @Test(
    arguments: [
      ([("relative_position_bias_table", [49, 4])], nil, 4), ([("temperature", [8, 1, 1])], nil, 8), ([("q_norm.weight", [8])], nil, 4), ([], nil, nil),
      ([], 2, 2),
      ([], 3, nil),
    ] as [([(String, [Int])], Int?, Int?)])
  func matricesOfPyTorchNeedTellingHeads(_ beside: [(String, [Int])], _ given: Int?, _ heads: Int?) throws {
    var arrays: [(name: String, shape: [Int])] = [
      ("blocks.10.attn.qkv.weight", [96, 32]), ("blocks.10.attn.qkv.bias", [96]), ("blocks.10.attn.proj.weight", [32, 32]),
      ("blocks.10.mlp.fc1.weight", [64, 32]),
    ]
    arrays += beside.map { ("blocks.10.attn.\($0.0)", $0.1) }
    let found = try Self.modules(arrays, heads: given)
    #expect(found.map(\.name) == ["blocks.10.attn"])
    #expect(found.first?.heads == heads && found.first?.headDim == heads.map { 32 / $0 })
    #expect(found.first?.weights.map(\.role) == ["packed", "output"])
  }

  @Test func numbersInNamesCountAsNumbers() throws {
    let found = try Self.modules([10, 9, 2].map { ("layers.\($0).in_proj_weight", [12, 4]) })
    #expect(found.map(\.name) == ["layers.2", "layers.9", "layers.10"])
  }

  /// Transformers keeps the output's matrix beside the module of the others.
  @Test func theOutputBesideTheModuleBelongsToIt() throws {
    let found = try Self.modules([
      ("layer.0.attention.attention.query.weight", [8, 8]), ("layer.0.attention.attention.key.weight", [8, 8]),
      ("layer.0.attention.attention.value.weight", [8, 8]), ("layer.0.attention.output.dense.weight", [8, 8]), ("layer.0.output.dense.weight", [8, 32]),
    ])
    #expect(found.map(\.parameters) == [4 * 64])
    #expect(found.first?.weights.map(\.role) == ["query", "key", "value", "output"])
  }

  /// Parts of other modules, and arrays that do not fit, are no attention.
  @Test(
    arguments: [
      [("patch_embed.proj.weight", [8, 3, 4, 4]), ("a.query.weight", [8, 8])],
      [("a.query.kernel", [8, 2, 4]), ("a.key.kernel", [8, 2, 3]), ("a.value.kernel", [8, 2, 4])],
      [("a.qkv.weight", [32, 8])], [("qkv", [24])], [("a.q.weight", [0, 8]), ("a.k.weight", [0, 8]), ("a.v.weight", [0, 8])],
    ] as [[(String, [Int])]])
  func otherWeightsAreNone(_ arrays: [(String, [Int])]) throws {
    #expect(try Self.modules(arrays.map { (name: $0.0, shape: $0.1) }).isEmpty)
  }
}
