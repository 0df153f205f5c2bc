internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Why a formula is not written.
public enum Unwritten: Error, Sendable {
  /// A size that the run does not tell, an axis whose factors no rearrangement says.
  case open
  /// The claims do not fit each other or the tensors: so many heads of so many elements are not there.
  case misfit
}

/// Writes a small graph in canonical form, in float32 and with the sizes of one run, out of what a block's report claims.
public struct FormulaWriter {
  private let typed: TypedGraph
  private let symbols: [String: Int]
  private var builder = GraphBuilder(name: "formula")
  private var taken: [ValueID: ValueID] = [:]
  private var inputs: [(name: String, value: ValueID)] = []
  private var count = 0

  /// - Parameter symbols: the sizes that symbols have in the run.
  init(_ typed: TypedGraph, symbols: [String: Int]) {
    self.typed = typed
    self.symbols = symbols
  }

  // MARK: Tensors

  /// A tensor of the model's graph: a constant, or what a run made.
  mutating func tensor(_ value: ValueID) throws(Unwritten) -> ValueID {
    if let known = taken[value] { return known }
    guard let type = typed.type(of: value) else { throw .open }
    var made: ValueID
    if let constant = typed.constant(value) {
      made = builder.constant(name("c"), constant)
    } else {
      let input = name("in")
      made = builder.input(input, TensorType(type.element, Shape(try dims(value))))
      inputs.append((input, value))
    }
    if type.element.isFloatingPoint, type.element != .float32 { made = node(.cast(to: .float32), [made]) }
    taken[value] = made
    return made
  }

  mutating func constant(_ elements: [Double], dims: [Int]) throws(Unwritten) -> ValueID {
    do throws(Failure) {
      return builder.constant(name("c"), try Tensor(float32: elements.map { Float($0) }, dims: dims))
    } catch { throw .open }
  }

  mutating func node(_ op: Op, _ operands: [ValueID?]) -> ValueID { builder.node(op, operands, result: name("v")) }

  mutating func integers(_ values: [Int]) throws(Unwritten) -> ValueID {
    do throws(Failure) {
      return builder.constant(name("i"), try Tensor(int64: values.map(Int64.init), dims: [values.count]))
    } catch { throw .open }
  }

  private mutating func name(_ prefix: String) -> String {
    count += 1
    return "\(prefix)\(count)"
  }

  // MARK: Sizes

  func size(_ dim: Dim) throws(Unwritten) -> Int {
    guard let value = dim.value ?? dim.substituting(symbols)?.value, value > 0 else { throw .open }
    return value
  }

  func dims(_ value: ValueID) throws(Unwritten) -> [Int] {
    guard let shape = typed.shape(of: value) else { throw .open }
    return try shape.dims.map { dim throws(Unwritten) in try size(dim) }
  }

  // MARK: Operators

  mutating func reshape(_ value: ValueID, _ dims: [Int]) throws(Unwritten) -> ValueID {
    node(.layout(.reshape(allowZero: false)), [value, try integers(dims)])
  }

  mutating func transpose(_ value: ValueID, _ permutation: [Int]) -> ValueID {
    permutation == Array(permutation.indices) ? value : node(.layout(.transpose(permutation)), [value])
  }

  mutating func expand(_ value: ValueID, _ dims: [Int]) throws(Unwritten) -> ValueID { node(.layout(.expand), [value, try integers(dims)]) }

  mutating func slice(_ value: ValueID, axis: Int, start: Int, count: Int, step: Int) throws(Unwritten) -> ValueID {
    // The last element taken is at `start + (count - 1) * step`.
    let (distance, overflow) = (count - 1).multipliedReportingOverflow(by: step)
    let (end, overflow2) = start.addingReportingOverflow(distance)
    guard !overflow, !overflow2, end < .max else { throw .open }
    return node(.layout(.slice), [value, try integers([start]), try integers([end + 1]), try integers([axis]), try integers([step])])
  }

  mutating func matMul(_ a: ValueID, _ b: ValueID) -> ValueID { node(.matrix(.matMul), [a, b]) }
  mutating func add(_ a: ValueID, _ b: ValueID) -> ValueID { node(.binary(.add), [a, b]) }
  mutating func multiply(_ a: ValueID, _ b: ValueID) -> ValueID { node(.binary(.multiply), [a, b]) }
  mutating func multiply(_ a: ValueID, _ factor: Double) throws(Unwritten) -> ValueID {
    factor == 1 ? a : multiply(a, try constant([factor], dims: []))
  }
  mutating func softmax(_ value: ValueID, axis: Int) -> ValueID { node(.softmax(.softmax(axis: axis)), [value]) }

  mutating func mean(_ value: ValueID, axes: [Int], keepDims: Bool, _ kind: ReductionOp.Kind = .mean) throws(Unwritten) -> ValueID {
    node(.reduction(ReductionOp(kind, keepDims: keepDims)), [value, try integers(axes)])
  }

