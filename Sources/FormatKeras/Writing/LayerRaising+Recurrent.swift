internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension LayerRaising {
  /// LSTM, GRU and RNN (ONNX 22) as Keras's LSTM, GRU and SimpleRNN, in a Bidirectional layer where they run both ways.
  mutating func recurrent(_ op: CataloguedOp, _ site: RaisingSite) throws(Failure) {
    let form = try RecurrentForm(op, site, self)
    let sequences = try standing(site.node.input(0))
    guard sequences.order.count == 3 else { throw refusal(site, "its input has not three axes") }
    // (batch, time, channel)
    let x = try turned(sequences, to: form.isBatchFirst ? [0, 1, 2] : [1, 0, 2])
    let mask = try lengthMask(x, site)
    let initial = try initialStates(form, x, site)

    func isRead(_ value: ValueID?) -> Bool { value.map { !uses.readers(of: $0).isEmpty || uses.isOutput($0) } ?? false }
    let wantsSequence = isRead(site.node.output(0))
    let wantsCell = isRead(site.node.output(2))
    // Where nothing is masked, the output of a layer that gives no sequence is the last state.
    let givesStates = wantsCell || (isRead(site.node.output(1)) && (wantsSequence || mask != nil))
    let shared: [String: JSON] = [
      "return_sequences": .bool(wantsSequence), "return_state": .bool(givesStates), "zero_output_for_mask": .bool(mask != nil && wantsSequence),
    ]
    var keywords: [String: CallArgument] = [:]
    if let mask { keywords["mask"] = .tensor(mask) }
    if !initial.isEmpty { keywords["initial_state"] = .list(initial.map { .tensor($0) }) }

    let (batch, time, units) = (x.dims[0], x.dims[1], form.units)
    let count = form.directions.count
    let dims = wantsSequence ? [batch, time, Dim(count * units)] : [batch, Dim(count * units)]
    let stem = site.module ?? KerasLayer.snakeCase(form.className)
    var made: LayerTensor
    if count == 1 {
      var config = form.config(0)
      config.merge(shared) { $1 }
      made = try layer(form.className, config, [.tensor(x)], dims, x.element, stem: stem, keywords: keywords, groups: [form.variables(0, within: "cell")])
    } else {
      let sides = ["forward", "backward"]
      var config: [String: JSON] = ["merge_mode": .string("concat")]
      var groups: [VariableGroup] = []
      for (index, side) in sides.enumerated() {
        var own = form.config(index)
        own.merge(shared) { $1 }
        own["name"] = .string("\(side)_\(KerasLayer.snakeCase(form.className))")
        own["trainable"] = .bool(true)
        own["dtype"] = try LayerRaising.policy(x.element)
        config[index == 0 ? "layer" : "backward_layer"] = .object([
          "module": .string("keras.layers"), "class_name": .string(form.className), "config": .object(own), "registered_name": .null,
        ])
        groups.append(form.variables(index, within: "\(side)_layer/cell"))
      }
      made = try layer("Bidirectional", config, [.tensor(x)], dims, x.element, stem: stem, keywords: keywords, groups: groups)
    }

    // The results of a layer that gives its states: output, then the states of each direction.
    func state(_ index: Int) throws(Failure) -> PlacedValue {
      var parts: [LayerTensor] = []
      for direction in 0..<count {
        let place = 1 + direction * form.stateCount + index
        parts.append(
          givesStates
            ? LayerTensor(layer: made.layer, index: place, element: x.element, dims: [batch, Dim(units)])
            : made)
        if !givesStates { break }
      }
      let joined =
        parts.count == 1
        ? parts[0]
        : try layer("Concatenate", ["axis": .integer(1)], [.list(parts.map { .tensor($0) })], [batch, Dim(count * units)], x.element)
      // (batch, direction, unit)
      let whole = try reshapedPlainly(joined, [batch, Dim(count), Dim(units)])
      return PlacedValue(whole, order: form.isBatchFirst ? [0, 1, 2] : [1, 0, 2])
    }
    if isRead(site.node.output(1)) { place(site.node.output(1), try state(0)) }
    if wantsCell { place(site.node.output(2), try state(1)) }
    if wantsSequence {
      // Keras leaves the results of a layer that goes backwards in the order in which they were made.
      if form.directions == [true] { made = try operation("numpy", "Flip", ["axis": .integer(1)], [.tensor(made)], dims, x.element) }
      let whole = try reshapedPlainly(made, [batch, time, Dim(count), Dim(units)])
      place(site.node.output(0), PlacedValue(whole, order: form.isBatchFirst ? [0, 1, 2, 3] : [1, 2, 0, 3]))
    }
  }

  /// Which steps of each sequence count (batch, time), from the lengths; nil where all do.
  private mutating func lengthMask(_ x: LayerTensor, _ site: RaisingSite) throws(Failure) -> LayerTensor? {
    guard let lengths = site.node.input(4) else { return nil }
    guard let time = x.dims[1].value, time <= LayerRaising.literalLimit else { throw refusal(site, "sequences have lengths, and the axis of time is open") }
    if let known = constant(lengths)?.integers() {
      guard known.allSatisfy({ $0 == time }) else { throw refusal(site, "its lengths differ from sample to sample") }
      return nil
    }
    let given = try plain(lengths)
    let column = try operation("numpy", "ExpandDims", ["axis": .integer(1)], [.tensor(given)], [x.dims[0], 1], given.element)
    let steps = try Tensor(.int32, dims: [1, time], values: (0..<time).map { Int32($0) })
    return try operation("numpy", "Greater", [:], [.tensor(column), .literal(steps)], [x.dims[0], x.dims[1]], .bool)
  }

  // MARK: Initial states

  /// The states that the layer starts from, those of the first direction first; none where all are zeros.
  private mutating func initialStates(_ form: RecurrentForm, _ x: LayerTensor, _ site: RaisingSite) throws(Failure) -> [LayerTensor] {
    var all: [[LayerTensor?]] = []
    for index in 0..<form.stateCount { all.append(try initialState(site.node.input(5 + index), form, x, site)) }
    if all.allSatisfy({ $0.allSatisfy { $0 == nil } }) { return [] }
    var result: [LayerTensor] = []
    for direction in form.directions.indices {
      for parts in all {
        if let part = parts[direction] { result.append(part) } else { result.append(try row([Double](repeating: 0, count: form.units), x, site)) }
      }
    }
    return result
  }

  /// One state of each direction (batch, unit); nil for zeros.
  private mutating func initialState(
    _ value: ValueID?, _ form: RecurrentForm, _ x: LayerTensor, _ site: RaisingSite
  ) throws(Failure) -> [LayerTensor?] {
    let (count, units) = (form.directions.count, form.units)
    guard let value else { return [LayerTensor?](repeating: nil, count: count) }
    var result: [LayerTensor?] = []
    if let tensor = constant(value) {
      guard let numbers = tensor.doubles(), tensor.dims.count == 3, tensor.dims[2] == units, tensor.dims[form.isBatchFirst ? 1 : 0] == count else {
        throw refusal(site, "its initial state has another shape")
      }
      if numbers.allSatisfy({ $0 == 0 }) { return [LayerTensor?](repeating: nil, count: count) }
      let samples = tensor.dims[form.isBatchFirst ? 0 : 1]
      for direction in 0..<count {
        func row(_ sample: Int) -> ArraySlice<Double> {
          let start = (form.isBatchFirst ? sample * count + direction : direction * samples + sample) * units
          return numbers[start..<(start + units)]
        }
        guard samples > 0, (1..<max(samples, 1)).allSatisfy({ row($0).elementsEqual(row(0)) }) else {
          throw refusal(site, "its initial state differs from sample to sample")
        }
        result.append(try self.row(Array(row(0)), x, site))
      }
      return result
    }
    // (batch, direction, unit)
    let states = try turned(try standing(value), to: form.isBatchFirst ? [0, 1, 2] : [1, 0, 2])
    for direction in 0..<count {
      let own = try part(states, axis: 1, direction, direction + 1)
      result.append(try reshapedPlainly(own, [states.dims[0], Dim(units)]))
    }
    return result
  }

  /// The same numbers for each sample.
  private mutating func row(_ numbers: [Double], _ x: LayerTensor, _ site: RaisingSite) throws(Failure) -> LayerTensor {
    let tensor = try Tensor.filled(numbers, dims: [1, numbers.count], x.element)
    return try standing(constant: tensor, as: [x.dims[0], Dim(numbers.count)]).tensor
  }
}

