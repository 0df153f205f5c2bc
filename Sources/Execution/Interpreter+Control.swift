internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Branches and loops.
extension Interpreter {
  func run(_ op: ControlOp, _ node: Node, _ operands: [RuntimeValue?], _ captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    switch op {
    case .branch(let then, let otherwise):
      guard let condition = operands.first else { throw Failure(.operandCount, "If has no condition") }
      return try run(try truth(condition, "If") ? then : otherwise, [], captured: captured)
    case .loop(let body): return try loop(body, node, operands, captured)
    case .scan(let scan) where scan.isBatched: return try batchedScan(scan, operands, captured)
    case .scan(let scan):
      var values: [RuntimeValue] = []
      for operand in operands { values.append(try present(operand, "Scan")) }
      return try self.scan(scan, values, captured)
    case .map(let body): return try map(body, operands, captured)
    case .flexAttention(let op): return [.tensor(try flexAttention(op, operands, captured))]
    }
  }

  // MARK: Loop

  private func loop(_ body: Subgraph, _ node: Node, _ operands: [RuntimeValue?], _ captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    let limit = try operands.first.flatMap { $0 }.map { (value) throws(Failure) in try whole(value, "Loop") }
    var goesOn = true
    if operands.count > 1, let condition = operands[1] { goesOn = try truth(condition, "Loop") }
    var carried: [RuntimeValue] = []
    for operand in operands.dropFirst(2) { carried.append(try present(operand, "Loop")) }
    var collected = Collected(count: body.graph.outputs.count - 1 - carried.count, mnemonic: "Loop")
    var iteration = 0
    while goesOn, limit.map({ iteration < $0 }) ?? true {
      let given: [RuntimeValue] = [
        .tensor(try Tensor(int64: [Int64(iteration)], dims: [])), .tensor(try Tensor(.bool, dims: [], values: [UInt8(1)])),
      ]
      let results = try run(body, given + carried, captured: captured)
      goesOn = try truth(results[0], "Loop")
      carried = Array(results[1..<1 + carried.count])
      try collected.add(results[(1 + carried.count)...])
      iteration += 1
    }
    let made = body.graph.outputs.suffix(from: 1 + carried.count)
    return carried + (try collected.stacked(axes: nil) { index in body.graph[made[made.startIndex + index]].declaredType })
  }

  // MARK: Scan

  private func scan(_ scan: ScanOp, _ operands: [RuntimeValue], _ captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    let count = scan.inputAxes.count
    guard operands.count >= count else { throw Failure(.operandCount, "Scan has \(operands.count) operands") }
    var states = Array(operands.dropLast(count))
    var scanned: [(tensor: Tensor, axis: Int, reversed: Bool)] = []
    for (index, operand) in operands.suffix(count).enumerated() {
      let tensor = try tensor(operand, "Scan")
      scanned.append((tensor, try axis(scan.inputAxes[index], rank: tensor.dims.count), scan.inputsReversed[index]))
    }
    let length = scanned[0].tensor.dims[scanned[0].axis]
    for item in scanned where item.tensor.dims[item.axis] != length {
      throw Failure(.shapeMismatch, "Scan goes over axes of \(length) and \(item.tensor.dims[item.axis])")
    }
    var collected = Collected(count: scan.outputAxes.count, mnemonic: "Scan")
    for step in 0..<length {
      var elements: [RuntimeValue] = []
      for item in scanned { elements.append(.tensor(try element(of: item.tensor, item.reversed ? length - 1 - step : step, axis: item.axis))) }
      let results = try run(scan.body, states + elements, captured: captured)
      let split = states.count
      states = Array(results[..<split])
      try collected.add(results[split..<split + scan.outputAxes.count])
    }
    collected.reverse(scan.outputsReversed)
    let made = scan.body.graph.outputs.dropFirst(states.count)
    return states + (try collected.stacked(axes: scan.outputAxes) { index in scan.body.graph[made[made.startIndex + index]].declaredType })
  }

