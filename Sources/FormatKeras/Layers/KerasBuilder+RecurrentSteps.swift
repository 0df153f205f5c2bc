internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Steps that are spelled out at most.
  private static var stepLimit: Int { 512 }

  /// The layer as nodes of its own for each step: with masks, and with activations that the operators do not have.
  mutating func unrolled(
    _ layer: RecurrentLayer, _ weights: RecurrentWeights, _ x: ValueID, _ initial: [ValueID]?, mask: ValueID?, zeroesMasked: Bool, wantsSequence: Bool
  ) throws(Failure) -> RecurrentRun {
    let call = layer.call
    let count = try e.size(x, 1)
    guard count > 0, count <= KerasBuilder.stepLimit else { throw call.refused("\(count) steps are more than are spelled out") }
    let (units, gates) = (weights.units, layer.gates)
    let type = try e.element(x)
    func row(_ values: [Double]?, _ label: String, _ builder: inout KerasBuilder) throws(Failure) -> ValueID? {
      guard let values else { return nil }
      return try builder.e.floats(values, dims: [values.count], type, label)
    }
    let kernel = try e.weight("\(call.path.name)/\(layer.hint ?? "")kernel:\(type.name)", weights.kernel)
    let recurrent = try e.weight("\(call.path.name)/\(layer.hint ?? "")recurrent_kernel:\(type.name)", weights.recurrent)
    var projected = try e.matMul(x, kernel)
    if let bias = try row(weights.inputBias, "bias", &self) { projected = try e.add(projected, bias) }
    let stateBias = try row(weights.stateBias, "state_bias", &self)
    // Zeros of the batch's size.
    let zero = try e.multiply(try e.slice(try e.gather(projected, axis: 1, at: 0), axis: 1, from: 0, to: units), 0)
    var state = initial ?? [ValueID](repeating: zero, count: layer.stateCount)
    let activationName = call.config["activation"] ?? .string("tanh")
    let gateName = call.config["recurrent_activation"] ?? .string("sigmoid")
    var outputs = [ValueID?](repeating: nil, count: count)
    var last = zero
    for step in 0..<count {
      let time = layer.isReversed ? count - 1 - step : step
      let input = try e.gather(projected, axis: 1, at: time)
      let before = state
      func part(_ value: ValueID, _ index: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
        gates == 1 ? value : try builder.e.slice(value, axis: 1, from: index * units, to: (index + 1) * units)
      }
      switch layer.kind {
      case .lstm:
        let all = try e.add(input, try e.matMul(state[0], recurrent))
        let i = try activation(gateName, try part(all, 0, &self), call)
        let f = try activation(gateName, try part(all, 1, &self), call)
        let c = try activation(activationName, try part(all, 2, &self), call)
        let o = try activation(gateName, try part(all, 3, &self), call)
        let cell = try e.add(try e.multiply(f, state[1]), try e.multiply(i, c))
        state = [try e.multiply(o, try activation(activationName, cell, call)), cell]
      case .gru:
        let h = state[0]
        let candidate: ValueID
        let z: ValueID
        if layer.isAfter {
          var own = try e.matMul(h, recurrent)
          if let stateBias { own = try e.add(own, stateBias) }
          z = try activation(gateName, try e.add(try part(input, 0, &self), try part(own, 0, &self)), call)
          let r = try activation(gateName, try e.add(try part(input, 1, &self), try part(own, 1, &self)), call)
          candidate = try activation(activationName, try e.add(try part(input, 2, &self), try e.multiply(r, try part(own, 2, &self))), call)
        } else {
          let both = try e.matMul(h, try e.slice(recurrent, axis: 1, from: 0, to: 2 * units))
          z = try activation(gateName, try e.add(try part(input, 0, &self), try part(both, 0, &self)), call)
          let r = try activation(gateName, try e.add(try part(input, 1, &self), try part(both, 1, &self)), call)
          let rest = try e.matMul(try e.multiply(r, h), try e.slice(recurrent, axis: 1, from: 2 * units, to: 3 * units))
          candidate = try activation(activationName, try e.add(try part(input, 2, &self), rest), call)
        }
        state = [try e.add(try e.multiply(z, h), try e.multiply(try e.subtract(try e.scalar(1, like: z), z), candidate))]
      case .simple: state = [try activation(activationName, try e.add(input, try e.matMul(state[0], recurrent)), call)]
      }
      var output = state[0]
      if let mask {
        // A masked step leaves the state as it was, and gives what the step before gave.
        let active = try e.slice(mask, axis: 1, from: time, to: time + 1)
        output = try e.select(active, output, zeroesMasked ? zero : last)
        for index in state.indices { state[index] = try e.select(active, state[index], before[index]) }
      }
      outputs[time] = output
      last = output
    }
    var sequence: ValueID?
    if wantsSequence {
      var rows: [ValueID] = []
      for output in outputs { if let output { rows.append(try e.unsqueeze(output, [1])) } }
      sequence = try e.concat(rows, axis: 1)
    }
    return RecurrentRun(sequence: sequence, last: last, state: state)
  }
}
