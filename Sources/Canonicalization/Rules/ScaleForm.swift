internal import GraphIR
internal import Inference
internal import Tensors

/// Constants stand on the right of sums and products, and factors are gathered.
enum ScaleForm {
  static let rules: [Rule] = [quotient, difference, commuted, chain]

  /// `x / c = x * (1 / c)`.
  static let quotient = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.divide), let x = site.input(0), let c = sweep.mapped(site.input(1), for: site, { 1 / $0 }) else { return nil }
    return sweep.make(.binary(.multiply), [x, c], for: site).map { [$0] }
  }

  /// `x - c = x + (-c)`.
  static let difference = Rule(.exact) { site, sweep in
    guard site.op == .binary(.subtract), let x = site.input(0), let c = sweep.mapped(site.input(1), for: site, { -$0 }) else { return nil }
    return sweep.make(.binary(.add), [x, c], for: site).map { [$0] }
  }

  /// `c + x = x + c`, `c * x = x * c`.
  static let commuted = Rule(.exact) { site, sweep in
    guard site.op == .binary(.add) || site.op == .binary(.multiply), let a = site.input(0), let b = site.input(1),
      sweep.constant(a) != nil, sweep.constant(b) == nil
    else { return nil }
    return sweep.make(site.op, [b, a], for: site).map { [$0] }
  }

  /// `(x * a) * b = x * (a * b)` for numbers a, b.
  static let chain = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.multiply), let inner = site.input(0), let b = site.input(1), let outerTensor = sweep.constant(b), outerTensor.count == 1,
      let (x, a, origins) = sweep.operands(inner, of: .multiply), let innerTensor = sweep.constant(a), innerTensor.count == 1,
      let outer = outerTensor.scalar, let factor = innerTensor.scalar, sweep.shape(x) == sweep.resultShape(site),
      let product = sweep.number(factor * outer, like: x, for: site)
    else { return nil }
    return sweep.make(.binary(.multiply), [x, product], for: site, origins: origins).map { [$0] }
  }
}

extension Sweep {
  /// The small floating constant `value` with `change` applied to its elements.
  mutating func mapped(_ value: ValueID?, for site: Site, _ change: (Double) -> Double) -> ValueID? {
    guard let tensor = constant(value), tensor.elementType.isFloatingPoint, tensor.count <= Inference.foldingLimit, let values = tensor.doubles() else {
      return nil
    }
    let result: Tensor? =
      switch tensor.elementType {
      case .float32: try? Tensor(float32: values.map { Float(change($0)) }, dims: tensor.dims)
      case .float64: try? Tensor(float64: values.map(change), dims: tensor.dims)
      case .float16: try? Tensor(.float16, dims: tensor.dims, values: values.map { Float16(change($0)) })
      default: nil
      }
    return result.map { constant($0, for: site) }
  }
}