  /// Scan of version 8: for each batch a scan of its own length; what is left of the longest is filled with zeros.
  private func batchedScan(_ scan: ScanOp, _ operands: [RuntimeValue?], _ captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    var tensors: [Tensor] = []
    for operand in operands.dropFirst() { tensors.append(try tensor(try present(operand, "Scan"), "Scan")) }
    guard let batches = tensors.first?.dims.first, tensors.allSatisfy({ $0.dims.first == batches }), let last = tensors.last, last.dims.count > 1 else {
      throw Failure(.shapeMismatch, "Scan has operands without a common axis of batches")
    }
    let longest = last.dims[1]
    var lengths = [Int](repeating: longest, count: batches)
    if let given = operands.first, let value = given {
      guard let numbers = try tensor(value, "Scan").integers(), numbers.count == batches, numbers.allSatisfy({ 0...longest ~= $0 }) else {
        throw Failure(.shapeMismatch, "Scan has lengths that do not fit \(batches) sequences of \(longest)")
      }
      lengths = numbers
    }
    let states = tensors.count - scan.inputAxes.count
    var single = scan
    single.isBatched = false
    var results: [[Tensor]] = []
    for batch in 0..<batches {
      var values: [RuntimeValue] = []
      for (index, tensor) in tensors.enumerated() {
        var part = try element(of: tensor, batch, axis: 0)
        if index >= states {
          // The sequence is its first elements, whichever way it is scanned.
          if part.dims.first ?? 0 < lengths[batch] { throw Failure(.shapeMismatch, "Scan has sequences of different lengths") }
          part = try part.selecting(Array(0..<lengths[batch]))
        }
        values.append(.tensor(part))
      }
      var made: [Tensor] = []
      for (index, value) in try self.scan(single, values, captured).enumerated() {
        let tensor = try tensor(value, "Scan")
        made.append(index < states ? tensor : try padded(tensor, to: longest))
      }
      results.append(made)
    }
    guard let first = results.first else { throw Failure(.shapeMismatch, "Scan of no batches") }
    var stacked: [RuntimeValue] = []
    for index in first.indices { stacked.append(.tensor(try Tensor.stacking(results.map { $0[index] }, axis: 0))) }
    return stacked
  }

  private func padded(_ tensor: Tensor, to length: Int) throws(Failure) -> Tensor {
    guard let own = tensor.dims.first, own < length else { return tensor }
    let dims = [length - own] + tensor.dims.dropFirst()
    guard let count = dims.checkedProduct, let bytes = tensor.elementType.byteCount(of: count), tensor.elementType != .string else {
      throw Failure(.sizeOverflow, "Scan makes a result of \(dims)")
    }
    return try Tensor.concatenating([tensor, try Tensor(tensor.elementType, dims: dims, values: [UInt8](repeating: 0, count: bytes))])
  }

  // MARK: SequenceMap

  private func map(_ body: Subgraph, _ operands: [RuntimeValue?], _ captured: [RuntimeValue]) throws(Failure) -> [RuntimeValue] {
    var values: [RuntimeValue] = []
    for operand in operands { values.append(try present(operand, "SequenceMap")) }
    guard case .sequence(let first)? = values.first else { throw Failure(.typeMismatch, "SequenceMap takes a sequence first") }
    var results = [[RuntimeValue]](repeating: [], count: body.graph.outputs.count)
    for index in first.indices {
      var formals: [RuntimeValue] = []
      for value in values {
        guard case .sequence(let elements) = value else {
          formals.append(value)
          continue
        }
        guard elements.count == first.count else { throw Failure(.shapeMismatch, "SequenceMap of sequences of \(first.count) and \(elements.count)") }
        formals.append(elements[index])
      }
      for (position, result) in try run(body, formals, captured: captured).enumerated() { results[position].append(result) }
    }
    return results.map { .sequence($0) }
  }

  // MARK: FlexAttention

