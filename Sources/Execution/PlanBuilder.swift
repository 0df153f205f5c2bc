internal import Bytes
internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Kernels
internal import Operators
internal import Tensors

/// Turns a typed graph of concrete shapes into steps over slots: one walk over the nodes, in order, that knows for each
/// value how it lies in memory.
final class PlanBuilder {
  let typed: TypedGraph
  let graph: Graph
  let weights: WeightCache
  /// Of products with constant weights.
  let productPrecision: ProductPrecision
  let workspace = Workspace()
  /// Values that must come out whole: graph outputs and what the caller keeps.
  let wanted: Set<ValueID>

  private(set) var slots: [Slot] = []
  private(set) var steps: [Step] = []
  private(set) var views: [ValueID: View] = [:]
  /// Softmax arguments that are a sum with a bias, which the softmax adds itself.
  var biased: [ValueID: (x: View, bias: View)] = [:]
  /// Values in the middle of a chain of reshapes and transpositions that ends in one copy.
  var splits: [ValueID: SplitView] = [:]
  /// Attention that the graph spells out, by its last node.
  var attentions: [NodeID: AttentionMatcher.Match] = [:]
  private var done: Set<NodeID> = []
  private var readers: [ValueID: [NodeID]] = [:]
  private var active: Set<NodeID> = []

  init(_ typed: TypedGraph, keeping: [ValueID], precision: ProductPrecision, weights: WeightCache) {
    self.typed = typed
    graph = typed.graph
    self.weights = weights
    productPrecision = precision
    wanted = Set(graph.outputs + keeping)
    findActive()
  }

  /// The nodes that have to run, and who of them reads what: a value that is known by now needs nobody.
  private func findActive() {
    var pending = Array(wanted)
    while let value = pending.popLast() {
      guard constantTensor(value) == nil, let node = graph.producer(of: value), active.insert(node).inserted else { continue }
      pending += graph[node].reads
    }
    for id in graph.order where active.contains(id) {
      for value in graph[id].reads where readers[value]?.last != id { readers[value, default: []].append(id) }
    }
  }

  func build() throws(Failure) {
    // What nobody reads may be of any type: strings whose shape alone is asked for.
    for input in graph.inputs where readers[input] != nil || wanted.contains(input) { views[input] = try newView(try type(of: input)) }
    for id in graph.order where active.contains(id) && !done.contains(id) {
      let node = graph[id]
      do throws(Failure) {
        try plan(id, node)
      } catch {
        throw error.located(element: graph.label(of: node))
      }
    }
    for value in wanted.sorted() {
      let view = try dense(self.view(of: value))
      views[value] = view
      slots[view.slot].isKept = true
    }
  }

  private func plan(_ id: NodeID, _ node: Node) throws(Failure) {
    if case .foreign(let op) = node.op {
      throw Failure(.operatorNotRunnable, op.refusal)
    }
    for output in node.outputs.compactMap({ $0 }) where constantTensor(output) == nil { _ = try type(of: output) }
    if try planFast(id, node) { return }
    try planReference(id, node)
  }

  /// A plan by fast kernels, or false where there is none for these operands.
  private func planFast(_ id: NodeID, _ node: Node) throws(Failure) -> Bool {
    for value in node.reads + node.outputs.compactMap({ $0 }) {
      if let dims = try type(of: value).dims, dims.contains(0) { return false }
    }
    switch node.op {
    case .layout(let op): return try planLayout(id, node, op)
    case .indexing(.gather(let axis)): return try planGather(id, node, axis: axis)
    default: break
    }
    if node.reads.allSatisfy({ isConstant($0) }) { return false }
    // Operators that may take two floating-point types at once (a scale of another precision) do so by their reference.
    guard mixesNoReals(node) else { return false }
    switch node.op {
    case .unary(let op): return try planUnary(id, node, op)
    case .binary(let op): return try planBinary(id, node, op)
    case .clip: return try planClip(id, node)
    case .cast(let target): return try planCast(id, node, target)
    case .matrix(let op): return try planMatrix(id, node, op)
    case .convolution(let op): return try planConvolution(id, node, op)
    case .pooling(let op): return try planPooling(id, node, op)
    case .normalization(let op): return try planNormalization(id, node, op)
    case .softmax(let op): return try planSoftmax(id, node, op)
    case .reduction(let op): return try planReduction(id, node, op)
    case .attention(let op): return try planAttention(id, node, op)
    default: return false
    }
  }

