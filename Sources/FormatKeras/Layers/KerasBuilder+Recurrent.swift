internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// LSTM, GRU, SimpleRNN, RNN around their cells, and Bidirectional around any of them.
  mutating func recurrent(_ call: LayerCall) throws(Failure) -> [ValueID] {
    var call = call
    // Keras 2 notes initial states as further inputs.
    if case .list(let entries)? = call.positional.first, let first = entries.first, entries.count > 1, call.positional.count == 1 {
      call.positional = [first, .list(Array(entries.dropFirst()))]
    }
    let x = try autocast(try value(call.argument(0, "sequences") ?? call.argument(0, "inputs"), call), call)
    let mask = sequenceMask(call)
    guard call.layer.className == "Bidirectional" else {
      let initial = try initialState(call)
      let isSequence = call.flag("return_sequences", false)
      var run = try run(
        x, call.layer, call.path, attributes: [""], isReversed: call.flag("go_backwards", false), hint: nil, initial: initial, mask: mask,
        wantsSequence: isSequence)
      // Keras leaves the results of a layer that goes backwards in the order in which they were made.
      if let sequence = run.sequence, call.flag("go_backwards", false) { run.sequence = try flipped(sequence, axis: 1) }
      if let sequence = run.sequence, let mask { masks[sequence] = mask }
      let result = isSequence ? run.sequence ?? run.last : run.last
      return call.flag("return_state", false) ? [result] + run.state : [result]
    }
    guard let inner = call.config["layer"] else { throw call.wrong("it holds no layer") }
    let forward = try KerasLayer(inner)
    let backward = try call.config["backward_layer"].map { (json) throws(Failure) in try KerasLayer(json) } ?? forward
    func side(_ word: String, _ layer: KerasLayer) -> String { store.mentions(call.path, word) ? word : layer.name }
    let isSequence = forward.config["return_sequences"]?.bool ?? false
    var given: [[ValueID]] = [[], []]
    if let all = try initialState(call) {
      guard all.count % 2 == 0 else { throw call.wrong("it is given \(all.count) states") }
      given = [Array(all[..<(all.count / 2)]), Array(all[(all.count / 2)...])]
    }
    let left = try run(
      x, forward, call.path, attributes: ["forward_layer"], isReversed: false, hint: side("forward", forward), initial: given[0].isEmpty ? nil : given[0],
      mask: mask, wantsSequence: isSequence)
    let right = try run(
      x, backward, call.path, attributes: ["backward_layer"], isReversed: true, hint: side("backward", backward), initial: given[1].isEmpty ? nil : given[1],
      mask: mask, wantsSequence: isSequence)
    let (a, b) = (left.sequence ?? left.last, right.sequence ?? right.last)
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
    if isSequence, let mask { masks[merged] = mask }
    return [merged] + states
  }

  /// The mask that a layer is called with. Keras 3 notes it on the call, null where there is none; Keras 2 leaves it to
  /// the layers that the value came through.
  func sequenceMask(_ call: LayerCall) -> ValueID? {
    if let given = call.named["mask"] { if case .tensor(let id) = given { return id } else { return nil } }
    if case .tensor(let id)? = call.argument(0, "sequences") ?? call.argument(0, "inputs") { return masks[id] }
    return nil
  }

  mutating func flipped(_ x: ValueID, axis: Int) throws(Failure) -> ValueID {
    try e.slice(x, axis: axis, from: -1, to: Int(Int32.min) + 1, step: -1, "Flip")
  }

  private mutating func initialState(_ call: LayerCall) throws(Failure) -> [ValueID]? {
    guard let given = call.argument(1, "initial_state") else { return nil }
    var result: [ValueID] = []
    for entry in try tensors(given, call) { result.append(try autocast(try value(entry, call), call)) }
    return result
  }

  /// A layer, or the cells that an RNN layer holds, one behind the other.
  private mutating func run(
    _ x: ValueID, _ layer: KerasLayer, _ path: LayerPath, attributes: [String], isReversed: Bool, hint: String?, initial: [ValueID]?, mask: ValueID?,
    wantsSequence: Bool
  ) throws(Failure) -> RecurrentRun {
    var cells = [layer]
    var places = [["cell", ""]]
    if layer.className == "RNN" {
      guard let cell = layer.config["cell"] else { throw Failure(.missingPart, "the layer holds no cell", at: .element(path.name)) }
      cells = [try KerasLayer(cell)]
      if let inner = cells[0].config["cells"]?.array {
        cells = []
        places = []
        var counts: [String: Int] = [:]
        for json in inner {
          let cell = try KerasLayer(json)
          let word = KerasLayer.snakeCase(cell.className)
          places.append(["cell/cells/\(word)" + (counts[word].map { "_\($0)" } ?? "")])
          counts[word, default: 0] += 1
          cells.append(cell)
        }
        guard !cells.isEmpty, cells.count <= 64 else { throw Failure(.badAttribute, "\(cells.count) cells", at: .element(path.name)) }
      }
    }
    var input = x
    var rest = initial?[...]
    var state: [ValueID] = []
    var result: RecurrentRun?
    for (index, cell) in cells.enumerated() {
      var own = path
      own.attributes = path.attributes.flatMap { base in
        attributes.flatMap { side in places[index].map { place in ([base, side, place].filter { !$0.isEmpty }).joined(separator: "/") } }
      }
      if cells.count > 1 {
        own.inner.append(cell.name)
        own.name += "/\(cell.name)"
      }
      let recurrent = try RecurrentLayer(LayerCall(layer: cell, path: own, positional: [], named: [:]), isReversed: isReversed, hint: hint)
      var given: [ValueID]?
      if let all = rest {
        guard all.count >= recurrent.stateCount else { throw recurrent.call.wrong("it is given too few states") }
        given = Array(all.prefix(recurrent.stateCount))
        rest = all.dropFirst(recurrent.stateCount)
      }
      let isLast = index == cells.count - 1
      let zeroes = isLast && (layer.config["zero_output_for_mask"]?.bool ?? false)
      let made = try run(recurrent, input, given, mask: mask, zeroesMasked: zeroes, wantsSequence: wantsSequence || !isLast)
      if let sequence = made.sequence { input = sequence }
      state += made.state
      result = made
    }
    guard var result, rest?.isEmpty ?? true else { throw Failure(.badAttribute, "the layer is given too many states", at: .element(path.name)) }
    result.state = state
    return result
  }

  private mutating func run(
    _ layer: RecurrentLayer, _ x: ValueID, _ initial: [ValueID]?, mask: ValueID?, zeroesMasked: Bool, wantsSequence: Bool
  ) throws(Failure) -> RecurrentRun {
    let outer = e.scope
    if let hint = layer.hint { e.scope = "\(outer)/\(hint)" }
    defer { e.scope = outer }
    let weights = try RecurrentWeights(layer, x, &self)
    // ONNX's operators have a length for each sample, not a mask, and a fixed set of activations.
    if mask == nil, let names = OperatorActivations(layer, version: version) {
      return try operatorRun(layer, weights, x, initial, names, wantsSequence: wantsSequence)
    }
    return try unrolled(layer, weights, x, initial, mask: mask, zeroesMasked: zeroesMasked, wantsSequence: wantsSequence)
  }

  // MARK: As one operator

  /// LSTM, GRU or RNN of ONNX (version 14): gates in its order, (time, batch, width), and back.
  private mutating func operatorRun(
    _ layer: RecurrentLayer, _ weights: RecurrentWeights, _ x: ValueID, _ initial: [ValueID]?, _ names: OperatorActivations, wantsSequence: Bool
  ) throws(Failure) -> RecurrentRun {
    let units = weights.units
    // Keras: i, f, c, o and z, r, h. ONNX: i, o, f, c and z, r, h.
    let order = layer.kind == .lstm ? [0, 3, 1, 2] : Array(0..<layer.gates)
    let type = try e.element(x)
    func packed(_ tensor: Tensor, _ label: String, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      try builder.e.weight("\(layer.call.path.name)/\(layer.hint ?? "")\(label):\(type.name)") { () throws(Failure) in
        let rows = try tensor.transposed([1, 0]).pickingBlocks(order, of: units)
        return try rows.reshaped([1] + rows.dims)
      }
    }
    let w = try packed(weights.kernel, "W", &self)
    let r = try packed(weights.recurrent, "R", &self)
    var bias: ValueID?
    if weights.inputBias != nil || weights.stateBias != nil {
      var numbers: [Double] = []
      for part in [weights.inputBias, weights.stateBias] {
        let values = part ?? [Double](repeating: 0, count: layer.gates * units)
        for gate in order { numbers += values[gate * units..<(gate + 1) * units] }
      }
      bias = try e.weight("\(layer.call.path.name)/\(layer.hint ?? "")B:\(type.name)") { () throws(Failure) in
        try Tensor.filled(numbers, dims: [1, numbers.count], type)
      }
    }
    var attributes: [String: AttributeData] = [
      "hidden_size": .int(units), "direction": .string(Array((layer.isReversed ? "reverse" : "forward").utf8)),
      "activations": .strings(names.words.map { Array($0.utf8) }),
    ]
    if !names.alphas.isEmpty { attributes["activation_alpha"] = .floats(names.alphas) }
    if !names.betas.isEmpty { attributes["activation_beta"] = .floats(names.betas) }
    let kind: CataloguedOp.Kind
    switch layer.kind {
    case .lstm: kind = .lstm
    case .gru:
      kind = .gru
      attributes["linear_before_reset"] = .int(layer.isAfter ? 1 : 0)
    case .simple: kind = .rnn
    }
    var operands: [ValueID?] = [try e.transpose(x, [1, 0, 2]), w, r, bias, nil]
    for state in initial ?? [] { operands.append(try e.unsqueeze(state, [0])) }
    let label = layer.kind == .lstm ? "LSTM" : layer.kind == .gru ? "GRU" : "RNN"
    let results = try e.emit(.catalogued(try CataloguedOp(kind, attributes)), operands.droppingLastNil, label, count: layer.kind == .lstm ? 3 : 2)
    let state = try results.dropFirst().map { (value) throws(Failure) in try e.squeeze(value, [0]) }
    // (time, 1, batch, units)
    let sequence = wantsSequence ? try e.transpose(try e.squeeze(results[0], [1]), [1, 0, 2]) : nil
    return RecurrentRun(sequence: sequence, last: state[0], state: state)
  }
}

