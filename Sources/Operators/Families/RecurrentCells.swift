internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// One activation of a recurrent cell (ONNX, RNN 22).
struct CellActivation {
  private enum Form { case relu, tanh, sigmoid, affine, leakyRelu, thresholdedRelu, scaledTanh, hardSigmoid, elu, softsign, softplus }
  private let form: Form
  private let alpha, beta: Double

  /// Takes its constants from the front of the lists, where it has some.
  init?(_ name: String, alphas: inout ArraySlice<Double>, betas: inout ArraySlice<Double>) {
    let table: [String: (Form, alpha: Double?, beta: Double?)] = [
      "relu": (.relu, nil, nil), "tanh": (.tanh, nil, nil), "sigmoid": (.sigmoid, nil, nil), "affine": (.affine, 1, 0),
      "leakyrelu": (.leakyRelu, 0.01, nil), "thresholdedrelu": (.thresholdedRelu, 1, nil), "scaledtanh": (.scaledTanh, 1, 1),
      "hardsigmoid": (.hardSigmoid, 0.2, 0.5), "elu": (.elu, 1, nil), "softsign": (.softsign, nil, nil), "softplus": (.softplus, nil, nil),
    ]
    guard let (form, alpha, beta) = table[name.lowercased()] else { return nil }
    self.form = form
    self.alpha = alpha.map { alphas.popFirst() ?? $0 } ?? 0
    self.beta = beta.map { betas.popFirst() ?? $0 } ?? 0
  }

  func callAsFunction(_ x: Double) -> Double {
    switch form {
    case .relu: max(x, 0)
    case .tanh: tanh(x)
    case .sigmoid: 1 / (1 + exp(-x))
    case .affine: alpha * x + beta
    case .leakyRelu: x >= 0 ? x : alpha * x
    case .thresholdedRelu: x >= alpha ? x : 0
    case .scaledTanh: alpha * tanh(beta * x)
    case .hardSigmoid: min(max(alpha * x + beta, 0), 1)
    case .elu: x >= 0 ? x : alpha * (exp(x) - 1)
    case .softsign: x / (1 + abs(x))
    case .softplus: x > 30 ? x : log1p(exp(x))
    }
  }
}

