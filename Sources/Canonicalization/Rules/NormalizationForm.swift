internal import GraphIR
internal import Inference
internal import Tensors

/// Norms that exporters took apart stand as one node again, and fused additions beside them.
enum NormalizationForm {
  static let rules: [Rule] = [skipped, centered, rootMeanSquare, unitLength, scaled, shifted]

  /// `skip_layer_norm(x, s, gamma, beta, b)`: the sum `(x + b) + s`, and its norm.
  static let skipped = Rule(.rounding) { site, sweep in
    guard case .normalization(let op) = site.op, var x = site.input(0), let skip = site.input(1), let gamma = site.input(2) else { return nil }
    let norm: NormalizationOp
    let parameters: [ValueID?]
    let bias: ValueID?
    switch op {
    case .skipLayer(let epsilon):
      norm = .layer(axis: -1, epsilon: epsilon)
      parameters = site.input(3).map { [gamma, $0] } ?? [gamma]
      bias = site.input(4)
    case .skipRMS(let epsilon):
      norm = .rms(axis: -1, epsilon: epsilon)
      parameters = [gamma]
      bias = site.input(3)
    default: return nil
    }
    if let bias {
      guard let sum = sweep.make(.binary(.add), [x, bias], for: site) else { return nil }
      x = sum
    }
    guard let sum = sweep.make(.binary(.add), [x, skip], for: site), let normalized = sweep.make(.normalization(norm), [sum] + parameters, for: site) else {
      return nil
    }
    return site.results.indices.map { $0 == 0 ? normalized : $0 == 3 ? sum : nil }
  }