  private func flexAttention(_ op: FlexAttentionOp, _ operands: [RuntimeValue?], _ captured: [RuntimeValue]) throws(Failure) -> Tensor {
    guard operands.count == 3 else { throw Failure(.operandCount, "FlexAttention has \(operands.count) operands") }
    var tensors: [Tensor] = []
    for operand in operands { tensors.append(try tensor(try present(operand, "FlexAttention"), "FlexAttention")) }
    let (query, key, value) = (tensors[0], tensors[1], tensors[2])
    let element = query.elementType
    guard tensors.allSatisfy({ $0.dims.count == 4 && $0.elementType == element }), element.isFloatingPoint else {
      throw Failure(.shapeMismatch, "FlexAttention of \(tensors.map { $0.type.description }.joined(separator: ", "))")
    }
    let heads = query.dims[1]
    guard key.dims[1] > 0, heads % key.dims[1] == 0, key.dims[1] == value.dims[1], key.dims[2] == value.dims[2], query.dims[3] == key.dims[3],
      query.dims[0] == key.dims[0], key.dims[0] == value.dims[0]
    else { throw Failure(.shapeMismatch, "FlexAttention of \(query.type), \(key.type) and \(value.type)") }
    // Each key head serves a group of neighboring query heads.
    let group = heads / key.dims[1]
    let serving = try Tensor(int64: (0..<heads).map { Int64($0 / max(group, 1)) }, dims: [heads])
    func spread(_ tensor: Tensor) throws(Failure) -> Tensor {
      group == 1 ? tensor : try IndexingOp.gather(axis: 1).evaluate([tensor, serving], resultCount: 1)[0]
    }
    func cast(_ tensor: Tensor, _ element: ElementType) throws(Failure) -> Tensor {
      tensor.elementType == element ? tensor : try reference(.cast(to: element), [tensor])
    }
    let wide = precision == .reference
    let inner = wide ? .float64 : op.precision ?? (element == .float64 ? .float64 : .float32)
    let scale = op.scale ?? Float(1 / Double(max(query.dims[3], 1)).squareRoot())
    let product = MatrixOp.fusedMatMul(FusedMatMul(alpha: scale, transposeA: false, transposeB: true))
    var weights = try cast(try product.evaluate([query, try spread(key)], resultCount: 1)[0], inner)
    if let body = op.scoreModifier { weights = try modified(weights, body, captured) }
    weights = try SoftmaxOp.softmax(axis: -1).evaluate([weights], resultCount: 1)[0]
    if let body = op.probabilityModifier { weights = try modified(weights, body, captured) }
    return try cast(try MatrixOp.matMul.evaluate([weights, try cast(try spread(value), inner)], resultCount: 1)[0], element)
  }

  private func modified(_ weights: Tensor, _ body: Subgraph, _ captured: [RuntimeValue]) throws(Failure) -> Tensor {
    let results = try run(body, [.tensor(weights)], captured: captured)
    guard let first = results.first, case .tensor(let result) = first, result.type == weights.type else {
      throw Failure(.shapeMismatch, "a modifier of FlexAttention gives \(results.first?.kind ?? "nothing") for \(weights.type)")
    }
    return result
  }

  private func reference(_ op: Op, _ operands: [Tensor]) throws(Failure) -> Tensor {
    guard let semantics = op.semantics else { throw Failure(.operatorNotRunnable, "there is no kernel for \(op.name.mnemonic)") }
    return try semantics.evaluate(operands, resultCount: 1)[0]
  }

  // MARK: Operands

  private func present(_ value: RuntimeValue?, _ mnemonic: String) throws(Failure) -> RuntimeValue {
    guard let value else { throw Failure(.operandCount, "\(mnemonic) has an operand left out") }
    return value
  }

  private func tensor(_ value: RuntimeValue, _ mnemonic: String) throws(Failure) -> Tensor {
    switch value {
    case .tensor(let tensor), .optional(.tensor(let tensor)?): return tensor
    default: throw Failure(.typeMismatch, "\(mnemonic) takes a tensor and was given \(value.kind)")
    }
  }

