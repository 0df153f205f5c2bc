internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// What activates a perceptron, where no weight tells it.
enum Activation: String {
  case gelu = "GELU"
  case geluTanh = "GELU by tanh"
  case quickGelu = "x·sigmoid(1.702·x)"
  case relu = "ReLU"
  case silu = "SiLU"

  /// From Transformers' `hidden_act`; nil for one that no template has.
  init?(configured name: String) {
    switch name {
    case "gelu", "gelu_python": self = .gelu
    case "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_tanh", "gelu_accurate", "gelu_python_tanh": self = .geluTanh
    case "quick_gelu": self = .quickGelu
    case "relu": self = .relu
    case "silu", "swish": self = .silu
    default: return nil
    }
  }
}

/// What templates of PyTorch models are made of: linear layers (out, in), convolutions (out, in, kh, kw), normalizations.
struct TorchBuilder {
  var e: Emitter
  let weights: StateDictionary

  init(_ weights: StateDictionary, name: String) {
    self.weights = weights
    e = Emitter(name: name)
  }

  /// A weight in float32, whatever it is stored in.
  mutating func weight(_ name: String, _ dims: [Int?]? = nil, transposed: Bool = false) throws(Failure) -> ValueID {
    let weights = weights
    return try e.weight(name) { () throws(Failure) in
      var tensor = try weights.tensor(name, dims)
      if tensor.elementType != .float32 {
        guard let values = tensor.floats() else { throw Failure(.typeMismatch, "the weight is \(tensor.type)", at: .element(name)) }
        tensor = try Tensor(float32: values, dims: tensor.dims)
      }
      return transposed ? try tensor.transposed([1, 0]) : tensor
    }
  }

