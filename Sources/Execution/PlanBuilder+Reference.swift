internal import Diagnostics
internal import GraphIR
internal import Kernels
internal import Operators
internal import Tensors

extension PlanBuilder {
  /// A step that runs the operator's reference kernel; done at once where every operand is constant.
  func planReference(_ id: NodeID, _ node: Node) throws(Failure) {
    guard let op = node.op.semantics else { throw Failure(.operatorNotRunnable, "there is no kernel for \(node.op.name.mnemonic)") }
    var operands: [View?] = []
    for input in node.inputs {
      if let input { operands.append(try dense(view(of: input))) } else { operands.append(nil) }
    }
    let views = operands
    let count = node.outputs.count
    if views.allSatisfy({ $0.map { isConstant($0) } ?? true }) {
      var tensors: [Tensor?] = []
      for view in views { tensors.append(try view.map { (view) throws(Failure) in try constantOperand(view) }) }
      let results = try op.evaluate(tensors, resultCount: count)
      for (output, tensor) in zip(node.outputs, results) { if let output { set(output, try constantView(tensor)) } }
      markDone([id])
      return
    }
    let constants = try views.map { (view) throws(Failure) -> Tensor? in
      guard let view, isConstant(view) else { return nil }
      return try constantOperand(view)
    }
    var targets: [View?] = []
    for output in node.outputs { targets.append(try output.map { (value) throws(Failure) in try newView(type(of: value)) }) }
    for (output, target) in zip(node.outputs, targets) { if let output, let target { set(output, target) } }
    let results = targets
    emit([id], op.mnemonic, reads: views.compactMap { $0 }, writes: results.compactMap { $0 }) { (memory) throws(Failure) in
      var tensors: [Tensor?] = []
      for (index, view) in views.enumerated() {
        guard let view else {
          tensors.append(nil)
          continue
        }
        if let constant = constants[index] {
          tensors.append(constant)
        } else {
          let bytes = view.layout.count * view.elementBytes
          // The reference kernels read it before this step ends, and what they return is copied.
          let buffer = unsafe TensorBuffer(borrowing: memory.address(view), byteCount: bytes)
          tensors.append(try Tensor(view.element, dims: view.dims, storage: .memory(buffer)))
        }
      }
      let made = try op.evaluate(tensors, resultCount: count)
      for (index, target) in results.enumerated() {
        guard let target else { continue }
        guard index < made.count, made[index].dims == target.dims, made[index].elementType == target.element else {
          throw Failure(.internalError, "\(op.mnemonic) gave another type than its shape rule told")
        }
        unsafe made[index].withUnsafeBytes { source in
          guard let start = source.baseAddress else { return }
          unsafe memory.address(target).copyMemory(from: start, byteCount: source.count)
        }
      }
    }
  }

  private func constantOperand(_ view: View) throws(Failure) -> Tensor {
    let whole = try dense(view)
    guard let tensor = slots[whole.slot].constant else { throw Failure(.internalError, "a constant is not one") }
    if whole.offset == 0, tensor.count == whole.layout.count { return try tensor.reshaped(whole.dims) }
    let bytes = whole.layout.count * whole.elementBytes
    let start = whole.offset * whole.elementBytes
    let buffer = unsafe TensorBuffer(byteCount: bytes) { target in
      unsafe tensor.withUnsafeBytes { unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + bytes])) }
    }
    return try Tensor(whole.element, dims: whole.dims, storage: .memory(buffer))
  }
}
