internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// One recurrent layer in one direction.
struct RecurrentLayer {
  enum Kind { case lstm, gru, simple }
  var kind: Kind
  var call: LayerCall
  /// Whether time runs backwards.
  var isReversed: Bool
  /// Tells the variables of the two directions of a bidirectional layer apart.
  var hint: String?

  var gates: Int {
    switch kind {
    case .lstm: 4
    case .gru: 3
    case .simple: 1
    }
  }
  var stateCount: Int { kind == .lstm ? 2 : 1 }
  var isAfter: Bool { kind == .gru && call.flag("reset_after", true) }

  init(_ call: LayerCall, isReversed: Bool, hint: String?) throws(Failure) {
    switch call.layer.className {
    case "LSTM", "LSTMCell", "CuDNNLSTM": kind = .lstm
    case "GRU", "GRUCell", "CuDNNGRU": kind = .gru
    case "SimpleRNN", "SimpleRNNCell": kind = .simple
    default: throw call.refused("a recurrent layer of class \(call.layer.className)")
    }
    self.call = call
    self.isReversed = isReversed
    self.hint = hint
  }
}

/// What a recurrent layer gives: a value for each step in the order of time, if it was asked for, and the last state.
struct RecurrentRun {
  var sequence: ValueID?
  /// The last output; the state's first part, except where a mask zeroes outputs.
  var last: ValueID
  var state: [ValueID]
}

/// The variables of one recurrent layer.
struct RecurrentWeights {
  let units: Int
  /// (input, gates·units) and (units, gates·units), in the type the layer computes in.
  let kernel, recurrent: Tensor
  let inputBias, stateBias: [Double]?

  init(_ layer: RecurrentLayer, _ x: ValueID, _ builder: inout KerasBuilder) throws(Failure) {
    let call = layer.call
    let units = try call.positive("units")
    self.units = units
    guard units < 1 << 24, try builder.e.rank(x) == 3 else { throw call.wrong("\(units) units for an input of rank \(try builder.e.rank(x))") }
    let (rows, gates) = (try builder.e.size(x, 2), layer.gates)
    let type = try builder.e.element(x)
    let store = builder.store
    func matrix(_ name: String, _ index: Int, _ rows: Int) throws(Failure) -> Tensor {
      let tensor = try store.variable(call.path, [name], index, hint: layer.hint)
      try KerasBuilder.check(tensor, [rows, gates * units], "\(call.path.name)/\(name)")
      return try tensor.converted(to: type)
    }
    kernel = try matrix("kernel", 0, rows)
    recurrent = try matrix("recurrent_kernel", 1, units)
    guard call.flag("use_bias", true) else {
      (inputBias, stateBias) = (nil, nil)
      return
    }
    let tensor = try store.variable(call.path, ["bias"], 2, hint: layer.hint)
    try KerasBuilder.check(tensor, layer.isAfter ? [2, gates * units] : [gates * units], "\(call.path.name)/bias")
    guard let values = tensor.doubles() else { throw call.wrong("its bias is \(tensor.type)") }
    inputBias = Array(values.prefix(gates * units))
    stateBias = layer.isAfter ? Array(values.suffix(gates * units)) : nil
  }
}
