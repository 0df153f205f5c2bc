internal import GraphIR
internal import Tensors

/// Whole attention operators stand as what they compute: softmax(scale Q K^T + mask) V with heads split and merged.
///
/// What a rule does not spell out (a key-value cache, padding by lengths, soft caps, shared key heads, results other than
/// the first) leaves the operator as it is.
enum AttentionForm {
  static let rules: [Rule] = [standard, packed, multiHead]

  /// Attention (ONNX 23 and later): operands of rank 4 have their heads split already.
  static let standard = Rule(.rounding) { site, sweep in
    guard case .attention(.standard(let form)) = site.op, site.input(4) == nil, site.input(5) == nil, site.input(6) == nil, form.softcap == 0,
      form.leftWindow == nil, form.rightWindow == nil,
      onlyFirst(site), var q = site.input(0), var k = site.input(1), var v = site.input(2), let rank = sweep.shape(q)?.rank
    else { return nil }
    if rank == 3 {
      guard form.queryHeads == form.keyHeads, let heads = split([q, k, v], form.queryHeads, site, &sweep) else { return nil }
      (q, k, v) = (heads[0], heads[1], heads[2])
    } else if sweep.shape(q)?[1] != sweep.shape(k)?[1] {
      return nil
    }
    guard let result = attend(q, k, v, mask: site.input(3), scale: form.scale, causal: form.causal, zeroesHiddenRows: true, site, &sweep) else { return nil }
    return rank == 3 ? merge(result, site, &sweep).map { [$0] } : [result]
  }

  /// Attention (com.microsoft): one weight makes queries, keys and values.
  static let packed = Rule(.rounding) { site, sweep in
    guard case .attention(.packedProjection(let heads, let scale, let sizes, let causal)) = site.op, site.input(3) == nil, site.input(4) == nil,
      onlyFirst(site),
      let x = site.input(0), let weight = site.input(1), let width = sweep.shape(weight)?[1].value,
      var qkv = sweep.make(.matrix(.matMul), [x, weight], for: site)
    else { return nil }
    if let bias = site.input(2) {
      guard let sum = sweep.make(.binary(.add), [qkv, bias], for: site) else { return nil }
      qkv = sum
    }
    let widths = sizes.isEmpty ? [width / 3, width / 3, width / 3] : sizes
    guard widths.count == 3, widths.reduce(0, { $0.addingReportingOverflow($1).partialValue }) == width, let parts = cut(qkv, axis: 2, widths, site, &sweep),
      let split = split(parts, heads, site, &sweep),
      let result = attend(split[0], split[1], split[2], mask: site.input(5), scale: scale, causal: causal, site, &sweep)
    else { return nil }
    return merge(result, site, &sweep).map { [$0] }
  }

  /// MultiHeadAttention (com.microsoft): queries, keys and values apart, keys and values with heads split, or all packed
  /// as (batch, token, head, 3, dim).
  static let multiHead = Rule(.rounding) { site, sweep in
    guard case .attention(.multiHead(let heads, let scale, let causal)) = site.op, site.input(4) == nil, site.input(6) == nil, site.input(7) == nil,
      onlyFirst(site), let query = site.input(0), let shape = sweep.shape(query)
    else { return nil }
    var operands: [ValueID]
    if shape.rank == 5, site.input(1) == nil, site.input(3) == nil {
      guard let parts = cut(query, axis: 3, [1, 1, 1], site, &sweep) else { return nil }
      operands = []
      for part in parts {
        guard let axes = sweep.vector([3], for: site), let one = sweep.make(.layout(.squeeze), [part, axes], for: site),
          let moved = sweep.make(.layout(.transpose([0, 2, 1, 3])), [one], for: site)
        else { return nil }
        operands.append(moved)
      }
    } else {
      guard shape.rank == 3, let key = site.input(1), let value = site.input(2), sweep.shape(key)?.rank == 3, sweep.shape(value)?.rank == 3 else { return nil }
      operands = [query, key, value]
      if let bias = site.input(3) {
        guard let parts = biases(bias, operands, site, &sweep) else { return nil }
        for index in operands.indices {
          guard let sum = sweep.make(.binary(.add), [operands[index], parts[index]], for: site) else { return nil }
          operands[index] = sum
        }
      }
      guard let split = split(operands, heads, site, &sweep) else { return nil }
      operands = split
    }
    guard let result = attend(operands[0], operands[1], operands[2], mask: site.input(5), scale: scale, causal: causal, site, &sweep) else { return nil }
    return merge(result, site, &sweep).map { [$0] }
  }

  private static func onlyFirst(_ site: Site) -> Bool { site.results.dropFirst().allSatisfy { $0 == nil } }

  private static func biases(_ bias: ValueID, _ operands: [ValueID], _ site: Site, _ sweep: inout Sweep) -> [ValueID]? {
    let widths = operands.compactMap { sweep.shape($0)?[2].value }
    return widths.count == 3 ? cut(bias, axis: 0, widths, site, &sweep) : nil
  }

