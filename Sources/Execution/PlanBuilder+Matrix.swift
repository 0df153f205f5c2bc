internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Tensors

/// Matrix products.
extension PlanBuilder {
  func planMatrix(_ id: NodeID, _ node: Node, _ op: MatrixOp) throws(Failure) -> Bool {
    guard let a = node.input(0), let b = node.input(1), let output = node.output(0), try type(of: a).element == .float32,
      try type(of: b).element == .float32
    else { return false }
    if case .matMul = op, try planSpelledAttention(id) { return true }
    var (x, y) = (try view(of: a), try view(of: b))
    switch op {
    case .determinant: return false
    case .matMul:
      return try planProduct(id, x, y, output)
    case .gemm(let alpha, let beta, let transposeA, let transposeB):
      if transposeA { x = x.with(x.layout.permuted([1, 0])) }
      if transposeB { y = y.with(y.layout.permuted([1, 0])) }
      x.factor *= alpha
      guard let addend = node.input(2), beta != 0 else { return try planProduct(id, x, y, output) }
      guard beta == 1 else { return false }
      return try planProduct(id, x, y, output, addend: view(of: addend))
    case .fusedMatMul(let fused):
      guard !fused.transposeBatchA, !fused.transposeBatchB else { return false }
      if fused.transposeA { x = x.with(x.layout.permuted(swappedLastAxes(x.layout.rank))) }
      if fused.transposeB { y = y.with(y.layout.permuted(swappedLastAxes(y.layout.rank))) }
      x.factor *= fused.alpha
      return try planProduct(id, x, y, output)
    case .einsum: return false
    }
  }

  private func swappedLastAxes(_ rank: Int) -> [Int] {
    var axes = Array(0..<rank)
    if rank >= 2 { axes.swapAt(rank - 1, rank - 2) }
    return axes
  }

  /// `output = x y (+ addend)`, ranks as in NumPy.
  private func planProduct(_ id: NodeID, _ x: View, _ y: View, _ output: ValueID, addend: View? = nil) throws(Failure) -> Bool {
    guard x.layout.rank >= 1, y.layout.rank >= 1 else { return false }
    let left = x.layout.rank == 1 ? try reshaped(x, [1, x.dims[0]]) : x
    let right = y.layout.rank == 1 ? try reshaped(y, [y.dims[0], 1]) : y
    let isMatrix = right.dims.dropLast(2).allSatisfy { $0 == 1 }
    if isMatrix, isConstant(right) || right.layout.rank == 2, x.layout.rank > 1, y.layout.rank > 1 {
      return try planFlat(id, left, try reshaped(right, Array(right.dims.suffix(2))), output, addend: addend)
    }
    guard addend == nil else { return false }
    return try planBatched(id, left, right, output)
  }

  /// Rows times one matrix: all leading axes of the left operand are rows. This is where weights are packed and what
  /// follows is fused.
  ///
  /// - Parameters:
  ///   - addend: Gemm's third operand, broadcast to the result.
  ///   - axes: the axes of `output` in the order in which the product makes them; the last one runs over the columns.
  func planFlat(_ id: NodeID, _ x: View, _ y: View, _ output: ValueID, addend: View? = nil, axes: [Int]? = nil) throws(Failure) -> Bool {
    let (k, n) = (y.dims[0], y.dims[1])
    let rows = x.dims.dropLast().reduce(1, *)
    let shape = try dims(of: output)
    let axes = axes ?? Array(shape.indices)
    let left = try reshaped(x, [rows, k])
    let scale = x.factor * y.factor
    let flat = Strided(dense: [rows, n])
    let full: (View) throws(Failure) -> View? = { [self] (view) throws(Failure) in
      return try dense(view.with(view.layout.permuted(axes))).with(flat)
    }
    var result = Epilogue(output: output)
    if let addend {
      // Gemm's C: one row, one column, or all.
      guard let wide = addend.layout.broadcast(to: shape) else { return false }
      let column = (axes.last ?? 0) - (shape.count - addend.layout.rank)
      let isRow = addend.layout.count == n && column >= 0 && addend.dims[column] == n
      if isRow, scale == 1 {
        result.bias = try reshaped(dense(addend), [1, n])
      } else if isRow {
        let row = try reshaped(dense(addend), [1, n])
        result.operations.append(.binary(.add, row.layout))
        result.operands.append(row)
      } else {
        let whole = try dense(addend.with(wide.permuted(axes))).with(flat)
        result.operations.append(.binary(.add, whole.layout))
        result.operands.append(whole)
      }
    }
    let after = try epilogue(
      after: output, channel: axes.last ?? 0, kernelRank: 2, kernelChannel: 1, takesBias: addend == nil && scale == 1, fullSize: full)
    result.output = after.output
    result.nodes = [id] + after.nodes
    result.bias = result.bias ?? after.bias
    result.operations += after.operations
    result.operands += after.operands

    set(result.output, try flatProduct(result.nodes, left, y, shape: shape, axes: axes, bias: result.bias, result.operations, result.operands))
    return true
  }