  private func mixesNoReals(_ node: Node) -> Bool {
    if case .cast = node.op { return true }
    var found: ElementType?
    for value in node.reads {
      guard let element = typed.type(of: value)?.element, element.isFloatingPoint else { continue }
      if let found, found != element { return false }
      found = element
    }
    return true
  }

  // MARK: Facts

  func type(of value: ValueID) throws(Failure) -> (element: ElementType, dims: [Int]?) {
    if let type = typed.type(of: value), let dims = type.shape?.concrete {
      guard let count = dims.checkedProduct, count < 1 << 40 else { throw tooLarge(value, dims) }
      return (type.element, dims)
    }
    throw Failure(
      .operatorNotRunnable, "the shape of '\(graph[value].name)' is not known before the run", at: .element(graph[value].name),
      advice: "give the input shapes, for example with --shape NAME=D0,D1")
  }

  /// Of a size that no machine holds, at the node that makes it.
  private func tooLarge(_ value: ValueID, _ dims: [Int]) -> Failure {
    guard let producer = graph.producer(of: value) else {
      return Failure(.sizeOverflow, "'\(graph[value].name)' has dimensions \(dims)", at: .element(graph[value].name))
    }
    let node = graph[producer]
    return Failure(.sizeOverflow, "\(node.op.name.mnemonic): a result of dimensions \(dims)", at: .element(graph.label(of: node)))
  }

  func dims(of value: ValueID) throws(Failure) -> [Int] { try type(of: value).dims ?? [] }

  /// The value's elements where they are known before the run.
  func constantTensor(_ value: ValueID) -> Tensor? {
    if let tensor = typed.constant(value) { return tensor }
    if let view = views[value], let tensor = slots[view.slot].constant, view.layout.isDense, view.offset == 0, view.factor == 1,
      tensor.count == view.layout.count
    {
      return try? tensor.reshaped(view.dims)
    }
    guard case .symbolic(let vector)? = typed.known(value), let type = typed.type(of: value), let values = Shape(vector.elements).concrete else { return nil }
    switch type.element {
    case .int64: return try? Tensor(int64: values.map(Int64.init), dims: vector.dims)
    case .int32: return try? Tensor(.int32, dims: vector.dims, values: values.map { Int32(clamping: $0) })
    default: return nil
    }
  }

  func isConstant(_ value: ValueID) -> Bool {
    if constantTensor(value) != nil { return true }
    if let view = views[value] { return slots[view.slot].constant != nil }
    return false
  }

  /// The one element of a constant of one element.
  func scalar(_ value: ValueID?) -> Float? {
    guard let value, let tensor = constantTensor(value), tensor.count == 1, tensor.elementType == .float32 else { return nil }
    return tensor.floats()?.first
  }

  func integers(_ value: ValueID?) -> [Int]? {
    guard let value else { return nil }
    return constantTensor(value)?.integers()
  }

  /// The only node that reads `value`, which nobody outside wants.
  func onlyReader(_ value: ValueID) -> NodeID? {
    guard !wanted.contains(value), let list = readers[value], list.count == 1, !done.contains(list[0]) else { return nil }
    return list[0]
  }

  func allReaders(_ value: ValueID) -> [NodeID] { readers[value] ?? [] }

  // MARK: Views

  func newSlot(bytes: Int) -> Int {
    slots.append(Slot(byteCount: bytes))
    return slots.count - 1
  }

  func newView(_ type: (element: ElementType, dims: [Int]?), order: [Int]? = nil) throws(Failure) -> View {
    let dims = type.dims ?? []
    guard type.element != .string, type.element.bitWidth % 8 == 0, let bytes = type.element.byteCount(of: dims.reduce(1, &*)) else {
      throw Failure(.operatorNotRunnable, "there are no kernels for \(type.element.name)")
    }
    return View(slot: newSlot(bytes: bytes), offset: 0, layout: order.map { Strided(dims: dims, order: $0) } ?? Strided(dense: dims), element: type.element)
  }

  func set(_ value: ValueID, _ view: View) { views[value] = view }
  func markDone(_ nodes: some Sequence<NodeID>) { done.formUnion(nodes) }
  func isReady(_ value: ValueID) -> Bool { views[value] != nil || splits[value] != nil || constantTensor(value) != nil }
  func isConstant(_ view: View) -> Bool { slots[view.slot].constant != nil }

  func view(of value: ValueID) throws(Failure) -> View {
    if let view = views[value] { return view }
    if let split = splits[value] {
      let view = try copied(split)
      views[value] = view
      return view
    }
    guard let tensor = constantTensor(value) else {
      throw Failure(.internalError, "'\(graph[value].name)' is read before it is planned", at: .element(graph[value].name))
    }
    let view = try constantView(tensor)
    views[value] = view
    return view
  }