/// RNN, GRU, LSTM (ONNX 22): X, W, R, B?, sequence lengths?, initial h?, and for LSTM initial c?, peepholes?; results Y?,
/// last h?, and for LSTM last c?. X is (time, batch, input), with layout 1 (batch, time, input).
struct Recurrence: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { op.kind == .lstm ? Arity(3...8, results: 0...3) : Arity(3...6, results: 0...2) }

  private var gates: Int {
    switch op.kind {
    case .lstm: 4
    case .gru: 3
    default: 1
    }
  }
  private var batchFirst: Bool { op.int("layout") == 1 }
  /// For each direction whether time runs backwards.
  private var directions: [Bool] {
    switch op.word("direction") {
    case "reverse": [true]
    case "bidirectional": [false, true]
    default: [false]
    }
  }

  private func activations() throws(Failure) -> [[CellActivation]] {
    let standard = op.kind == .lstm ? ["Sigmoid", "Tanh", "Tanh"] : op.kind == .gru ? ["Sigmoid", "Tanh"] : ["Tanh"]
    let given = op.strings("activations").map { String(decoding: $0, as: UTF8.self) }
    let names = given.isEmpty ? directions.flatMap { _ in standard } : given
    // RNN's default in the standard has two entries, for one direction too.
    guard names.count == standard.count * directions.count || op.kind == .rnn && names.count >= directions.count else {
      throw badAttribute("\(names.count) activations for \(directions.count) directions")
    }
    var alphas = op.floats("activation_alpha")[...]
    var betas = op.floats("activation_beta")[...]
    var result: [[CellActivation]] = []
    for direction in directions.indices {
      var own: [CellActivation] = []
      for name in names[direction * standard.count..<(direction + 1) * standard.count] {
        guard let activation = CellActivation(name, alphas: &alphas, betas: &betas) else { throw badAttribute("activation '\(name)' is not known") }
        own.append(activation)
      }
      result.append(own)
    }
    return result
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let element = try operands.sharedElement([0, 1, 2, 3, 5, 6, 7], of: mnemonic)
    try checkFloat(element)
    _ = try activations()
    guard (0...1).contains(op.int("layout")) else { throw badAttribute("layout \(op.int("layout"))") }
    if let lengths = operands.fact(4) { try checkElement(lengths, [.int32], "sequence lengths") }
    try checkRank(operands.fact(0), 3, "the input")
    try checkRank(operands.fact(1), 3, "the weight")
    try checkRank(operands.fact(2), 3, "the recurrence weight")
    let x = try operands.required(0).type.shape
    let w = try operands.required(1).type.shape
    let r = try operands.required(2).type.shape
    let given = op.optionalInt("hidden_size")
    if let given, given <= 0 || given > 1 << 28 { throw badAttribute("hidden size \(given)") }
    let hidden = r?[2] ?? given.map { Dim($0) } ?? .unknown
    if let given { try checkAgree(hidden, Dim(given), "hidden size and recurrence weight") }
    let time = x?[batchFirst ? 1 : 0] ?? .unknown
    let batch = x?[batchFirst ? 0 : 1] ?? .unknown
    let count = Dim(directions.count)
    let rows = hidden == .unknown ? .unknown : try hidden.times(Dim(gates))
    func check(_ index: Int, _ dims: [Dim], _ what: String) throws(Failure) {
      guard let shape = operands.fact(index)?.type.shape else { return }
      guard shape.rank == dims.count else { throw mismatch("\(what) \(shape) should have rank \(dims.count)") }
      for (own, size) in zip(shape.dims, dims) where size != .unknown { try checkAgree(own, size, "\(what) \(shape), expected \(Shape(dims))") }
    }
    if let w { try check(1, [count, rows, x?[2] ?? .unknown], "the weight \(w)") }
    try check(2, [count, rows, hidden], "the recurrence weight")
    try check(3, [count, rows == .unknown ? rows : try rows.times(2)], "the bias")
    try check(4, [batch], "sequence lengths")
    let state: [Dim] = batchFirst ? [batch, count, hidden] : [count, batch, hidden]
    try check(5, state, "the initial state")
    try check(6, state, "the initial cell")
    try check(7, [count, hidden == .unknown ? hidden : try hidden.times(3)], "peepholes")
    let all = TensorType(element, Shape(batchFirst ? [batch, time, count, hidden] : [time, count, batch, hidden]))
    let last = TensorType(element, Shape(state))
    return Array([Fact(all), Fact(last), Fact(last)].prefix(max(resultCount, 0)))
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard let x = operands.first??.shape?.concrete, operands.count > 2, let w = operands[1]?.elementCount, let r = operands[2]?.elementCount else {
      return Cost()
    }
    let steps = x[0] &* x[1]
    return Cost(macs: steps &* (w &+ r), elementwise: steps &* directions.count &* gates)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    // At least one result, for the sizes.
    let types = try resultTypes(operands, 3)
    let x = try operands.required(0)
    let (time, batch) = batchFirst ? (x.dims[1], x.dims[0]) : (x.dims[0], x.dims[1])
    var cell = RecurrentCell(
      kind: op.kind, time: time, batch: batch, input: x.dims[2], hidden: types[0].dims[3], gates: gates, batchFirst: batchFirst,
      directions: directions, activations: try activations(), clip: op.optionalFloat("clip"), resetAfter: op.flag("linear_before_reset"),
      coupled: op.flag("input_forget"))
    cell.x = try x.reals(for: mnemonic)
    cell.w = try operands.required(1).reals(for: mnemonic)
    cell.r = try operands.required(2).reals(for: mnemonic)
    cell.bias = try operands.tensor(3)?.reals(for: mnemonic)
    cell.peepholes = try operands.tensor(7)?.reals(for: mnemonic)
    if let lengths = try operands.tensor(4)?.wholes(for: mnemonic) {
      guard lengths.allSatisfy({ 0...time ~= $0 }) else { throw mismatch("a sequence is longer than the \(time) steps there are, or negative") }
      cell.lengths = lengths
    } else {
      cell.lengths = [Int](repeating: time, count: batch)
    }
    cell.start(h: try operands.tensor(5)?.reals(for: mnemonic), c: try operands.tensor(6)?.reals(for: mnemonic))
    for direction in directions.indices { cell.run(direction) }
    var results: [Tensor] = []
    for (type, values) in zip(types.prefix(resultCount), [cell.y, cell.h, cell.c]) {
      results.append(try Tensor(type.element, dims: type.dims, reals: values))
    }
    return results
  }
}

/// The state of a recurrent cell while it runs over a sequence.
private struct RecurrentCell {
  let kind: CataloguedOp.Kind
  let time, batch, input, hidden, gates: Int
  let batchFirst: Bool
  let directions: [Bool]
  let activations: [[CellActivation]]
  let clip: Double?
  /// GRU: the reset gate comes after the product.
  let resetAfter: Bool
  /// LSTM: the forget gate is one less the input gate.
  let coupled: Bool
  var x: [Double] = []
  var w: [Double] = []
  var r: [Double] = []
  var bias: [Double]?
  var peepholes: [Double]?
  var lengths: [Int] = []
  private(set) var y: [Double] = []
  private(set) var h: [Double] = []
  private(set) var c: [Double] = []

  init(
    kind: CataloguedOp.Kind, time: Int, batch: Int, input: Int, hidden: Int, gates: Int, batchFirst: Bool, directions: [Bool],
    activations: [[CellActivation]], clip: Double?, resetAfter: Bool, coupled: Bool
  ) {
    (self.kind, self.time, self.batch, self.input, self.hidden, self.gates) = (kind, time, batch, input, hidden, gates)
    (self.batchFirst, self.directions, self.activations) = (batchFirst, directions, activations)
    (self.clip, self.resetAfter, self.coupled) = (clip, resetAfter, coupled)
  }

