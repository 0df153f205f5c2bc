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
    var (x, y) = (try view(of: a), try view(of: b))
    switch op {
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
    var left = try reshaped(x, [rows, k])
    if !hasUnitStride(left) { left = try dense(left) }
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

    let target = try newView((.float32, shape), order: axes)
    let constant = isConstant(y) ? slots[y.slot].constant : nil
    let right = constant == nil ? (hasUnitStride(y) ? y : try dense(y.unscaled)) : y
    let product: MatrixProduct
    if let constant {
      product = try unsafe constant.withUnsafeBytes { (bytes) throws(Failure) in
        try unsafe MatrixProduct(
          a: left.layout, b: right.layout, c: flat, scale: scale, bias: result.bias?.layout, post: result.operations,
          constantB: bytes.baseAddress.map { unsafe $0 + right.offset * 4 }, weights: weights, workspace: workspace)
      }
      release(constant)
    } else {
      product = try unsafe MatrixProduct(
        a: left.layout, b: right.layout, c: flat, scale: scale, bias: result.bias?.layout, post: result.operations, weights: weights, workspace: workspace)
    }
    let source = left.unscaled
    let extras = (result.bias.map { [$0] } ?? []) + result.operands
    let isPacked = constant != nil
    emit(result.nodes, "MatMul", reads: [source] + (isPacked ? [] : [right]) + extras, writes: [target]) { (memory) throws(Failure) in
      try unsafe product.run(
        a: memory.address(source), b: isPacked ? nil : UnsafeRawPointer(memory.address(right)), c: memory.address(target),
        extras: extras.map { unsafe UnsafeRawPointer(memory.address($0)) })
    }
    set(result.output, target)
    return true
  }

  /// A product of two activations, batched over broadcast leading axes, operands where they lie.
  private func planBatched(_ id: NodeID, _ x: View, _ y: View, _ output: ValueID) throws(Failure) -> Bool {
    let rank = Swift.max(x.layout.rank, y.layout.rank, 2)
    let left = try operand(x, rank: rank)
    let right = try operand(y, rank: rank)
    var dims: [Int] = []
    for axis in 0..<(rank - 2) { dims.append(Swift.max(left.dims[axis], right.dims[axis])) }
    dims += [left.dims[rank - 2], right.dims[rank - 1]]
    let scale = x.factor * y.factor

    // A scale right behind the product is taken along.
    var nodes = [id]
    var (result, factor) = (output, scale)
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
    // The result lies as the transposition that reads it wants it, so that the transposed value has no gaps.
    var order = Array(0..<rank)
    if shape.count == rank, let reader = onlyReader(result), case .layout(.transpose(let axes)) = graph[reader].op, axes.count == rank,
      axes.last == rank - 1, axes.sorted() == order
    {
      order = axes
    }
    let target = try newView((.float32, dims), order: order)
    let product = try unsafe MatrixProduct(a: left.layout, b: right.layout, c: target.layout, scale: factor, weights: weights, workspace: workspace)
    let (a, b) = (left.unscaled, right.unscaled)
    emit(nodes, "MatMul", reads: [a, b], writes: [target]) { (memory) throws(Failure) in
      try unsafe product.run(a: memory.address(a), b: UnsafeRawPointer(memory.address(b)), c: memory.address(target))
    }
    set(result, shape == dims ? target : try reshaped(target, shape))
    return true
  }

  /// An operand with `rank` axes, one of the last two contiguous, repeated batch axes shortened to one element.
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
    let result = view.with(layout)
    if hasUnitStride(result) { return try aligned(result) }
    var copy = try dense(result.unscaled)
    copy.factor = view.factor
    return copy
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