  private func truth(_ value: RuntimeValue?, _ mnemonic: String) throws(Failure) -> Bool {
    let tensor = try tensor(try present(value, mnemonic), mnemonic)
    guard tensor.elementType == .bool, tensor.count == 1 else { throw Failure(.typeMismatch, "\(mnemonic) has a condition of type \(tensor.type)") }
    return tensor.elements(as: UInt8.self)[0] != 0
  }

  private func whole(_ value: RuntimeValue, _ mnemonic: String) throws(Failure) -> Int {
    let tensor = try tensor(value, mnemonic)
    guard tensor.elementType == .int64 || tensor.elementType == .int32, tensor.count == 1, let number = tensor.integers()?.first else {
      throw Failure(.typeMismatch, "\(mnemonic) has a trip count of type \(tensor.type)")
    }
    return number
  }

  private func axis(_ axis: Int, rank: Int) throws(Failure) -> Int {
    guard axis >= -rank, axis < rank else { throw Failure(.shapeMismatch, "Scan goes over axis \(axis) of a tensor of rank \(rank)") }
    return axis < 0 ? axis + rank : axis
  }

  /// One slice, its axis dropped.
  private func element(of tensor: Tensor, _ index: Int, axis: Int) throws(Failure) -> Tensor {
    let position = try Tensor(int64: [Int64(index)], dims: [])
    return try IndexingOp.gather(axis: axis).evaluate([tensor, position], resultCount: 1)[0]
  }
}

/// What a body gives in each of its runs, to be stacked in the end.
private struct Collected {
  private var parts: [[Tensor]]
  private let mnemonic: String
  private var byteCount = 0

  init(count: Int, mnemonic: String) {
    parts = [[Tensor]](repeating: [], count: max(count, 0))
    self.mnemonic = mnemonic
  }

  mutating func add(_ results: ArraySlice<RuntimeValue>) throws(Failure) {
    for (index, result) in results.enumerated() where index < parts.count {
      guard case .tensor(let tensor) = result else { throw Failure(.typeMismatch, "\(mnemonic) stacks tensors, and its body gives \(result.kind)") }
      byteCount += tensor.byteCount
      parts[index].append(tensor)
    }
    // They are held once more when they are stacked.
    guard byteCount <= Measurement.physicalBytes / 3 else { throw Failure(.outOfMemory, "\(mnemonic) stacks \(byteCount >> 20) MiB") }
  }

  mutating func reverse(_ which: [Bool]) {
    for index in parts.indices where index < which.count && which[index] { parts[index].reverse() }
  }

  /// - Parameters:
  ///   - axes: where the new axis goes; nil: in front.
  ///   - declared: what the body declares of one element, for a body that never ran.
  func stacked(axes: [Int]?, declared: (Int) -> TensorType?) throws(Failure) -> [RuntimeValue] {
    var results: [RuntimeValue] = []
    for (index, tensors) in parts.enumerated() {
      if let head = tensors.first {
        let rank = head.dims.count + 1
        let given = axes?[index] ?? 0
        guard given >= -rank, given < rank else { throw Failure(.shapeMismatch, "\(mnemonic) stacks along axis \(given) of a result of rank \(rank)") }
        results.append(.tensor(try Tensor.stacking(tensors, axis: given < 0 ? given + rank : given)))
        continue
      }
      guard let type = declared(index) else { throw Failure(.operatorNotRunnable, "\(mnemonic) stacks nothing, and its body does not declare of what type") }
      // Sizes that nothing tells are 0, too.
      var dims = type.shape?.dims.map { $0.value ?? 0 } ?? []
      let given = axes?[index] ?? 0
      let place = given < 0 ? given + dims.count + 1 : given
      guard place >= 0, place <= dims.count else { throw Failure(.shapeMismatch, "\(mnemonic) stacks along axis \(given)") }
      dims.insert(0, at: place)
      let storage: Tensor.Storage = type.element == .string ? .strings([]) : .memory(unsafe TensorBuffer(byteCount: 0) { _ in })
      results.append(.tensor(try Tensor(type.element, dims: dims, storage: storage)))
    }
    return results
  }
}
