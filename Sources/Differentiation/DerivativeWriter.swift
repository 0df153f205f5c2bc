internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Appends nodes to the body of a derivative. Shapes are asked of the values when they are known, at the run.
struct DerivativeWriter {
  private var builder: GraphBuilder
  private var count = 0

  init(opsets: [String: Int]) { builder = GraphBuilder(name: "Gradient", opsets: opsets) }

  private mutating func name() -> String {
    count += 1
    return "gradient:\(count)"
  }

  mutating func input(_ name: String, _ type: TensorType?) -> ValueID { builder.input(name, type) }
  mutating func constant(_ tensor: Tensor) -> ValueID { builder.constant(name(), tensor) }
  mutating func vector(_ elements: [Int64]) throws(Failure) -> ValueID { constant(try Tensor(int64: elements, dims: [elements.count])) }

  mutating func add(_ op: Op, _ inputs: [ValueID?]) -> ValueID { builder.node(op, inputs, result: name()) }

  mutating func node(_ op: Op, _ inputs: [ValueID?], results: Int) -> [ValueID?] {
    builder.node(Node(op, inputs), results: (0..<results).map { _ in name() })
  }

  mutating func finish(_ results: [ValueID]) throws(Failure) -> Graph {
    builder.outputs(results)
    return try builder.finish()
  }

  mutating func shape(of value: ValueID) -> ValueID { add(.generator(.shape(start: 0, end: nil)), [value]) }

  /// A tensor of the shape and type of `value` with one element all over.
  mutating func filled(like value: ValueID, with element: Double) -> ValueID {
    add(.conversion(.like(NarrowingRule())), [add(.generator(.constantOfShape(FillValue(.float32, element))), [shape(of: value)]), value])
  }

  /// `value` summed over the axes along which `operand` was broadcast, in the operand's shape.
  mutating func summed(_ value: ValueID, like operand: ValueID) throws(Failure) -> ValueID {
    let (wide, narrow) = (shape(of: value), shape(of: operand))
    let missing = add(.binary(.subtract), [add(.generator(.size), [wide]), add(.generator(.size), [narrow])])
    let ones = add(.generator(.constantOfShape(FillValue(.int64, 1))), [add(.layout(.unsqueeze), [missing, try vector([0])])])
    let padded = add(.layout(.concat(axis: 0)), [ones, narrow])
    let differs = add(.unary(.not), [add(.binary(.equal), [padded, wide])])
    let axes = add(.layout(.squeeze), [add(.selection(.nonZero), [differs]), try vector([0])])
    let sum = add(.reduction(ReductionOp(.sum, keepDims: true, noopWithEmptyAxes: true)), [value, axes])
    return add(.layout(.reshape(allowZero: true)), [sum, narrow])
  }
}
