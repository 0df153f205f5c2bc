internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Spells new nodes of one block: names under the block's, constants in the block's element type.
///
/// Only operators and shapes that operator set 13 knows, and no batch size in them: reshapes leave that axis to -1.
struct PatchWriter {
  var patch: Patch
  let stem: String
  let element: ElementType
  let origins: OriginSet

  init(_ graph: Graph, stem: String, element: ElementType, origins: OriginSet) {
    patch = Patch(graph)
    self.stem = stem
    self.element = element
    self.origins = origins
  }

  mutating func add(_ op: Op, _ inputs: [ValueID?], _ name: String) -> ValueID {
    patch.add(op, inputs, name: "\(stem)/\(name)", origins: origins)
  }

  /// A constant in the block's element type.
  mutating func constant(_ name: String, _ values: [Double], _ dims: [Int]) throws(Failure) -> ValueID {
    let tensor: Tensor
    switch element {
    case .float64: tensor = try Tensor(float64: values, dims: dims)
    case .float16: tensor = try Tensor(.float16, dims: dims, values: values.map { Float16($0) })
    default: tensor = try Tensor(float32: values.map { Float($0) }, dims: dims)
    }
    return patch.addConstant("\(stem)/\(name)", tensor)
  }

  mutating func integers(_ name: String, _ values: [Int]) throws(Failure) -> ValueID {
    patch.addConstant("\(stem)/\(name)", try Tensor(int64: values.map(Int64.init), dims: [values.count]))
  }

  mutating func matMul(_ a: ValueID, _ b: ValueID, _ name: String) -> ValueID { add(.matrix(.matMul), [a, b], name) }
  mutating func sum(_ a: ValueID, _ b: ValueID, _ name: String) -> ValueID { add(.binary(.add), [a, b], name) }
  mutating func product(_ a: ValueID, _ b: ValueID, _ name: String) -> ValueID { add(.binary(.multiply), [a, b], name) }
  mutating func transpose(_ a: ValueID, _ axes: [Int], _ name: String) -> ValueID { add(.layout(.transpose(axes)), [a], name) }
  mutating func concat(_ parts: [ValueID], axis: Int, _ name: String) -> ValueID { add(.layout(.concat(axis: axis)), parts, name) }

  mutating func reshape(_ a: ValueID, _ dims: [Int], _ name: String) throws(Failure) -> ValueID {
    let shape = try integers("\(name).shape", dims)
    return add(.layout(.reshape(allowZero: false)), [a, shape], name)
  }

  mutating func slice(_ a: ValueID, axis: Int, _ range: Range<Int>, _ name: String) throws(Failure) -> ValueID {
    let starts = try integers("\(name).starts", [range.lowerBound])
    let ends = try integers("\(name).ends", [range.upperBound])
    let axes = try integers("\(name).axes", [axis])
    return add(.layout(.slice), [a, starts, ends, axes], name)
  }

  mutating func reduce(_ kind: ReductionOp.Kind, _ a: ValueID, axis: Int, _ name: String) throws(Failure) -> ValueID {
    let axes = try integers("\(name).axes", [axis])
    return add(.reduction(ReductionOp(kind, keepDims: true)), [a, axes], name)
  }

  /// `x W + b`, weights (in, out); the bias is left out when it is zero.
  mutating func linear(_ x: ValueID, _ weight: [Double], _ bias: [Double], inputs: Int, _ name: String) throws(Failure) -> ValueID {
    let y = matMul(x, try constant("\(name).weight", weight, [inputs, bias.count]), name)
    if bias.allSatisfy({ $0 == 0 }) { return y }
    return sum(y, try constant("\(name).bias", bias, [bias.count]), "\(name).biased")
  }
}