  func constantView(_ tensor: Tensor) throws(Failure) -> View {
    slots.append(Slot(byteCount: tensor.byteCount, constant: tensor))
    return View(slot: slots.count - 1, offset: 0, layout: Strided(dense: tensor.dims), element: tensor.elementType)
  }

  /// A constant at an address that typed loops may read; file data may lie anywhere.
  func aligned(_ view: View) throws(Failure) -> View {
    guard let tensor = slots[view.slot].constant, case .mapped = tensor.storage else { return view }
    let misaligned = unsafe tensor.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { Int(bitPattern: $0) % Swift.max(view.elementBytes, 1) != 0 } ?? false
    }
    guard misaligned else { return view }
    let buffer = unsafe TensorBuffer(byteCount: tensor.byteCount) { target in unsafe tensor.withUnsafeBytes { unsafe target.copyMemory(from: $0) } }
    slots[view.slot].constant = try Tensor(tensor.elementType, dims: tensor.dims, storage: .memory(buffer))
    return view
  }

  /// A constant whose bytes have been packed is not read again.
  func release(_ constant: Tensor) {
    if case .mapped(let source, let range) = constant.storage, range.count > 1 << 16 { source.forgetPages(of: range) }
  }

  /// The same value row-major, without gaps and without a factor; copied where it is not so already.
  func dense(_ view: View) throws(Failure) -> View {
    if view.factor == 1, view.layout.isDense { return try aligned(view) }
    return try copied(view, Strided(dense: view.dims))
  }

  /// The same value at its own strides without the factor.
  func plain(_ view: View) throws(Failure) -> View {
    if view.factor == 1 { return try aligned(view) }
    return try copied(view, Strided(dims: view.dims, order: view.layout.memoryOrder))
  }

  /// Its elements in memory of their own.
  func copied(_ split: SplitView) throws(Failure) -> View {
    let source = try aligned(split.view)
    let target = try newView((source.element, split.dims), order: split.order)
    let (from, to) = split.copy(to: target.layout)
    let moved = source.with(from)
    emit([], moved.factor == 1 ? "copy" : "scale", reads: [source], writes: [target]) { (memory) throws(Failure) in
      unsafe PlanBuilder.copy(memory.address(source), moved, memory.address(target), to)
    }
    return target
  }

  private func copied(_ view: View, _ layout: Strided) throws(Failure) -> View {
    let source = try aligned(view)
    if let constant = slots[view.slot].constant {
      // Once, now, instead of in every run.
      let bytes = view.layout.count * view.elementBytes
      let buffer = unsafe TensorBuffer(byteCount: bytes) { target in
        unsafe constant.withUnsafeBytes { bytes in
          guard let from = bytes.baseAddress, let to = target.baseAddress else { return }
          unsafe PlanBuilder.copy(from + view.offset * view.elementBytes, view, to, layout)
        }
      }
      var result = try constantView(try Tensor(view.element, dims: [view.layout.count], storage: .memory(buffer)))
      result.layout = layout
      return result
    }
    let target = View(slot: newSlot(bytes: view.layout.count * view.elementBytes), offset: 0, layout: layout, element: view.element)
    emit([], view.factor == 1 ? "copy" : "scale", reads: [source], writes: [target]) { (memory) throws(Failure) in
      unsafe PlanBuilder.copy(memory.address(source), source, memory.address(target), layout)
    }
    return target
  }

  private static func copy(_ from: UnsafeRawPointer, _ view: View, _ to: UnsafeMutableRawPointer, _ layout: Strided) {
    if view.factor == 1 {
      unsafe Movement.copy(from, view.layout, to, layout, elementBytes: view.elementBytes)
    } else {
      unsafe Pointwise.apply(.affine(view.factor, 0), from.assumingMemoryBound(to: Float.self), view.layout, to.assumingMemoryBound(to: Float.self), layout)
    }
  }

  /// Adds a step. `inPlace` lets the first view written lie where the first one read lies, if that is not read later.
  func emit(
    _ nodes: [NodeID], _ kernel: String, reads: [View], writes: [View], inPlace: Bool = false, _ run: @escaping (PlanMemory) throws(Failure) -> Void
  ) {
    steps.append(
      Step(
        nodes: nodes, kernel: kernel, reads: reads.map(\.slot), writes: writes.map(\.slot),
        inPlace: inPlace && reads.first?.offset == 0 ? (reads[0].slot, writes[0].slot) : nil, run: run))
    done.formUnion(nodes)
  }
}