/// What a recurrent operator says, in the words of Keras's layers.
private struct RecurrentForm {
  let className: String
  let units: Int
  /// For each direction whether time runs backwards.
  let directions: [Bool]
  let isBatchFirst: Bool
  var stateCount: Int { className == "LSTM" ? 2 : 1 }

  private let gates: Int
  /// Keras's order of gates, as places in that of ONNX: i, o, f, c there, i, f, c, o here.
  private let gateOrder: [Int]
  /// GRU: the reset gate comes after the product, and that product has a bias of its own.
  private let resetsAfter: Bool
  /// (direction, gate · unit, channel), (direction, gate · unit, unit), and (direction, 2 · gate · unit).
  private let kernel, recurrent: Tensor
  private let bias: Tensor?
  /// Activations of the gates, where there are some, and of the rest, by direction.
  private let activations: [(gate: String?, own: String)]

  init(_ op: CataloguedOp, _ site: RaisingSite, _ raising: LayerRaising) throws(Failure) {
    switch op.kind {
    case .lstm: (className, gates, gateOrder) = ("LSTM", 4, [0, 2, 3, 1])
    case .gru: (className, gates, gateOrder) = ("GRU", 3, [0, 1, 2])
    case .rnn: (className, gates, gateOrder) = ("SimpleRNN", 1, [0])
    default: throw raising.refusal(site, "Keras has no layer or operation for it")
    }
    switch op.word("direction") {
    case "reverse": directions = [true]
    case "bidirectional": directions = [false, true]
    default: directions = [false]
    }
    isBatchFirst = op.int("layout") == 1
    resetsAfter = op.kind == .gru && op.flag("linear_before_reset")
    if op.optionalFloat("clip") != nil { throw raising.refusal(site, "it clips what goes into its gates") }
    if op.flag("input_forget") { throw raising.refusal(site, "its gates for input and forgetting are one") }
    if let peepholes = site.node.input(7) {
      guard let values = raising.constant(peepholes)?.doubles(), values.allSatisfy({ $0 == 0 }) else { throw raising.refusal(site, "it has peepholes") }
    }
    guard let w = raising.constant(site.node.input(1)), let r = raising.constant(site.node.input(2)) else {
      throw raising.refusal(site, "its weights depend on the input")
    }
    let b = raising.constant(site.node.input(3))
    if site.node.input(3) != nil, b == nil { throw raising.refusal(site, "its bias depends on the input") }
    guard r.dims.count == 3, w.dims.count == 3, r.dims[2] > 0, r.dims[2] < 1 << 24 else { throw raising.refusal(site, "its weights have another shape") }
    units = r.dims[2]
    let (count, rows) = (directions.count, gates * units)
    let fits = r.dims == [count, rows, units] && w.dims[0] == count && w.dims[1] == rows
    guard fits, b == nil || b?.dims == [count, 2 * rows] else { throw raising.refusal(site, "its weights have another shape") }
    (kernel, recurrent, bias) = (w, r, b)

    let standard = op.kind == .lstm ? ["Sigmoid", "Tanh", "Tanh"] : op.kind == .gru ? ["Sigmoid", "Tanh"] : ["Tanh"]
    let given = op.strings("activations").map { String(decoding: $0, as: UTF8.self) }
    let names = given.isEmpty ? directions.flatMap { _ in standard } : given
    guard names.count >= standard.count * directions.count else { throw raising.refusal(site, "it names too few activations") }
    var alphas = op.floats("activation_alpha")[...]
    var betas = op.floats("activation_beta")[...]
    var activations: [(gate: String?, own: String)] = []
    for direction in directions.indices {
      var words: [String] = []
      for name in names[(direction * standard.count)..<((direction + 1) * standard.count)] {
        guard let word = RecurrentForm.activation(name, &alphas, &betas) else { throw raising.refusal(site, "Keras has no activation like its \(name)") }
        words.append(word)
      }
      let own = words[words.count - 1]
      guard words.count < 3 || words[1] == own else { throw raising.refusal(site, "its cell and its output have activations of their own") }
      activations.append((words.count > 1 ? words[0] : nil, own))
    }
    self.activations = activations
  }

