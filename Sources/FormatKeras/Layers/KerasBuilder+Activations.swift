internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// An activation as configurations say it: a name, a function object, or a whole layer.
  mutating func activation(_ json: JSON?, _ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    guard let json else { return x }
    if let name = json.string { return try activation(named: name, x, call) }
    if let name = json["config"]?.string { return try activation(named: name, x, call) }
    guard let className = json["class_name"]?.string else { throw call.wrong("its activation cannot be read") }
    if json["config"]?.object != nil, className != "function" {
      return try activationLayer(LayerCall(layer: try KerasLayer(json), path: call.path.sub(className, ["activation"]), positional: [.tensor(x)], named: [:]))
    }
    return try activation(named: className, x, call)
  }

  mutating func activation(named name: String, _ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    switch name.split(separator: ">").last.map(String.init) ?? name {
    case "linear", "identity": return x
    case "relu": return try e.unary(.relu, x, "Relu")
    case "sigmoid": return try e.unary(.sigmoid, x, "Sigmoid")
    case "tanh": return try e.unary(.tanh, x, "Tanh")
    case "softmax": return try e.softmax(x)
    case "log_softmax": return try e.emit(.softmax(.logSoftmax(axis: -1)), [x], "LogSoftmax")
    case "elu": return try e.unary(.elu(alpha: 1), x, "Elu")
    case "selu": return try e.unary(.selu(alpha: 1.6732632423543772, gamma: 1.0507009873554805), x, "Selu")
    case "softplus": return try e.unary(.softplus, x, "Softplus")
    case "softsign": return try e.unary(.softsign, x, "Softsign")
    case "exponential": return try e.unary(.exp, x, "Exp")
    case "mish": return try e.multiply(x, try e.unary(.tanh, try e.unary(.softplus, x, "Softplus"), "Tanh"))
    case "relu6": return try e.clip(x, 0, 6)
    case "gelu": return try gelu(x, approximate: false)
    case "silu", "swish": return try e.multiply(x, try e.unary(.sigmoid, x, "Sigmoid"))
    case "leaky_relu": return try e.unary(.leakyRelu(alpha: 0.2), x, "LeakyRelu")
    case "hard_sigmoid": return try hardSigmoid(x)
    case "hard_silu", "hard_swish": return try e.multiply(x, try hardSigmoid(x))
    case "celu": return try celu(x, 1)
    case "glu": return try glu(x, axis: -1, call)
    case "tanh_shrink": return try e.subtract(x, try e.unary(.tanh, x, "Tanh"))
    case "hard_tanh": return try e.clip(x, -1, 1)
    case "soft_shrink": return try softShrink(x, 0.5)
    case "hard_shrink": return try hardShrink(x, 0.5)
    case "sparse_plus":
      let square = try e.add(x, 1)
      let middle = try e.multiply(try e.multiply(square, square), 0.25)
      let high = try e.emit(.binary(.greaterOrEqual), [x, try e.scalar(1, like: x)], "GreaterOrEqual")
      let low = try e.emit(.binary(.lessOrEqual), [x, try e.scalar(-1, like: x)], "LessOrEqual")
      return try e.select(low, try e.scalar(0, like: x), try e.select(high, x, middle))
    case "sparse_sigmoid": return try e.clip(try e.add(try e.multiply(x, 0.5), 0.5), 0, 1)
    case "squareplus": return try squareplus(x, 4)
    case "log_sigmoid": return try e.unary(.neg, try e.unary(.softplus, try e.unary(.neg, x, "Neg"), "Softplus"), "Neg")
    case "sparsemax": return try sparsemax(x, axis: -1, call)
    default: throw Failure(.unknownOperator, "the activation '\(name)' is not known", at: .element(call.path.name))
    }
  }

  /// Keras 3: relu6(x + 3)/6. Keras 2: clip(0.2·x + 0.5, 0, 1).
  mutating func hardSigmoid(_ x: ValueID) throws(Failure) -> ValueID {
    try e.unary(version == 2 ? .hardSigmoid(alpha: 0.2, beta: 0.5) : .hardSigmoid(alpha: 1.0 / 6, beta: 0.5), x, "HardSigmoid")
  }

  /// Spelled with operators that every operator set has.
  mutating func gelu(_ x: ValueID, approximate: Bool) throws(Failure) -> ValueID {
    if approximate {
      let cube = try e.multiply(try e.multiply(x, x), x)
      let inner = try e.multiply(try e.add(x, try e.multiply(cube, 0.044715)), 0.7978845608028654)
      let factor = try e.add(try e.unary(.tanh, inner, "Tanh"), 1)
      return try e.multiply(try e.multiply(x, 0.5), factor)
    }
    let inner = try e.unary(.erf, try e.divide(x, 2.0.squareRoot()), "Erf")
    return try e.multiply(try e.multiply(x, try e.add(inner, 1)), 0.5)
  }

  mutating func activationLayer(_ call: LayerCall) throws(Failure) -> ValueID {
    let x = try input(call)
    switch call.layer.className {
    case "ReLU", "ThresholdedReLU":
      let slope = call.config["negative_slope"]?.double ?? 0
      let threshold = call.config["threshold"]?.double ?? call.config["theta"]?.double ?? 0
      var y = x
      if threshold == 0, slope == 0 {
        y = try e.unary(.relu, x, "Relu")
      } else if threshold == 0 {
        y = try e.unary(.leakyRelu(alpha: Float(slope)), x, "LeakyRelu")
      } else {
        let above = try e.emit(.binary(.greaterOrEqual), [x, try e.scalar(threshold, like: x)], "GreaterOrEqual")
        y = try e.select(above, x, try e.multiply(try e.add(x, -threshold), slope))
      }
      if let highest = call.config["max_value"]?.double { y = try e.clip(y, nil, highest) }
      return y
    case "LeakyReLU":
      return try e.unary(.leakyRelu(alpha: Float(call.config["negative_slope"]?.double ?? call.config["alpha"]?.double ?? 0.3)), x, "LeakyRelu")
    case "PReLU": return try e.emit(.binary(.prelu), [x, try variable(call, ["alpha"], 0)], "PRelu")
    case "ELU": return try e.unary(.elu(alpha: Float(call.number("alpha", 1))), x, "Elu")
    case "SELU": return try activation(named: "selu", x, call)
    case "GELU": return try gelu(x, approximate: call.flag("approximate", false))
    default:
      let mask = call.argument(1, "mask")
      var y = x
      if let mask {
        let condition = try value(mask, call)
        y = try e.select(condition, x, try e.add(x, try e.element(x) == .float16 ? -3e4 : -1e9))
      }
      return try softmax(y, call.config["axis"].map { Argument($0) }, call)
    }
  }
}
