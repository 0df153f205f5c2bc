internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

// Attention and blocks of published Keras models that stand in layers of their own.
extension CustomLayers {
  /// Four dense layers called query, key, value and out; gives the result and the probabilities (B, heads, T, T).
  func selfAttention(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    guard let heads = (call.config["num_heads"] ?? call.config["heads"])?.int, heads > 0 else { return nil }
    let x = try builder.input(call)
    guard try builder.e.rank(x) == 3 else { return nil }
    let width = try builder.e.size(x, 2)
    guard width % heads == 0 else { throw call.wrong("\(heads) heads of a width of \(width)") }
    let dims = try builder.e.shape(x)
    func projected(_ x: ValueID, _ name: String, _ attributes: [String], _ builder: inout KerasBuilder) throws(Failure) -> ValueID? {
      let path = call.path.sub(name, attributes)
      guard let kernel = try builder.store.find(path, ["kernel"], 0), kernel.dims == [width, width] else { return nil }
      let bias = try builder.store.find(path, ["bias"], 1) != nil
      let y = try builder.kernelProduct(x, KerasBuilder.DenseKernel(path: path, rows: [width], columns: [width], hasBias: bias), call)
      return bias ? try builder.e.add(y, try builder.variable(call, path, ["bias"], 1, dims: [width])) : y
    }
    func split(_ y: ValueID, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      try builder.e.transpose(try builder.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(width / heads)]), [0, 2, 1, 3])
    }
    guard let q = try projected(x, "query", ["query_dense", "query", "q"], &builder), let k = try projected(x, "key", ["key_dense", "key", "k"], &builder),
      let v = try projected(x, "value", ["value_dense", "value", "v"], &builder)
    else { return nil }
    let scaled = try builder.e.multiply(try split(q, &builder), 1 / Double(width / heads).squareRoot(), "Scale")
    let scores = try builder.e.matMul(scaled, try builder.e.transpose(try split(k, &builder), [0, 1, 3, 2]), "Scores")
    let weights = try builder.e.softmax(scores)
    let mixed = try builder.e.matMul(weights, try split(v, &builder), "Context")
    let joined = try builder.e.reshape(try builder.e.transpose(mixed, [0, 2, 1, 3]), dims)
    guard let result = try projected(joined, "out", ["combine_heads", "out", "proj", "output_dense"], &builder) else { return nil }
    return [result, weights]
  }

  /// A pre-norm block as the checkpoints of Dosovitskiy et al. (2021) name its parts; gives the tokens and the probabilities.
  func transformerBlock(_ call: LayerCall, _ builder: inout KerasBuilder) throws(Failure) -> [ValueID]? {
    guard let hidden = call.config["mlp_dim"]?.int, hidden > 0, call.config["num_heads"]?.int != nil,
      builder.store.mentions(call.path, "MultiHeadDotProductAttention"),
      try builder.store.find(call.path.sub("MultiHeadDotProductAttention_1", ["att"]).sub("query", ["query_dense"]), ["kernel"], 0) != nil
    else { return nil }
    let x = try builder.input(call)
    let width = try builder.e.size(x, try builder.e.rank(x) - 1)
    func part(_ className: String, _ config: [String: JSON], _ path: LayerPath, _ value: ValueID, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      var all = config
      all["name"] = .string(path.name)
      all["dtype"] = call.config["dtype"] ?? .string("float32")
      let layer = try KerasLayer(.object(["class_name": .string(className), "config": .object(all)]))
      guard let first = try builder.call(LayerCall(layer: layer, path: path, positional: [.tensor(value)], named: [:])).first else {
        throw call.wrong("a part gives nothing")
      }
      return first
    }
    let epsilon: [String: JSON] = ["epsilon": .number(1e-6)]
    let normal = try part("LayerNormalization", epsilon, call.path.sub("LayerNorm_0", ["layernorm1"]), x, &builder)
    var inner = call
    inner.path = call.path.sub("MultiHeadDotProductAttention_1", ["att"])
    inner.positional = [.tensor(normal)]
    guard let attended = try selfAttention(inner, &builder) else { return nil }
    let sum = try builder.e.add(attended[0], x)
    let mlp = call.path
    var y = try part("LayerNormalization", epsilon, call.path.sub("LayerNorm_2", ["layernorm2"]), sum, &builder)
    y = try part("Dense", ["units": .integer(hidden), "activation": .string("gelu")], mlp.sub("Dense_0", ["mlpblock/layers/dense"]), y, &builder)
    y = try part("Dense", ["units": .integer(width)], mlp.sub("Dense_1", ["mlpblock/layers/dense_1"]), y, &builder)
    return [try builder.e.add(sum, y), attended[1]]
  }
}