  /// Keras's name of an activation of ONNX's recurrent operators, whose constants are taken from the front of the lists.
  private static func activation(_ name: String, _ alphas: inout ArraySlice<Double>, _ betas: inout ArraySlice<Double>) -> String? {
    func near(_ value: Double, _ wanted: Double) -> Bool { abs(value - wanted) < 1e-6 }
    switch name.lowercased() {
    case "relu", "tanh", "sigmoid", "softsign", "softplus": return name.lowercased()
    case "affine":
      let (alpha, beta) = (alphas.popFirst() ?? 1, betas.popFirst() ?? 0)
      return alpha == 1 && beta == 0 ? "linear" : nil
    case "scaledtanh":
      let (alpha, beta) = (alphas.popFirst() ?? 1, betas.popFirst() ?? 1)
      return alpha == 1 && beta == 1 ? "tanh" : nil
    case "hardsigmoid":
      let (alpha, beta) = (alphas.popFirst() ?? 0.2, betas.popFirst() ?? 0.5)
      return near(alpha, 1 / 6) && beta == 0.5 ? "hard_sigmoid" : nil
    case "elu": return alphas.popFirst() ?? 1 == 1 ? "elu" : nil
    case "leakyrelu": return near(alphas.popFirst() ?? 0.01, 0.2) ? "leaky_relu" : nil
    default: return nil
    }
  }

