internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Tensors and constants joined along an axis, as layers.
extension LayerRaising {
  /// Tensors joined. Constants among them become zeros, and a bias puts them in their place: Keras's layers join tensors
  /// only.
  mutating func concatenated(_ site: RaisingSite, axis: Int, _ dims: [Dim]) throws(Failure) -> PlacedValue {
    let rank = dims.count
    let axis = axis < 0 ? axis + rank : axis
    let operands = site.node.inputs.compactMap { $0 }
    guard let lead = operands.first(where: { constant($0) == nil }) else { throw refusal(site, "all its operands are constants") }
    let first = try standing(lead)
    // Only numbers that a bias can be made of, beside tensors of known size.
    var hasConstants = first.tensor.element.isFloatingPoint && axis > 0 && operands.contains { constant($0) != nil }
    for operand in operands where try self.dims(operand)[axis].value == nil { hasConstants = false }
    // Constants lie in the value's own order.
    let standing = hasConstants ? PlacedValue(try turned(first, to: Array(0..<rank))) : first
    let place = standing.order[axis]
    let axes = standing.axes
    var run: [LayerTensor] = []
    var start = 0
    var constants: [(start: Int, tensor: Tensor)] = []
    var before = 0
    for operand in operands {
      let own = try self.dims(operand)
      if hasConstants, let tensor = constant(operand) {
        guard let size = own[axis].value else { throw refusal(site, "the size of a constant is open") }
        constants.append((start, tensor))
        if let last = run.popLast() { run.append(try zeroPadded(last, axis: place, 0, size)) } else { before += size }
        start += size
      } else {
        run.append(try turned(try self.standing(operand), to: axes))
        if hasConstants {
          guard let size = own[axis].value else { throw refusal(site, "the size of a tensor beside a constant is open") }
          start += size
        }
      }
    }
    if before > 0, let head = run.first { run[0] = try zeroPadded(head, axis: place, before, 0) }
    let turnedDims = axes.map { dims[$0] }
    var joined = run[0]
    if run.count > 1 {
      if place == 0 {
        joined = try operation("numpy", "Concatenate", ["axis": .integer(0)], [.list(run.map { .tensor($0) })], turnedDims, joined.element)
      } else {
        joined = try layer("Concatenate", ["axis": .integer(place)], [.list(run.map { .tensor($0) })], turnedDims, joined.element)
      }
    }
    guard hasConstants else { return PlacedValue(joined, order: standing.order) }
    return PlacedValue(
      try shifted(
        joined, by: try assembled(constants, axis: axis, dims, joined.element, site), site, stem: constantName(operands.first { constant($0) != nil })))
  }

  /// The constants in their places along the axis, zeros elsewhere; the axis of samples is 1.
  private func assembled(
    _ parts: [(start: Int, tensor: Tensor)], axis: Int, _ dims: [Dim], _ element: ElementType, _ site: RaisingSite
  ) throws(Failure) -> Tensor {
    guard element.isFloatingPoint, let own = Shape([Dim(1)] + dims.dropFirst()).concrete, let count = own.checkedProduct,
      count <= 1 << 26
    else { throw refusal(site, "the constant among its operands is too large, or of open size") }
    var values = [Double](repeating: 0, count: count)
    let inner = own[(axis + 1)...].reduce(1, *)
    let outer = own[..<axis].reduce(1, *)
    for (start, tensor) in parts {
      guard tensor.dims.count == own.count, let numbers = try LayerRaising.sample(of: tensor)?.doubles() else {
        throw refusal(site, "the constant differs from sample to sample")
      }
      let length = tensor.dims[axis]
      guard numbers.count == outer * length * inner else { throw refusal(site, "the constant has another shape") }
      for block in 0..<outer {
        for index in 0..<(length * inner) { values[(block * own[axis] + start) * inner + index] = numbers[block * length * inner + index] }
      }
    }
    return try Tensor.filled(values, dims: own, element)
  }

  /// The one entry along the first axis, where all are equal.
  private static func sample(of tensor: Tensor) throws(Failure) -> Tensor? {
    guard let count = tensor.dims.first, count > 0 else { return nil }
    if count == 1 { return tensor }
    let bytes = tensor.elements(as: UInt8.self)
    let row = bytes.count / count
    return (1..<count).allSatisfy({ bytes[($0 * row)..<(($0 + 1) * row)] == bytes[..<row] }) ? try tensor.selecting([0]) : nil
  }
}