  /// x·Wᵀ + b
  mutating func linear(_ x: ValueID, _ name: String, out: Int? = nil) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, try e.rank(x) - 1)
    let y = try e.matMul(x, try weight("\(name).weight", [out, width], transposed: true))
    return weights.has("\(name).bias") ? try e.add(y, try weight("\(name).bias", [out])) : y
  }

  /// LayerNorm; RMSNorm where there is no bias (Zhang and Sennrich 2019); a factor and a term alone where those are called
  /// alpha and beta (ResMLP's affine layer).
  mutating func normalized(_ x: ValueID, _ name: String, epsilon: Double) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, try e.rank(x) - 1)
    if weights.has("\(name).alpha") {
      return try e.add(try e.multiply(x, try weight("\(name).alpha", [1, 1, width])), try weight("\(name).beta", [1, 1, width]))
    }
    let scale = try weight("\(name).weight", [width])
    weights.normalizes(epsilon)
    guard weights.has("\(name).bias") else {
      weights.assume("norms without a bias are RMSNorm")
      let squares = try e.reduce(.mean, try e.multiply(x, x), axes: [-1], keep: true, "ReduceMean")
      return try e.multiply(try e.divide(x, try e.unary(.sqrt, try e.add(squares, epsilon), "Sqrt")), scale)
    }
    return try e.emit(
      .normalization(.layer(axis: -1, epsilon: Float(epsilon))), [x, scale, try weight("\(name).bias", [width])], "LayerNormalization")
  }

  mutating func batchNormalized(_ x: ValueID, _ name: String) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let width = try e.size(x, 1)
    return try e.emit(
      .normalization(.batch(epsilon: 1e-5)),
      [
        x, try weight("\(name).weight", [width]), try weight("\(name).bias", [width]), try weight("\(name).running_mean", [width]),
        try weight("\(name).running_var", [width]),
      ],
      "BatchNormalization")
  }

  mutating func convolution(_ x: ValueID, _ name: String, stride: [Int], padding: [Int] = [0, 0, 0, 0], groups: Int = 1) throws(Failure) -> ValueID {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    let kernel = try weight("\(name).weight", [nil, nil, nil, nil])
    let dims = try e.shape(kernel).compactMap(\.value)
    let bias = weights.has("\(name).bias") ? try weight("\(name).bias", [dims[0]]) : nil
    let window = Window(kernel: [dims[2], dims[3]], strides: stride, dilations: [1, 1], padding: .explicit(padding))
    return try e.emit(.convolution(.conv(window, groups: groups)), [x, kernel, bias].droppingLastNil, "Conv")
  }

  mutating func activated(_ x: ValueID, _ activation: Activation) throws(Failure) -> ValueID {
    weights.activates(activation)
    switch activation {
    case .gelu:
      let inner = try e.unary(.erf, try e.divide(x, 2.0.squareRoot()), "Erf")
      return try e.multiply(try e.multiply(x, try e.add(inner, 1)), 0.5)
    case .geluTanh:
      let cube = try e.multiply(try e.multiply(x, x), x)
      let inner = try e.multiply(try e.add(x, try e.multiply(cube, 0.044715)), 0.7978845608028654)
      return try e.multiply(try e.multiply(x, 0.5), try e.add(try e.unary(.tanh, inner, "Tanh"), 1))
    case .quickGelu: return try e.multiply(x, try e.unary(.sigmoid, try e.multiply(x, 1.702), "Sigmoid"))
    case .relu: return try e.unary(.relu, x, "Relu")
    case .silu: return try e.multiply(x, try e.unary(.sigmoid, x, "Sigmoid"))
    }
  }

  /// fc1, activation, fc2; or one of the gated forms (Shazeer 2020), told by names and by a second half that fc2 does not take.
  ///
  /// - Parameters:
  ///   - activation: that of the plain form; gated ones have SiLU.
  ///   - gatesLast: which half of a packed first layer is activated.
  mutating func perceptron(
    _ x: ValueID, _ name: String, activation: Activation? = nil, gatesLast: Bool = false, epsilon: Double? = nil
  ) throws(Failure) -> ValueID {
    let outer = e.scope
    defer { e.scope = outer }
    let activation = activation ?? weights.activation()
    let epsilon = epsilon ?? weights.epsilon ?? 1e-6
    let (first, second) =
      weights.has("\(name).weights_in.weight")
      ? ("weights_in", "weights_out") : weights.has("\(name).fc1_x.weight") ? ("fc1_x", "fc2") : ("fc1", "fc2")
    var inner: ValueID
    if weights.has("\(name).fc1_g.weight") {
      let gate = try linear(x, "\(name).fc1_g")
      let value = try linear(x, "\(name).fc1_x")
      e.scope = "\(name).act"
      inner = try e.multiply(try activated(gate, .silu), value)
    } else if let wide = weights.weights["\(name).\(first).weight"]?.dims.first, let narrow = weights.weights["\(name).\(second).weight"]?.dims.last,
      wide == 2 * narrow, !weights.has("\(name).gate.proj.weight")
    {
      let both = try linear(x, "\(name).\(first)")
      e.scope = "\(name).act"
      let axis = try e.rank(both) - 1
      let halves = (try e.slice(both, axis: axis, from: 0, to: narrow), try e.slice(both, axis: axis, from: narrow, to: wide))
      weights.assume("the \(gatesLast ? "second" : "first") half of a gated perceptron is its gate, through SiLU")
      inner = gatesLast ? try e.multiply(halves.0, try activated(halves.1, .silu)) : try e.multiply(try activated(halves.0, .silu), halves.1)
    } else {
      inner = try linear(x, "\(name).\(first)")
      e.scope = "\(name).act"
      inner = try activated(inner, activation)
      if weights.has("\(name).gate.proj.weight") { inner = try spatiallyGated(inner, "\(name).gate") }
    }
    if weights.has("\(name).norm.weight") { inner = try normalized(inner, "\(name).norm", epsilon: epsilon) }
    return try linear(inner, "\(name).\(second)")
  }

  /// u·(W·LN(v) + b) over tokens, for the halves u and v of the channels (gMLP, Liu et al. 2021).
  private mutating func spatiallyGated(_ x: ValueID, _ name: String) throws(Failure) -> ValueID {
    e.scope = name
    let width = try e.size(x, 2)
    guard width % 2 == 0 else { throw Failure(.shapeMismatch, "a gate over \(width) channels", at: .element(name)) }
    let (value, gate) = (try e.slice(x, axis: 2, from: 0, to: width / 2), try e.slice(x, axis: 2, from: width / 2, to: width))
    // PyTorch's own epsilon, whatever the other norms have.
    let turned = try e.transpose(try normalized(gate, "\(name).norm", epsilon: 1e-5), [0, 2, 1])
    let mixed = try linear(turned, "\(name).proj")
    e.scope = name
    return try e.multiply(value, try e.transpose(mixed, [0, 2, 1]))
  }

  /// The bias of a packed projection where it is not simply stored: BEiT and Swin V2 have none for keys, which torchvision stores
  /// and passes over, and DINOv3's authors mask.
  private func packedBias(_ name: String, width: Int) throws(Failure) -> Tensor? {
    if weights.has("\(name).q_bias"), let query = try weights.tensor("\(name).q_bias", [width]).floats(),
      let value = try weights.tensor("\(name).v_bias", [width]).floats()
    {
      return try Tensor(float32: query + [Float](repeating: 0, count: width) + value, dims: [3 * width])
    }
    let isMasked = weights.has("\(name).qkv.bias_mask")
    let isPassedOver = weights.library == .torchvision && weights.has("\(name).logit_scale")
    guard isMasked || isPassedOver, weights.has("\(name).qkv.bias"), var values = try weights.tensor("\(name).qkv.bias", [3 * width]).floats() else {
      return nil
    }
    if isMasked { _ = try weights.tensor("\(name).qkv.bias_mask", [3 * width]) }
    values.replaceSubrange(width..<2 * width, with: [Float](repeating: 0, count: width))
    return try Tensor(float32: values, dims: [3 * width])
  }

  /// Queries, keys and values (B, h, T, d) from a packed projection or three.
  mutating func projections(_ x: ValueID, _ name: String, heads: Int, headDim: Int) throws(Failure) -> (ValueID, ValueID, ValueID) {
    let outer = e.scope
    e.scope = name
    defer { e.scope = outer }
    guard let width = [heads, headDim].checkedProduct, width < 1 << 24 else { throw Failure(.sizeOverflow, "too many heads", at: .element(name)) }
    if weights.has("\(name).qkv.weight") {
      let packed: ValueID
      if let bias = try packedBias(name, width: width) {
        let weight = try weight("\(name).qkv.weight", [3 * width, try e.size(x, 2)], transposed: true)
        packed = try e.add(try e.matMul(x, weight), try e.weight("\(name).qkv.bias", bias))
      } else {
        packed = try linear(x, "\(name).qkv", out: 3 * width)
      }
      e.scope = name
      let dims = try e.shape(packed)
      let parts = try e.transpose(try e.reshape(packed, [dims[0], dims[1], 3, Dim(heads), Dim(headDim)]), [2, 0, 3, 1, 4])
      return (try e.gather(parts, axis: 0, at: 0), try e.gather(parts, axis: 0, at: 1), try e.gather(parts, axis: 0, at: 2))
    }
    func part(_ which: String, _ b: inout TorchBuilder) throws(Failure) -> ValueID {
      let y = try b.linear(x, "\(name).\(which)", out: width)
      b.e.scope = name
      let dims = try b.e.shape(y)
      return try b.e.transpose(try b.e.reshape(y, [dims[0], dims[1], Dim(heads), Dim(headDim)]), [0, 2, 1, 3])
    }
    return (try part("q", &self), try part("k", &self), try part("v", &self))
  }

  /// (B, C, H, W) to (B, H·W, C)
  mutating func tokens(_ x: ValueID) throws(Failure) -> ValueID {
    let dims = try e.shape(x)
    guard let count = dims[2].multiplied(by: dims[3]) else { throw Failure(.sizeOverflow, "too many patches", at: .element(e.scope)) }
    return try e.transpose(try e.reshape(x, [dims[0], dims[1], count]), [0, 2, 1])
  }

  mutating func image(channels: Int, height: Int, width: Int) -> ValueID {
    e.input("x", TensorType(.float32, Shape([Dim(symbol: "batch"), Dim(channels), Dim(height), Dim(width)])))
  }
}
