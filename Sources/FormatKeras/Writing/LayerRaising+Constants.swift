internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

extension LayerRaising {
  /// The most elements of operands and results that are worked out, and the most multiply-adds.
  private static let elementLimit = 1 << 22
  private static let productLimit = 1 << 30

  /// Works out a node that reads constants alone: larger ones than inference does, and those that are repeated for each
  /// sample.
  mutating func evaluates(_ node: Node) -> Bool {
    switch node.op {
    case .random, .control, .call, .sequence, .foreign: return false
    default: break
    }
    guard node.captures.isEmpty, !node.inputs.isEmpty, let semantics = node.op.semantics else { return false }
    var operands: [Tensor?] = []
    var isRepeated = false
    for input in node.inputs {
      guard let input else {
        operands.append(nil)
        continue
      }
      let own = typed.constant(input) ?? evaluated[input]
      guard let tensor = own ?? constant(input), tensor.count <= LayerRaising.elementLimit else { return false }
      isRepeated = isRepeated || own == nil
      operands.append(tensor)
    }
    if isRepeated { return evaluatesSample(node, semantics, operands) }
    let types = node.outputs.map { $0.flatMap { typed.type(of: $0) } }
    guard types.allSatisfy({ $0?.shape?.elementCount?.value.map { $0 <= LayerRaising.elementLimit } ?? false }),
      semantics.cost(operands: operands.map { $0?.type }, results: types.compactMap { $0 }).macs <= LayerRaising.productLimit,
      let results = try? semantics.evaluate(operands, resultCount: node.outputs.count), results.count == node.outputs.count
    else { return false }
    for (value, tensor) in zip(node.outputs, results) { if let value { evaluated[value] = tensor } }
    return true
  }

  /// What is repeated along open axes stays so through operators that leave these axes alone.
  private mutating func evaluatesSample(_ node: Node, _ semantics: any Operator, _ operands: [Tensor?]) -> Bool {
    guard node.outputs.count == 1, let result = node.outputs[0], let dims = typed.shape(of: result)?.dims, let x = operands.first ?? nil else { return false }
    switch node.op {
    case .unary, .binary, .select, .clip, .cast: break
    case .matrix(.matMul):
      guard let weight = operands.last ?? nil, x.dims.count > 1, weight.dims.count > 1, x.dims.last == weight.dims[weight.dims.count - 2] else { return false }
    // Rows of a table that is one for all, by numbers that each sample has alike.
    case .indexing(.gather(axis: 0)): guard let table = node.input(0), typed.constant(table) ?? evaluated[table] != nil else { return false }
    case .layout(.concat(let axis)):
      guard axis != 0, axis != -dims.count, operands.allSatisfy({ $0?.dims.first == 1 }) else { return false }
    case .normalization(.layer(let axis, _)), .softmax(.softmax(let axis)):
      guard axis == -1 || axis == dims.count - 1, let width = dims.last?.value, x.dims.last == width else { return false }
    default: return false
    }
    let sizes = dims.map { $0.value ?? 1 }
    guard let count = sizes.checkedProduct, count <= LayerRaising.elementLimit,
      semantics.cost(operands: operands.map { $0?.type }, results: [TensorType(x.elementType, Shape(sizes.map { Dim($0) }))]).macs <= LayerRaising.productLimit,
      let made = try? semantics.evaluate(operands, resultCount: 1).first, made.dims == sizes
    else { return false }
    setRepeated(result, made)
    return true
  }
}