/// Keras's activations as the recurrent operators of ONNX name them; nil where one of them has no name there.
private struct OperatorActivations {
  private(set) var words: [String] = []
  private(set) var alphas: [Float] = []
  private(set) var betas: [Float] = []

  init?(_ layer: RecurrentLayer, version: Int) {
    let own = layer.call.config["activation"]
    let gate = layer.call.config["recurrent_activation"]
    let names: [(JSON?, String)] =
      switch layer.kind {
      case .lstm: [(gate, "sigmoid"), (own, "tanh"), (own, "tanh")]
      case .gru: [(gate, "sigmoid"), (own, "tanh")]
      case .simple: [(own, "tanh")]
      }
    for (json, standard) in names {
      let name = json == nil ? standard : json?.string ?? json?["config"]?.string
      switch name {
      case "tanh": words.append("Tanh")
      case "sigmoid": words.append("Sigmoid")
      case "relu": words.append("Relu")
      case "softsign": words.append("Softsign")
      case "softplus": words.append("Softplus")
      case "hard_sigmoid":
        words.append("HardSigmoid")
        alphas.append(version == 2 ? 0.2 : 1.0 / 6)
        betas.append(0.5)
      case "elu":
        words.append("Elu")
        alphas.append(1)
      case "linear":
        words.append("Affine")
        alphas.append(1)
        betas.append(0)
      default: return nil
      }
    }
  }
}

extension Tensor {
  /// Blocks of rows in another order.
  func pickingBlocks(_ order: [Int], of rows: Int) throws(Failure) -> Tensor {
    if order == Array(order.indices) { return self }
    guard let first = dims.first, first == rows * order.count else { throw Failure(.shapeMismatch, "\(Shape(dims)) in blocks of \(rows)") }
    let blocks = try reshaped([order.count, rows] + dims.dropFirst())
    guard let values = blocks.doubles() else { throw Failure(.typeMismatch, "\(elementType.name) cannot be reordered here") }
    let size = values.count / order.count
    return try Tensor.filled(order.flatMap { values[$0 * size..<($0 + 1) * size] }, dims: dims, elementType)
  }
}
