public import GraphIR
internal import Tensors

/// An attention module of a file that holds weights and no graph, as names and shapes of its arrays tell it.
///
/// Two spellings are known. Keras keeps heads as an axis of its kernels, (D, heads, head_dim) for queries, keys and values
/// and (heads, value_dim, D) for the output, so that the arrays tell every size. PyTorch's matrices (out, in) join heads,
/// whose number stands in another array of the module (a table of relative positions, a temperature of each head, a norm of
/// each head's queries) or nowhere. What a module attends to, no array tells: one whose queries and keys are made of tokens
/// of one width is called self-attention.
public struct ListedAttention: Sendable {
  /// The path that its arrays share, as the file spells it: `encoder.blocks.0.attn`.
  public private(set) var name: String
  public private(set) var family = AttentionFamily.selfAttention
  /// nil where no array tells them.
  public private(set) var heads: Int?
  public private(set) var headDim: Int?
  public private(set) var valueDim: Int?
  /// Elements of all its arrays.
  public private(set) var parameters: Int
  /// Whether the module holds a table of relative positions.
  public private(set) var hasPositionTable: Bool
  /// Kernels and matrices by role.
  public private(set) var weights: [BlockWeight]

  /// The modules that the constants of `graph` tell, in the order of their names; numbers in names count as numbers.
  ///
  /// - Parameter heads: the number that somebody who knows the model gives, for modules whose arrays do not tell it.
  public static func modules(of graph: Graph, heads: Int? = nil) -> [ListedAttention] {
    var arrays: [ListedArray] = []
    for id in graph.values.handles {
      if let tensor = graph.constant(id), let array = ListedArray(graph[id].name, tensor, id) { arrays.append(array) }
    }
    var parts: [[Substring]: [ListedArray]] = [:]
    for array in arrays where array.role?.isScored == true { parts[array.module] = [] }
    for array in arrays {
      // The innermost module that the array lies in; Transformers keeps the output's matrix beside its `attention`.
      let sibling = array.module.last == "output" ? array.module.dropLast() + ["attention"] : nil
      if let sibling, parts[Array(sibling)] != nil {
        parts[Array(sibling)]?.append(array)
      } else if let owner = (1...array.path.count).reversed().lazy.map({ Array(array.path.prefix($0)) }).first(where: { parts[$0] != nil }) {
        parts[owner]?.append(array)
      }
    }
    return parts.compactMap { ListedAttention($0.value, at: $0.key, heads: heads) }.sorted { $0.order.lexicographicallyPrecedes($1.order) }
  }

  private init?(_ arrays: [ListedArray], at path: [Substring], heads given: Int?) {
    let matrices = Dictionary(arrays.filter(\.isMatrix).map { ($0.role, $0) }) { first, _ in first }
    name = arrays.first { $0.module == path }?.moduleName ?? path.joined(separator: ".")
    parameters = arrays.reduce(0) { $0 + $1.count }
    hasPositionTable = arrays.contains { $0.path.last?.hasPrefix("relative_position_bias") == true }
    weights = ListedArray.Role.allCases.compactMap { role in matrices[role].map { BlockWeight(role: role.rawValue, value: $0.value) } }

    if let query = matrices[.query], let key = matrices[.key], let value = matrices[.value], let sizes = query.headSizes {
      guard let keySizes = key.headSizes, let valueSizes = value.headSizes, keySizes.dim == sizes.dim, keySizes.heads == valueSizes.heads else { return nil }
      (heads, headDim, valueDim) = (sizes.heads, sizes.dim, valueSizes.dim)
      if keySizes.heads != sizes.heads { family = .gqa }
      if key.inputs != query.inputs { family = .cross }
      return
    }
    guard let sizes = Self.joinedSizes(matrices) else { return nil }
    heads = Self.heads(of: sizes.query, told: arrays) ?? given.flatMap { $0 > 0 && sizes.query % $0 == 0 ? $0 : nil }
    if sizes.keyInputs != sizes.queryInputs {
      family = .cross
    } else if sizes.key < sizes.query, sizes.query % sizes.key == 0 {
      family = .gqa
    }
    guard let heads else { return }
    headDim = sizes.query / heads
    // Heads that share values are as wide as those of the queries.
    valueDim = sizes.key == sizes.query ? sizes.value / heads : headDim
  }

  /// Rows of the three matrices, which join heads, and how wide the tokens are that they take.
  private static func joinedSizes(
    _ matrices: [ListedArray.Role?: ListedArray]
  ) -> (query: Int, key: Int, value: Int, queryInputs: Int, keyInputs: Int)? {
    func rows(_ role: ListedArray.Role, parts: Int) -> Int? {
      guard let array = matrices[role], array.headSizes == nil, let rows = array.dims.first, rows > 0, rows % parts == 0 else { return nil }
      return rows / parts
    }
    if let packed = matrices[.packed], let width = rows(.packed, parts: 3) { return (width, width, width, packed.inputs, packed.inputs) }
    guard let query = matrices[.query], let width = rows(.query, parts: 1) else { return nil }
    if let pair = matrices[.keyValue], let half = rows(.keyValue, parts: 2) { return (width, half, half, query.inputs, pair.inputs) }
    guard let key = matrices[.key], let keyWidth = rows(.key, parts: 1), let valueWidth = rows(.value, parts: 1) else { return nil }
    return (width, keyWidth, valueWidth, query.inputs, key.inputs)
  }