  /// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + e) = layer_norm(x)` with scale 1, over the last axis.
  static let centered = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.divide), let (d, x, dOrigins) = difference(site.input(0), &sweep),
      let (variance, epsilon, rootOrigins) = root(site.input(1), sweep),
      let (square, squareOrigins) = mean(variance, sweep), let (base, powerOrigins) = squared(square, sweep), base == d,
      let width = sweep.shape(x)?.dims.last?.value, let ones = sweep.number(1, like: x, dims: [width], for: site)
    else { return nil }
    let origins = dOrigins.union(rootOrigins).union(squareOrigins).union(powerOrigins)
    return sweep.make(.normalization(.layer(axis: -1, epsilon: Float(epsilon))), [x, ones], for: site, origins: origins).map { [$0] }
  }

  /// `x / sqrt(mean(x^2) + e) = x * (1 / sqrt(..)) = rms_norm(x)` with scale 1, over the last axis.
  static let rootMeanSquare = Rule(.rounding) { site, sweep in
    var numerator = site.input(0)
    var denominator = site.input(1)
    var origins: OriginSet = []
    if site.op == .binary(.multiply) {
      for (a, b) in [(site.input(0), site.input(1)), (site.input(1), site.input(0))] {
        guard let (inner, found) = inverted(b, sweep) else { continue }
        (numerator, denominator) = (a, inner)
        origins = found
      }
      if origins.isEmpty { return nil }
    } else if site.op != .binary(.divide) {
      return nil
    }
    guard let x = numerator, let (power, epsilon, rootOrigins) = root(denominator, sweep), let (square, meanOrigins) = mean(power, sweep),
      let (base, powerOrigins) = squared(square, sweep), base == x, let width = sweep.shape(x)?.dims.last?.value,
      let ones = sweep.number(1, like: x, dims: [width], for: site)
    else { return nil }
    origins = origins.union(rootOrigins).union(meanOrigins).union(powerOrigins)
    return sweep.make(.normalization(.rms(axis: -1, epsilon: Float(epsilon))), [x, ones], for: site, origins: origins).map { [$0] }
  }

  /// `x / max(|x|, e) = lp_norm(x)`, the length along one axis.
  static let unitLength = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.divide), let x = site.input(0), let rank = sweep.shape(x)?.rank else { return nil }
    var value = site.input(1)
    var origins: OriginSet = []
    for _ in 0..<4 {
      guard let node = sweep.producer(value) else { return nil }
      origins = origins.union(node.origins)
      switch node.op {
      case .layout(.expand), .clip: value = node.input(0)
      case .binary(.maximum), .binary(.add):
        guard sweep.scalar(node.input(1)) != nil else { return nil }
        value = node.input(0)
      case .reduction(let reduction):
        guard reduction.kind == .l2, reduction.keepDims, node.input(0) == x, let axes = sweep.integers(node.input(1)), axes.count == 1 else { return nil }
        let axis = axes[0] < 0 ? axes[0] : axes[0] - rank
        return sweep.make(.normalization(.lp(axis: axis, p: 2)), [x], for: site, origins: origins).map { [$0] }
      default: return nil
      }
    }
    return nil
  }

  /// `norm(x, 1) * c = norm(x, c)`.
  static let scaled = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.multiply), let norm = sweep.producer(site.input(0)), let c = site.input(1), let x = norm.input(0), norm.inputs.count == 2,
      sweep.scalar(norm.input(1)) == 1, isPerChannel(c, of: x, sweep)
    else { return nil }
    switch norm.op {
    case .normalization(.layer), .normalization(.rms): return sweep.make(norm.op, [x, c], for: site, origins: norm.origins).map { [$0] }
    default: return nil
    }
  }

  /// `layer_norm(x, c) + b = layer_norm(x, c, b)`.
  static let shifted = Rule(.rounding) { site, sweep in
    guard site.op == .binary(.add), let norm = sweep.producer(site.input(0)), case .normalization(.layer) = norm.op, norm.inputs.count == 2,
      let x = norm.input(0),
      let b = site.input(1), isPerChannel(b, of: x, sweep)
    else { return nil }
    return sweep.make(norm.op, [x, norm.input(1), b], for: site, origins: norm.origins).map { [$0] }
  }

  private static func isPerChannel(_ c: ValueID, of x: ValueID, _ sweep: Sweep) -> Bool {
    guard let dims = sweep.constant(c)?.dims, let width = sweep.shape(x)?.dims.last?.value else { return false }
    return dims == [width]
  }

  /// `d = x - mean(x)`, over the last axis.
  private static func difference(_ value: ValueID?, _ sweep: inout Sweep) -> (d: ValueID, x: ValueID, OriginSet)? {
    guard let value, let (x, m, origins) = sweep.operands(value, of: .subtract), let (inner, meanOrigins) = mean(m, sweep), inner == x else { return nil }
    return (value, x, origins.union(meanOrigins))
  }

  /// The x of `1 / x`, whichever way it is written.
  private static func inverted(_ value: ValueID?, _ sweep: Sweep) -> (ValueID, OriginSet)? {
    if let found = sweep.operand(value, of: .reciprocal) { return found }
    guard let (one, x, origins) = sweep.operands(value, of: .divide), sweep.scalar(one) == 1 else { return nil }
    return (x, origins)
  }

  /// `sqrt(v + e)`.
  private static func root(_ value: ValueID?, _ sweep: Sweep) -> (ValueID, Double, OriginSet)? {
    guard let (sum, origins) = sweep.operand(value, of: .sqrt), let (v, e, sumOrigins) = sweep.operands(sum, of: .add), let epsilon = sweep.scalar(e) else {
      return nil
    }
    return (v, epsilon, origins.union(sumOrigins))
  }

  /// The mean over the last axis, which stays with size 1.
  private static func mean(_ value: ValueID?, _ sweep: Sweep) -> (ValueID, OriginSet)? {
    guard let node = sweep.producer(value), case .reduction(let reduction) = node.op, reduction.kind == .mean, reduction.keepDims, let x = node.input(0),
      let rank = sweep.shape(x)?.rank, let axes = sweep.integers(node.input(1)), axes == [-1] || axes == [rank - 1]
    else { return nil }
    return (x, node.origins)
  }

  /// `x ^ 2` or `x * x`.
  private static func squared(_ value: ValueID?, _ sweep: Sweep) -> (ValueID, OriginSet)? {
    if let (x, two, origins) = sweep.operands(value, of: .power), sweep.scalar(two) == 2 { return (x, origins) }
    if let (a, b, origins) = sweep.operands(value, of: .multiply), a == b { return (a, origins) }
    return nil
  }
}