  /// `x W + b`, W (in, out) from a view of the model's constant and one number for each channel made.
  mutating func linear(_ x: ValueID, _ weight: WeightView, columns: [Int]? = nil, bias: [Double]? = nil) throws(Unwritten) -> ValueID {
    guard let all = weight.materialized(), weight.rows > 0, weight.columns > 0 else { throw .open }
    var elements = all
    var width = weight.columns
    if let columns {
      guard columns.allSatisfy({ $0 >= 0 && $0 < weight.columns }) else { throw .open }
      elements = []
      elements.reserveCapacity(weight.rows * columns.count)
      for row in 0..<weight.rows { for column in columns { elements.append(all[row * weight.columns + column]) } }
      width = columns.count
    }
    let made = matMul(x, try constant(elements, dims: [weight.rows, width]))
    guard let bias else { return made }
    guard bias.count == width else { throw .open }
    return add(made, try constant(bias, dims: [width]))
  }

  // MARK: Arrangement

  /// `value`, whose axes are products of the factors `from`, laid out with the axes `to`.
  ///
  /// - Parameter expanding: whether an axis that lacks some of its factors is filled by copies; one that lacks all of them
  ///   is of size 1 either way.
  mutating func arranged(_ value: ValueID, _ from: [[AxisFactor]], _ to: [[AxisFactor]], expanding: Bool = false) throws(Unwritten) -> ValueID {
    let cuts = try Cuts(try sized(from.joined()) + sized(to.joined()))
    let source = try from.map { axis throws(Unwritten) in try cuts.atoms(try sized(axis)) }
    let target = try to.map { axis throws(Unwritten) in try cuts.atoms(try sized(axis)) }
    let flat = Array(source.joined())
    let wanted = target.joined().filter { flat.contains($0) }
    guard Set(flat).count == flat.count, Set(wanted).count == flat.count, wanted.count == flat.count else { throw .open }
    var result = try reshape(value, flat.map(\.size))
    result = transpose(result, wanted.compactMap { flat.firstIndex(of: $0) })
    var present = target.map { axis in axis.filter { flat.contains($0) } }
    if expanding {
      let isPartial = zip(target, present).contains { $0.count != $1.count && !$1.isEmpty }
      if isPartial {
        var (thin, whole): ([Int], [Int]) = ([], [])
        for (axis, own) in zip(target, present) {
          for atom in axis {
            thin.append(own.contains(atom) ? atom.size : 1)
            whole.append(own.isEmpty ? 1 : atom.size)
          }
        }
        result = try expand(try reshape(result, thin), whole)
        present = zip(target, present).map { $1.isEmpty ? [] : $0 }
      }
    }
    return try reshape(
      result,
      try zip(target, present).map { axis, own throws(Unwritten) in
        guard own.isEmpty || own.count == axis.count, let size = own.map(\.size).checkedProduct else { throw .open }
        return size
      })
  }

  func sized(_ factors: some Sequence<AxisFactor>) throws(Unwritten) -> [SizedFactor] {
    var result: [SizedFactor] = []
    for factor in factors {
      let made = SizedFactor(source: factor.source, stride: try size(factor.stride), size: try size(factor.size))
      if made.size != 1 { result.append(made) }
    }
    return result
  }

  // MARK: End

  func finish(_ result: ValueID, gives output: ValueID) throws(Unwritten) -> BlockFormula.Standalone {
    var builder = builder
    builder.outputs([result])
    do throws(Failure) {
      return BlockFormula.Standalone(graph: try builder.finish(), inputs: inputs, output: output)
    } catch { throw .open }
  }
}

/// A part of an axis whose sizes are numbers.
struct SizedFactor: Hashable {
  var source: AxisSource
  var stride: Int
  var size: Int
}

/// The finest parts into which factors of the same axes cut each other.
private struct Cuts {
  /// For each source the strides at which some factor begins or ends.
  private var strides: [AxisSource: Set<Int>] = [:]

  init(_ factors: [SizedFactor]) throws(Unwritten) {
    for factor in factors {
      let (end, overflow) = factor.stride.multipliedReportingOverflow(by: factor.size)
      if overflow { throw .open }
      strides[factor.source, default: []].formUnion([factor.stride, end])
    }
  }

  /// Factors as finest parts, outermost first.
  func atoms(_ factors: [SizedFactor]) throws(Unwritten) -> [SizedFactor] {
    var result: [SizedFactor] = []
    for factor in factors {
      let end = factor.stride * factor.size
      var upper = end
      for cut in (strides[factor.source] ?? []).sorted(by: >) where cut < end && cut >= factor.stride {
        guard cut > 0, upper % cut == 0 else { throw .open }
        result.append(SizedFactor(source: factor.source, stride: cut, size: upper / cut))
        upper = cut
      }
    }
    return result
  }
}