  /// Heads as another array of the module tells them.
  private static func heads(of width: Int, told arrays: [ListedArray]) -> Int? {
    for array in arrays {
      guard let word = array.path.last else { continue }
      var heads: Int?
      if word.hasPrefix("relative_position_bias"), array.dims.count == 2 {
        heads = array.dims.last
      } else if ["logit_scale", "temperature"].contains(word), array.dims.count == 3, array.dims.dropFirst().allSatisfy({ $0 == 1 }) {
        heads = array.dims.first
      } else if ["q_norm", "norm_q", "query_norm"].contains(word), array.dims.count == 1, array.count > 0 {
        heads = width % array.count == 0 && array.count < width ? width / array.count : nil
      }
      if let heads, heads > 0, width % heads == 0 { return heads }
    }
    return nil
  }

  /// The name in runs of digits, which count as numbers, and of other characters.
  private var order: [OrderedRun] {
    var runs: [OrderedRun] = []
    var rest = name[...]
    while let first = rest.first {
      let run = rest.prefix { $0.isNumber == first.isNumber }
      runs.append(Int(run).map { .number($0) } ?? .text(run))
      rest = rest.dropFirst(run.count)
    }
    return runs
  }

  private enum OrderedRun: Comparable {
    case number(Int)
    case text(Substring)
  }
}

/// An array of a file without a graph, and what its path says.
private struct ListedArray {
  /// What part of an attention module a matrix is, in the order of reports.
  enum Role: String, CaseIterable {
    case packed, query, key, value
    case keyValue = "key_value"
    case gate, output

    /// Whether it makes queries or keys: only attention has such a part.
    var isScored: Bool { self == .packed || self == .query || self == .key }

    /// Keras's names of dense layers in a MultiHeadAttention, and those that PyTorch models use.
    private static let words: [Role: [Substring]] = [
      .packed: ["qkv", "to_qkv", "in_proj", "Wqkv", "query_key_value", "qkv_proj"], .query: ["query", "q", "q_proj", "to_q", "wq", "q_lin"],
      .key: ["key", "k", "k_proj", "to_k", "wk", "k_lin"], .value: ["value", "v", "v_proj", "to_v", "wv", "v_lin"], .keyValue: ["kv", "to_kv", "kv_proj"],
      .gate: ["gate"], .output: ["attention_output", "output", "proj", "out_proj", "o_proj", "to_out", "wo", "out_lin", "dense"],
    ]
    private static let byWord = Dictionary(uniqueKeysWithValues: words.flatMap { role, words in words.map { ($0, role) } })

    init?(_ word: Substring) {
      let bare = word.drop { $0 == "_" }
      let plain = bare.hasSuffix("_dense") ? bare.dropLast("_dense".count) : bare
      guard let role = Self.byWord[plain] else { return nil }
      self = role
    }
  }

  let value: ValueID
  let dims: [Int]
  let count: Int
  /// The path's words without those that tell weight from bias.
  let path: [Substring]
  let role: Role?
  /// Whether it is what multiplies, no bias.
  let isMatrix: Bool
  /// The words before the one of the role.
  let module: [Substring]
  /// `module` as the file spells it.
  let moduleName: String

  /// nil for what optimizers and metrics keep.
  init?(_ name: String, _ tensor: Tensor, _ value: ValueID) {
    var words = name.split { $0 == "/" || $0 == "." }
    // No module lies deeper; the bound keeps the search for owners linear.
    guard let first = words.first, words.count <= 64, !["optimizer", "_optimizer", "optimizer_weights", "metrics", "_metrics"].contains(first) else {
      return nil
    }
    self.value = value
    (dims, count) = (tensor.dims, tensor.count)
    var isMatrix = tensor.dims.count > 1
    if words.count > 2, words[words.count - 2] == "vars", words[words.count - 1].allSatisfy(\.isNumber) {
      // A Keras 3 layer's first variable is its kernel.
      isMatrix = isMatrix && words.last == "0"
      words.removeLast(2)
    } else if words.count > 1, let last = words.last {
      let word = last.hasSuffix(":0") ? last.dropLast(2) : last
      if ["weight", "kernel", "bias"].contains(word) {
        isMatrix = isMatrix && word != "bias"
        words.removeLast()
      } else if word == "in_proj_weight" || word == "in_proj_bias" {
        words[words.count - 1] = word.prefix("in_proj".count)
      }
    }
    // A projection in a list, such as `to_out.0`.
    if words.count > 2, let last = words.last, last.allSatisfy(\.isNumber), Role(words[words.count - 2]) == .output { words.removeLast() }
    self.isMatrix = isMatrix
    path = words
    role = words.last.flatMap { Role($0) }
    module = words.dropLast()
    moduleName = module.last.map { String(name[..<$0.endIndex]) } ?? ""
  }

  /// Heads and their size, where the array keeps them as axes.
  var headSizes: (heads: Int, dim: Int)? { dims.count == 3 && dims[1] > 0 && dims[2] > 0 ? (dims[1], dims[2]) : nil }

  /// Channels of the tokens that it takes: the first axis of a Keras kernel, the second of a PyTorch matrix.
  var inputs: Int { headSizes == nil ? (dims.count > 1 ? dims[1] : 0) : dims[0] }
}