  /// Consecutive parts along an axis.
  private static func cut(_ x: ValueID, axis: Int, _ widths: [Int], _ site: Site, _ sweep: inout Sweep) -> [ValueID]? {
    var start = 0
    var parts: [ValueID] = []
    for width in widths {
      let (end, overflow) = start.addingReportingOverflow(width)
      guard !overflow, let starts = sweep.vector([start], for: site), let ends = sweep.vector([end], for: site), let axes = sweep.vector([axis], for: site),
        let part = sweep.make(.layout(.slice), [x, starts, ends, axes], for: site)
      else { return nil }
      parts.append(part)
      start = end
    }
    return parts
  }

  /// (batch, token, head * dim) to (batch, head, token, dim).
  private static func split(_ values: [ValueID], _ heads: Int, _ site: Site, _ sweep: inout Sweep) -> [ValueID]? {
    var result: [ValueID] = []
    for value in values {
      guard let target = sweep.vector([0, 0, heads, -1], for: site), let parted = sweep.make(.layout(.reshape(allowZero: false)), [value, target], for: site),
        let moved = sweep.make(.layout(.transpose([0, 2, 1, 3])), [parted], for: site)
      else { return nil }
      result.append(moved)
    }
    return result
  }

  private static func merge(_ value: ValueID, _ site: Site, _ sweep: inout Sweep) -> ValueID? {
    guard let moved = sweep.make(.layout(.transpose([0, 2, 1, 3])), [value], for: site), let target = sweep.vector([0, 0, -1], for: site) else { return nil }
    return sweep.make(.layout(.reshape(allowZero: false)), [moved, target], for: site)
  }

  /// Operands of (batch, head, token, dim).
  ///
  /// - Parameter zeroesHiddenRows: whether a row of which the mask hides all is zero.
  private static func attend(
    _ q: ValueID, _ k: ValueID, _ v: ValueID, mask: ValueID?, scale: Float?, causal: Bool, zeroesHiddenRows: Bool = false, _ site: Site,
    _ sweep: inout Sweep
  ) -> ValueID? {
    guard let queryShape = sweep.shape(q), let keyShape = sweep.shape(k), queryShape.rank == 4, keyShape.rank == 4, let dim = queryShape[3].value, dim > 0,
      let keys = sweep.make(.layout(.transpose([0, 1, 3, 2])), [k], for: site), let product = sweep.make(.matrix(.matMul), [q, keys], for: site)
    else { return nil }
    // A scale of 0 stands for the default in com.microsoft's operators.
    let factor = scale.flatMap { $0 == 0 ? nil : Double($0) } ?? 1 / Double(dim).squareRoot()
    guard let number = sweep.number(factor, like: product, for: site), var scores = sweep.make(.binary(.multiply), [product, number], for: site) else {
      return nil
    }
    if let mask {
      guard let bias = additive(mask, like: scores, keys: keyShape[2], site, &sweep), let sum = sweep.make(.binary(.add), [scores, bias], for: site),
        sweep.shape(sum) == sweep.shape(scores)
      else { return nil }
      scores = sum
    }
    if causal {
      guard let n = queryShape[2].value, let m = keyShape[2].value, n > 0, m > 0, let count = [n, m].checkedProduct, count <= 1 << 22 else { return nil }
      var hidden = [Float](repeating: 0, count: count)
      for row in 0..<n { for column in 0..<m where column > row { hidden[row * m + column] = -.infinity } }
      guard sweep.element(scores) == .float32, let tensor = try? Tensor(float32: hidden, dims: [n, m]),
        let sum = sweep.make(.binary(.add), [scores, sweep.constant(tensor, for: site)], for: site)
      else { return nil }
      scores = sum
    }
    guard var probabilities = sweep.make(.softmax(.softmax(axis: -1)), [scores], for: site) else { return nil }
    if zeroesHiddenRows, mask != nil, sweep.purpose == .writing {
      guard let isHidden = sweep.make(.unary(.isNaN), [probabilities], for: site), let zero = sweep.number(0, like: probabilities, for: site),
        let shown = sweep.make(.select, [isHidden, zero, probabilities], for: site)
      else { return nil }
      probabilities = shown
    }
    return sweep.make(.matrix(.matMul), [probabilities, v], for: site)
  }

  /// A mask as what is added: true is 0, false is -infinity.
  private static func additive(_ mask: ValueID, like scores: ValueID, keys: Dim, _ site: Site, _ sweep: inout Sweep) -> ValueID? {
    guard let shape = sweep.shape(mask), shape.dims.last == keys || shape.dims.last == 1 else { return nil }
    guard sweep.element(mask) == .bool else { return mask }
    guard let zero = sweep.number(0, like: scores, for: site), let hidden = sweep.number(-.infinity, like: scores, for: site) else { return nil }
    return sweep.make(.select, [mask, zero, hidden], for: site)
  }
}