  func config(_ direction: Int) -> [String: JSON] {
    var result: [String: JSON] = [
      "units": .integer(units), "activation": .string(activations[direction].own), "use_bias": .bool(bias != nil),
      "go_backwards": .bool(directions[direction]), "stateful": .bool(false), "unroll": .bool(false), "recurrent_initializer": .string("zeros"),
      "dropout": .number(0),
      "recurrent_dropout": .number(0),
    ]
    if let gate = activations[direction].gate { result["recurrent_activation"] = .string(gate) }
    if className == "GRU" { result["reset_after"] = .bool(resetsAfter) }
    return result
  }

  /// The variables of one direction's cell: kernel (channel, gate · unit), recurrent kernel (unit, gate · unit), bias.
  func variables(_ direction: Int, within attribute: String) -> VariableGroup {
    let form = self
    func matrix(_ name: String, _ tensor: Tensor) -> VariableDraft {
      VariableDraft(name) { () throws(Failure) in
        let own = try tensor.selecting([direction], axis: 0).reshaped(Array(tensor.dims.dropFirst()))
        return try own.pickingBlocks(form.gateOrder, of: form.units).transposed([1, 0])
      }
    }
    var variables = [matrix("kernel", kernel), matrix("recurrent_kernel", recurrent)]
    if let bias {
      variables.append(
        VariableDraft("bias") { () throws(Failure) in
          let rows = form.gates * form.units
          guard let all = bias.doubles(), all.count == form.directions.count * 2 * rows else {
            throw Failure(.notExpressible, "a recurrent bias of type \(bias.elementType.name)")
          }
          let start = direction * 2 * rows
          let (input, state) = (all[start..<(start + rows)], all[(start + rows)..<(start + 2 * rows)])
          if form.resetsAfter { return try Tensor.filled(Array(input + state), dims: [2, rows], bias.elementType) }
          let sums = zip(input, state).map { $0 + $1 }
          return try Tensor.filled(
            form.gateOrder.flatMap { sums[($0 * form.units)..<(($0 + 1) * form.units)] }, dims: [rows], bias.elementType)
        })
    }
    let cell = KerasLayer.snakeCase(className) + "_cell"
    return VariableGroup(attribute: attribute, owner: attribute.split(separator: "/").dropLast().map { "\($0)/" }.joined() + cell, variables: variables)
  }
}
