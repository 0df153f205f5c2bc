internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension VisionTransformerTemplate {
  /// One block: attention, then the perceptron, each with its norm before or after it.
  func block(_ input: ValueID, _ name: String, isAfter: Bool, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    if weights.has("\(name).in_proj.weight") { return try joint(input, name, plan, &b) }
    if weights.has("\(name).attns.0.attn.qkv.weight") { return try parallel(input, name, plan, &b) }
    if isAfter {
      let mixed = try attention(input, "\(name).attn", plan, &b)
      let x = try sum(input, try b.normalized(mixed, "\(name).norm1", epsilon: plan.epsilon), name, &b)
      let y = try b.perceptron(x, "\(name).mlp", activation: plan.activation, epsilon: plan.epsilon)
      return try sum(x, try b.normalized(y, "\(name).norm2", epsilon: plan.epsilon), name, &b)
    }
    var y = try attention(try b.normalized(input, "\(name).norm1", epsilon: plan.epsilon), "\(name).attn", plan, &b)
    let x = try sum(input, try scaled(y, ["\(name).ls1.gamma", "\(name).gamma_1"], &b), name, &b)
    y = try b.perceptron(try b.normalized(x, "\(name).norm2", epsilon: plan.epsilon), "\(name).mlp", activation: plan.activation, epsilon: plan.epsilon)
    return try sum(x, try scaled(y, ["\(name).ls2.gamma", "\(name).gamma_2"], &b), name, &b)
  }

  /// Several attentions side by side, then several perceptrons (Touvron et al. 2022).
  private func parallel(_ input: ValueID, _ name: String, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    var x = input
    for (list, part) in [("attns", "attn"), ("ffns", "mlp")] {
      var branches: [ValueID] = []
      for index in 0..<weights.count("\(name).\(list)") {
        let own = "\(name).\(list).\(index)"
        let normal = try b.normalized(x, "\(own).norm", epsilon: plan.epsilon)
        let y =
          part == "attn"
          ? try attention(normal, "\(own).attn", plan, &b)
          : try b.perceptron(normal, "\(own).mlp", activation: plan.activation, epsilon: plan.epsilon)
        branches.append(try scaled(y, ["\(own).ls.gamma"], &b))
      }
      for branch in branches { x = try sum(x, branch, name, &b) }
    }
    return x
  }

  /// Attention and perceptron of one norm and one projection (Dehghani et al. 2023): the perceptron's channels come first.
  private func joint(_ input: ValueID, _ name: String, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let width = plan.width
    let all = try weights.tensor("\(name).in_proj.weight", [nil, width]).dims[0]
    guard all > 3 * width else { throw Failure(.shapeMismatch, "a joint projection to \(all) channels", at: .element(name)) }
    let hidden = all - 3 * width
    let heads = try heads(width)
    let packed = try b.linear(try b.normalized(input, "\(name).in_norm", epsilon: plan.epsilon), "\(name).in_proj", out: all)
    b.e.scope = name
    var inner = try b.e.slice(packed, axis: 2, from: 0, to: hidden)
    if weights.has("\(name).mlp_bias") { inner = try b.e.add(inner, try b.weight("\(name).mlp_bias", [hidden])) }
    inner = try b.activated(inner, plan.activation)
    func part(_ index: Int, _ norm: String?, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      b.e.scope = name
      let y = try b.e.slice(packed, axis: 2, from: hidden + index * width, to: hidden + (index + 1) * width)
      let dims = try b.e.shape(y)
      let split = try b.e.transpose(try b.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(width / heads)]), [0, 2, 1, 3])
      guard let norm, weights.has("\(name).\(norm).weight") else { return split }
      return try b.normalized(split, "\(name).\(norm)", epsilon: plan.epsilon)
    }
    let (query, key, value) = (try part(0, "q_norm", &b), try part(1, "k_norm", &b), try part(2, nil, &b))
    b.e.scope = name
    let context = try AttentionSpelling.context(query, key, value, bias: nil, scale: 1 / Double(width / heads).squareRoot(), &b.e)
    let y: ValueID
    if weights.has("\(name).out_proj.weight") {
      y = try b.linear(try b.e.concat([context, inner], axis: 2), "\(name).out_proj", out: width)
    } else {
      let (first, second) = (try b.linear(context, "\(name).attn_out_proj", out: width), try b.linear(inner, "\(name).mlp_out_proj", out: width))
      y = try sum(first, second, name, &b)
    }
    return try sum(input, try scaled(y, ["\(name).ls.gamma"], &b), name, &b)
  }

  private func sum(_ x: ValueID, _ y: ValueID, _ scope: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    b.e.scope = scope
    return try b.e.add(x, y)
  }

  private func scaled(_ x: ValueID, _ names: [String], _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    guard let name = names.first(where: { weights.has($0) }) else { return x }
    b.e.scope = name.removing([".gamma"])
    return try b.e.multiply(x, try b.weight(name))
  }

  private func attention(_ x: ValueID, _ name: String, _ plan: Plan, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
    let heads = try heads(plan.width)
    let packed = weights.weights["\(name).qkv.weight"]?.dims.first.map { $0 / 3 }
    let all = packed ?? weights.weights["\(name).q.weight"]?.dims.first ?? plan.width
    guard heads > 0, all % heads == 0 else { throw Failure(.shapeMismatch, "\(heads) heads of \(all) channels", at: .element(name)) }
    let headDim = all / heads
    var bias: ValueID?
    if let table = ["\(name).relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"].first(where: { weights.has($0) }) {
      let tensor = try weights.tensor(table, [nil, heads])
      bias = b.e.constant("\(name).bias", try VisionTransformerTemplate.relativeBias(tensor, grid: plan.grid, prefix: plan.prefix))
    }
    var (query, key, value) = try b.projections(x, name, heads: heads, headDim: headDim)
    if weights.has("\(name).q_norm.weight") { query = try b.normalized(query, "\(name).q_norm", epsilon: plan.epsilon) }
    if weights.has("\(name).k_norm.weight") { key = try b.normalized(key, "\(name).k_norm", epsilon: plan.epsilon) }
    b.e.scope = name
    if let rotation = plan.rotation { (query, key) = (try rotation.turned(query, &b.e), try rotation.turned(key, &b.e)) }
    var context = try AttentionSpelling.context(query, key, value, bias: bias, scale: 1 / Double(headDim).squareRoot(), &b.e)
    if weights.has("\(name).norm.weight") { context = try b.normalized(context, "\(name).norm", epsilon: plan.epsilon) }
    if weights.has("\(name).gate.weight") {
      let gate = try b.linear(x, "\(name).gate", out: all)
      b.e.scope = name
      context = try b.e.multiply(context, try b.e.unary(.sigmoid, gate, "Sigmoid"))
    }
    return try b.linear(context, "\(name).proj", out: plan.width)
  }

  /// A table of (2h − 1)·(2w − 1) rows for differences between patches; with a token in front three more: for it as query, as
  /// key, and with itself (BEiT, Bao et al. 2022). Gives (1, heads, T, T).
  static func relativeBias(_ table: Tensor, grid: (rows: Int, columns: Int), prefix: Int) throws(Failure) -> Tensor {
    let (rows, columns) = grid
    let span = 2 * columns - 1
    let entries = (2 * rows - 1) * span
    guard prefix <= 1, table.dims.count == 2, table.dims[0] == entries + 3 * prefix, let values = table.floats() else {
      throw Failure(.shapeMismatch, "\(Shape(table.dims)) relative biases for a grid of \(rows) x \(columns)")
    }
    let heads = table.dims[1]
    let tokens = rows * columns + prefix
    guard let count = [heads, tokens, tokens].checkedProduct, count <= 1 << 28 else { throw Failure(.limitExceeded, "\(tokens) tokens") }
    var result = [Float](repeating: 0, count: count)
    for query in 0..<tokens {
      for key in 0..<tokens {
        let row: Int
        switch (query < prefix, key < prefix) {
        case (true, true): row = entries + 2
        case (true, false): row = entries
        case (false, true): row = entries + 1
        default:
          let (a, b) = (query - prefix, key - prefix)
          row = (a / columns - b / columns + rows - 1) * span + a % columns - b % columns + columns - 1
        }
        for head in 0..<heads { result[(head * tokens + query) * tokens + key] = values[row * heads + head] }
      }
    }
    return try Tensor(float32: result, dims: [1, heads, tokens, tokens])
  }
}
