internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Steps that are spelled out at most.
  private static let stepLimit = 512

  /// LSTM, GRU and SimpleRNN, step by step, and Bidirectional around them.
  mutating func recurrent(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let x = try autocast(try value(call.argument(0, "sequences") ?? call.argument(0, "inputs"), call), call)
    guard call.layer.className == "Bidirectional" else {
      var path = call.path
      path.attributes = call.path.attributes.flatMap { ["\($0)/cell", $0] }
      let run = try steps(x, call.layer, path, call, reversed: call.flag("go_backwards", false), hint: nil)
      return results(run, call.layer, mask: sequenceMask(call))
    }
    guard let inner = call.config["layer"] else { throw call.wrong("it holds no layer") }
    let forward = try KerasLayer(inner)
    let backward = try call.config["backward_layer"].map { (json) throws(Failure) in try KerasLayer(json) } ?? forward
    func path(_ side: String) -> LayerPath {
      var result = call.path
      result.attributes = call.path.attributes.flatMap { ["\($0)/\(side)_layer/cell", "\($0)/\(side)_layer"] }
      return result
    }
    let left = try steps(x, forward, path("forward"), call, reversed: false, hint: "forward")
    let right = try steps(x, backward, path("backward"), call, reversed: true, hint: "backward")
    let isSequence = forward.config["return_sequences"]?.bool ?? false
    // In the order of time again.
    let (a, b) = isSequence ? (try stacked(left.outputs), try stacked(right.outputs.reversed())) : (left.state[0], right.state[0])
    let states = forward.config["return_state"]?.bool ?? false ? left.state + right.state : []
    guard let mode = call.config.object?["merge_mode"]?.string ?? (call.config.object?["merge_mode"] == nil ? "concat" : nil) else { return [a, b] + states }
    let merged: ValueID
    switch mode {
    case "concat": merged = try e.concat([a, b], axis: try e.rank(a) - 1)
    case "sum": merged = try e.add(a, b)
    case "mul": merged = try e.multiply(a, b)
    case "ave": merged = try e.divide(try e.add(a, b), 2)
    default: throw call.wrong("'merge_mode' is '\(mode)'")
    }
    if isSequence, let mask = sequenceMask(call) { masks[merged] = mask }
    return [merged] + states
  }

  private func sequenceMask(_ call: LayerCall) -> ValueID? {
    if case .tensor(let id)? = call.argument(0, "sequences") ?? call.argument(0, "inputs") { masks[id] } else { nil }
  }

  private struct Run {
    /// In the order in which steps were taken.
    var outputs: [ValueID]
    var state: [ValueID]
    var stacked: ValueID?
  }

  private mutating func results(_ run: Run, _ layer: KerasLayer, mask: ValueID?) -> [ValueID] {
    var values = [run.state[0]]
    if layer.config["return_sequences"]?.bool ?? false, let stacked = run.stacked {
      values = [stacked]
      if let mask { masks[stacked] = mask }
    }
    return layer.config["return_state"]?.bool ?? false ? values + run.state : values
  }

  private mutating func stacked(_ values: [ValueID]) throws(Failure) -> ValueID {
    var rows: [ValueID] = []
    for value in values { rows.append(try e.unsqueeze(value, [1])) }
    return try e.concat(rows, axis: 1)
  }

  private mutating func steps(
    _ x: ValueID, _ layer: KerasLayer, _ path: LayerPath, _ call: LayerCall, reversed: Bool, hint: String?
  ) throws(Failure) -> Run {
    let inner = LayerCall(layer: layer, path: path, positional: [], named: [:])
    let units = try inner.positive("units")
    let count = try e.size(x, 1)
    guard count <= KerasBuilder.stepLimit else { throw call.refused("\(count) steps are more than are spelled out") }
    let width = try e.size(x, 2)
    let gates: Int
    switch layer.className {
    case "LSTM": gates = 4
    case "GRU": gates = 3
    case "SimpleRNN": gates = 1
    default: throw call.refused("a recurrent layer of class \(layer.className)")
    }
    guard units < 1 << 24 else { throw call.wrong("\(units) units") }
    let kernel = try variable(inner, path, ["kernel"], 0, dims: [width, gates * units], hint: hint)
    let recurrent = try variable(inner, path, ["recurrent_kernel"], 1, dims: [units, gates * units], hint: hint)
    let isAfter = layer.className == "GRU" && inner.flag("reset_after", true)
    var inputBias: ValueID?
    var stateBias: ValueID?
    if inner.flag("use_bias", true) {
      let bias = try variable(inner, path, ["bias"], 2, dims: isAfter ? [2, gates * units] : [gates * units], hint: hint)
      if isAfter {
        inputBias = try e.gather(bias, axis: 0, at: 0)
        stateBias = try e.gather(bias, axis: 0, at: 1)
      } else {
        inputBias = bias
      }
    }
    var projected = try e.matMul(x, kernel)
    if let inputBias { projected = try e.add(projected, inputBias) }
    // Zeros of the batch's size.
    let zero = try e.multiply(try e.slice(try e.gather(projected, axis: 1, at: 0), axis: 1, from: 0, to: units), 0)
    var state = try initialState(call, layer) ?? (layer.className == "LSTM" ? [zero, zero] : [zero])
    let mask = sequenceMask(call)
    var outputs: [ValueID] = []
    let activationName = layer.config["activation"]
    let gateName = layer.config["recurrent_activation"]
    let outer = e.scope
    e.scope = hint.map { "\(outer)/\($0)" } ?? outer
    defer { e.scope = outer }
    for step in 0..<count {
      let time = reversed ? count - 1 - step : step
      let input = try e.gather(projected, axis: 1, at: time)
      let before = state
      func part(_ value: ValueID, _ index: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
        gates == 1 ? value : try builder.e.slice(value, axis: 1, from: index * units, to: (index + 1) * units)
      }
      switch layer.className {
      case "LSTM":
        let all = try e.add(input, try e.matMul(state[0], recurrent))
        let i = try gate(gateName, try part(all, 0, &self), inner)
        let f = try gate(gateName, try part(all, 1, &self), inner)
        let c = try activation(activationName, try part(all, 2, &self), inner)
        let o = try gate(gateName, try part(all, 3, &self), inner)
        let cell = try e.add(try e.multiply(f, state[1]), try e.multiply(i, c))
        state = [try e.multiply(o, try activation(activationName, cell, inner)), cell]
      case "GRU":
        let h = state[0]
        let candidate: ValueID
        let z: ValueID
        if isAfter {
          var own = try e.matMul(h, recurrent)
          if let stateBias { own = try e.add(own, stateBias) }
          z = try gate(gateName, try e.add(try part(input, 0, &self), try part(own, 0, &self)), inner)
          let r = try gate(gateName, try e.add(try part(input, 1, &self), try part(own, 1, &self)), inner)
          candidate = try activation(activationName, try e.add(try part(input, 2, &self), try e.multiply(r, try part(own, 2, &self))), inner)
        } else {
          let both = try e.matMul(h, try e.slice(recurrent, axis: 1, from: 0, to: 2 * units))
          z = try gate(gateName, try e.add(try part(input, 0, &self), try part(both, 0, &self)), inner)
          let r = try gate(gateName, try e.add(try part(input, 1, &self), try part(both, 1, &self)), inner)
          let rest = try e.matMul(try e.multiply(r, h), try e.slice(recurrent, axis: 1, from: 2 * units, to: 3 * units))
          candidate = try activation(activationName, try e.add(try part(input, 2, &self), rest), inner)
        }
        state = [try e.add(try e.multiply(z, h), try e.multiply(try e.subtract(try e.scalar(1, like: z), z), candidate))]
      default: state = [try activation(activationName, try e.add(input, try e.matMul(state[0], recurrent)), inner)]
      }
      if let mask {
        // A masked step leaves the state as it was.
        let active = try e.slice(mask, axis: 1, from: time, to: time + 1)
        for index in state.indices { state[index] = try e.select(active, state[index], before[index]) }
      }
      outputs.append(state[0])
    }
    let isSequence = hint == nil && layer.config["return_sequences"]?.bool ?? false
    return Run(outputs: outputs, state: state, stacked: isSequence ? try stacked(outputs) : nil)
  }

  private mutating func gate(_ name: JSON?, _ x: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    name == nil ? try e.unary(.sigmoid, x, "Sigmoid") : try activation(name, x, call)
  }

  private mutating func initialState(_ call: LayerCall, _ layer: KerasLayer) throws(Failure) -> [ValueID]? {
    guard let given = call.argument(1, "initial_state") else { return nil }
    guard call.layer.className != "Bidirectional" else { throw call.refused("initial states") }
    var result: [ValueID] = []
    for entry in try tensors(given, call) { result.append(try autocast(try value(entry, call), call)) }
    guard result.count == (layer.className == "LSTM" ? 2 : 1) else { throw call.wrong("it is given \(result.count) states") }
    return result
  }
}