  /// Adds `rows * y` as a step: a `[rows, K]` view times a `[K, N]` one, packed once where it is constant. Factors that
  /// the operands carry become the product's scale.
  ///
  /// - Parameters:
  ///   - shape: of the result, whose axes lie in memory in the order `axes`.
  ///   - operands: of the binary operations, in their order.
  func flatProduct(
    _ nodes: [NodeID], _ rows: View, _ y: View, shape: [Int], axes: [Int], bias: View? = nil, _ operations: [PostOperation] = [], _ operands: [View] = []
  ) throws(Failure) -> View {
    let scale = rows.factor * y.factor
    let flat = Strided(dense: [rows.dims[0], y.dims[1]])
    let target = try newView((.float32, shape), order: axes)
    let extras = (bias.map { [$0] } ?? []) + operands
    if let constant = slots[y.slot].constant, PackedProduct.isFast, productPrecision == .float32 {
      let left = try aligned(rows.unscaled)
      let product = try unsafe constant.withUnsafeBytes { (bytes) throws(Failure) -> PackedProduct? in
        guard let base = bytes.baseAddress else { return nil }
        return try unsafe PackedProduct(
          a: left.layout, b: y.layout, c: flat, scale: scale, bias: bias?.layout, post: operations,
          constantB: (base + y.offset * 4).assumingMemoryBound(to: Float.self), cache: weights, workspace: workspace)
      }
      guard let product else { throw Failure(.internalError, "a constant without bytes") }
      release(constant)
      emit(nodes, "MatMul", reads: [left] + extras, writes: [target]) { (memory) throws(Failure) in
        unsafe product.run(a: memory.address(left), c: memory.address(target), extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
      }
      return target
    }
    let left = hasUnitStride(rows.unscaled) ? try aligned(rows.unscaled) : try dense(rows.unscaled)
    if isConstant(y), let constant = slots[y.slot].constant {
      let product = try unsafe constant.withUnsafeBytes { (bytes) throws(Failure) in
        try unsafe MatrixProduct(
          a: left.layout, b: y.layout, c: flat, scale: scale, bias: bias?.layout, post: operations,
          constantB: bytes.baseAddress.map { unsafe $0 + y.offset * 4 }, precision: productPrecision, weights: weights, workspace: workspace)
      }
      release(constant)
      emit(nodes, "MatMul", reads: [left] + extras, writes: [target]) { (memory) throws(Failure) in
        try unsafe product.run(
          a: memory.address(left), b: nil, c: memory.address(target), extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
      }
    } else {
      let right = hasUnitStride(y.unscaled) ? y.unscaled : try dense(y.unscaled)
      let product = try unsafe MatrixProduct(
        a: left.layout, b: right.layout, c: flat, scale: scale, bias: bias?.layout, post: operations, weights: weights, workspace: workspace)
      emit(nodes, "MatMul", reads: [left, right] + extras, writes: [target]) { (memory) throws(Failure) in
        try unsafe product.run(
          a: memory.address(left), b: UnsafeRawPointer(memory.address(right)), c: memory.address(target),
          extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
      }
    }
    return target
  }

  /// A product of two activations, batched over broadcast leading axes, operands where they lie.
  private func planBatched(_ id: NodeID, _ x: View, _ y: View, _ output: ValueID) throws(Failure) -> Bool {
    let rank = Swift.max(x.layout.rank, y.layout.rank, 2)
    // A scale right behind the product is taken along.
    var nodes = [id]
    var (result, factor) = (output, Float(1))
    while let reader = onlyReader(result), case .binary(let op) = graph[reader].op, let a = graph[reader].input(0), let b = graph[reader].input(1),
      let next = graph[reader].output(0), try self.dims(of: next) == self.dims(of: result)
    {
      if let c = scalar(a == result ? b : a), op == .multiply || op == .divide && a == result, c != 0 {
        factor *= op == .multiply ? c : 1 / c
        nodes.append(reader)
        result = next
      } else {
        break
      }
    }
    let shape = try self.dims(of: result)
    let order = shape.count == rank ? orderOfReader(result, rank: rank) : Array(0..<rank)
    let target = try batchedProduct(nodes, x, y, scale: factor, order: order)
    set(result, shape == target.dims ? target : try reshaped(target, shape))
    return true
  }

  /// The axes in the order in which the transposition that alone reads `value` wants them, so that the transposed value has
  /// no gaps; the last axis stays the last.
  func orderOfReader(_ value: ValueID, rank: Int) -> [Int] {
    let order = Array(0..<rank)
    guard let reader = onlyReader(value), case .layout(.transpose(let axes)) = graph[reader].op, axes.count == rank, axes.last == rank - 1,
      axes.sorted() == order
    else { return order }
    return axes
  }

  /// Adds `scale * x y` as a step, batched over leading axes that broadcast; the result's axes lie in the order `order`.
  func batchedProduct(_ nodes: [NodeID], _ x: View, _ y: View, scale: Float, order: [Int]) throws(Failure) -> View {
    let rank = order.count
    let (a, b) = (try operand(x, rank: rank), try operand(y, rank: rank))
    var dims: [Int] = []
    for axis in 0..<(rank - 2) { dims.append(a.dims[axis] == 1 ? b.dims[axis] : a.dims[axis]) }
    dims += [a.dims[rank - 2], b.dims[rank - 1]]
    let target = try newView((.float32, dims), order: order)
    let product = try ActivationProduct(a: a.layout, b: b.layout, c: target.layout, scale: scale * x.factor * y.factor, workspace: workspace)
    emit(nodes, "MatMul", reads: [a, b], writes: [target]) { (memory) throws(Failure) in
      unsafe product.run(a: memory.address(a), b: UnsafeRawPointer(memory.address(b)), c: memory.address(target))
    }
    return target
  }

  /// What an operand's memory holds, with `rank` axes, repeated batch axes shortened to one element.
  private func operand(_ view: View, rank: Int) throws(Failure) -> View {
    var layout = view.layout
    while layout.rank < rank {
      layout.dims.insert(1, at: 0)
      layout.strides.insert((layout.strides.first ?? 1) * (layout.dims.dropFirst().first ?? 1), at: 0)
    }
    for axis in 0..<(rank - 2) where layout.strides[axis] == 0 { layout.dims[axis] = 1 }
    for axis in 0..<rank where layout.dims[axis] == 1 && layout.strides[axis] == 0 {
      layout.strides[axis] = axis + 1 < rank ? Swift.max(layout.strides[axis + 1] * layout.dims[axis + 1], 1) : 1
    }
    return try aligned(view.with(layout).unscaled)
  }

  /// Whether one of the last two axes is contiguous and the other does not overlap it.
  private func hasUnitStride(_ view: View) -> Bool {
    let rank = view.layout.rank
    guard rank >= 2 else { return false }
    let (row, column) = (view.layout.strides[rank - 2], view.layout.strides[rank - 1])
    let (rows, columns) = (view.dims[rank - 2], view.dims[rank - 1])
    return (column == 1 || columns == 1) && (row >= columns || rows == 1) || (row == 1 || rows == 1) && (column >= rows || columns == 1)
  }
}

extension View {
  /// What the memory holds, the factor left to whoever uses it.
  var unscaled: View {
    var copy = self
    copy.factor = 1
    return copy
  }
}