  mutating func start(h: [Double]?, c: [Double]?) {
    let count = directions.count * batch * hidden
    self.h = h ?? [Double](repeating: 0, count: count)
    self.c = c ?? [Double](repeating: 0, count: count)
    y = [Double](repeating: 0, count: time * count)
  }

  private func clipped(_ value: Double) -> Double { clip.map { min(max(value, -$0), $0) } ?? value }

  /// Where a direction's state of one sequence starts.
  private func state(_ direction: Int, _ sequence: Int) -> Int {
    (batchFirst ? sequence * directions.count + direction : direction * batch + sequence) * hidden
  }

  mutating func run(_ direction: Int) {
    let rows = gates * hidden
    let wBias = (0..<rows).map { bias?[direction * 2 * rows + $0] ?? 0 }
    let rBias = (0..<rows).map { bias?[direction * 2 * rows + rows + $0] ?? 0 }
    for sequence in 0..<batch {
      let place = state(direction, sequence)
      var own = Array(h[place..<place + hidden])
      var memory = Array(c[place..<place + hidden])
      for index in 0..<lengths[sequence] {
        let step = directions[direction] ? lengths[sequence] - 1 - index : index
        let source = (batchFirst ? sequence * time + step : step * batch + sequence) * input
        let fromInput = product(w, direction * rows * input, rows, input, x, source)
        switch kind {
        case .lstm: lstm(direction, fromInput, wBias, rBias, &own, &memory)
        case .gru: gru(direction, fromInput, wBias, rBias, &own)
        default:
          let before = product(r, direction * rows * hidden, rows, hidden, own, 0)
          for unit in 0..<hidden { own[unit] = activations[direction][0](clipped(fromInput[unit] + before[unit] + wBias[unit] + rBias[unit])) }
        }
        let target =
          batchFirst
          ? ((sequence * time + step) * directions.count + direction) * hidden : ((step * directions.count + direction) * batch + sequence) * hidden
        for unit in 0..<hidden { y[target + unit] = own[unit] }
      }
      for unit in 0..<hidden {
        h[place + unit] = own[unit]
        c[place + unit] = memory[unit]
      }
    }
  }

  /// `M v` of a row-major matrix and a vector that start at given places.
  private func product(_ matrix: [Double], _ first: Int, _ rows: Int, _ columns: Int, _ vector: [Double], _ start: Int) -> [Double] {
    var result = [Double](repeating: 0, count: rows)
    for row in 0..<rows {
      let from = first + row * columns
      var sum = 0.0
      for column in 0..<columns { sum += matrix[from + column] * vector[start + column] }
      result[row] = sum
    }
    return result
  }

  /// Gates: input, output, forget, cell.
  private func lstm(_ direction: Int, _ fromInput: [Double], _ wBias: [Double], _ rBias: [Double], _ own: inout [Double], _ memory: inout [Double]) {
    let rows = 4 * hidden
    let before = product(r, direction * rows * hidden, rows, hidden, own, 0)
    let (f, g, h) = (activations[direction][0], activations[direction][1], activations[direction][2])
    func sum(_ gate: Int, _ unit: Int) -> Double {
      let row = gate * hidden + unit
      return fromInput[row] + before[row] + wBias[row] + rBias[row]
    }
    func peephole(_ gate: Int, _ unit: Int) -> Double { peepholes?[(direction * 3 + gate) * hidden + unit] ?? 0 }
    for unit in 0..<hidden {
      let inputGate = f(clipped(sum(0, unit) + peephole(0, unit) * memory[unit]))
      let forgetGate = coupled ? 1 - inputGate : f(clipped(sum(2, unit) + peephole(2, unit) * memory[unit]))
      memory[unit] = forgetGate * memory[unit] + inputGate * g(clipped(sum(3, unit)))
      let outputGate = f(clipped(sum(1, unit) + peephole(1, unit) * memory[unit]))
      own[unit] = outputGate * h(memory[unit])
    }
  }

  /// Gates: update, reset, hidden.
  private func gru(_ direction: Int, _ fromInput: [Double], _ wBias: [Double], _ rBias: [Double], _ own: inout [Double]) {
    let matrix = direction * 3 * hidden * hidden
    let before = product(r, matrix, 2 * hidden, hidden, own, 0)
    let (f, g) = (activations[direction][0], activations[direction][1])
    func gate(_ row: Int) -> Double { f(clipped(fromInput[row] + before[row] + wBias[row] + rBias[row])) }
    let update = (0..<hidden).map { gate($0) }
    let reset = (0..<hidden).map { gate(hidden + $0) }
    let last = matrix + 2 * hidden * hidden
    let recurrent =
      resetAfter
      ? product(r, last, hidden, hidden, own, 0) : product(r, last, hidden, hidden, (0..<hidden).map { reset[$0] * own[$0] }, 0)
    for unit in 0..<hidden {
      let row = 2 * hidden + unit
      let inner = resetAfter ? reset[unit] * (recurrent[unit] + rBias[row]) : recurrent[unit] + rBias[row]
      let candidate = g(clipped(fromInput[row] + wBias[row] + inner))
      own[unit] = (1 - update[unit]) * candidate + update[unit] * own[unit]
    }
  }
}
