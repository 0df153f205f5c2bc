internal import Diagnostics
internal import GraphIR
internal import Tensors

/// NonMaxSuppression (ONNX 11): boxes (batch, box, 4), scores (batch, class, box), most boxes per class?, overlap?, least
/// score?; rows of batch, class and box. Boxes are taken by falling score; one that overlaps a taken box of its class by
/// more than the limit is left out.
struct NonMaxSuppression: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...5) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    for index in [0, 1, 3, 4] { if let operand = operands.fact(index) { try checkFloat(operand.type.element) } }
    if let most = operands.fact(2) { try checkElement(most, [.int64], "the number of boxes") }
    for index in 2...4 {
      if let shape = operands.fact(index)?.type.shape, let count = shape.elementCount?.value, count > 1 {
        throw mismatch("operand \(index) has shape \(shape)")
      }
    }
    let boxes = try operands.required(0)
    let scores = try operands.required(1)
    try checkRank(boxes, 3, "boxes")
    try checkRank(scores, 3, "scores")
    if let box = boxes.type.shape {
      try checkAgree(box[2], 4, "coordinates of a box")
      if let score = scores.type.shape {
        try checkAgree(box[0], score[0], "batches of boxes and scores")
        try checkAgree(box[1], score[2], "numbers of boxes and scores")
      }
    }
    guard (0...1).contains(op.int("center_point_box")) else { throw badAttribute("center_point_box is \(op.int("center_point_box"))") }
    return [Fact(TensorType(.int64, Shape([.unknown, 3])))]
  }

  /// Each box against each other one of its class.
  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    guard operands.count > 1, let scores = operands[1]?.shape?.concrete, scores.count == 3 else { return Cost() }
    return Cost(elementwise: scores[0] &* scores[1] &* scores[2] &* scores[2])
  }

  private struct Box {
    var top, left, bottom, right: Double

    init(_ values: ArraySlice<Double>, centered: Bool) {
      let v = Array(values)
      if centered {
        (left, right) = (v[0] - v[2] / 2, v[0] + v[2] / 2)
        (top, bottom) = (v[1] - v[3] / 2, v[1] + v[3] / 2)
      } else {
        (top, bottom) = (min(v[0], v[2]), max(v[0], v[2]))
        (left, right) = (min(v[1], v[3]), max(v[1], v[3]))
      }
    }

    var area: Double { (bottom - top) * (right - left) }

    func overlaps(_ other: Box, beyond limit: Double) -> Bool {
      let height = min(bottom, other.bottom) - max(top, other.top)
      let width = min(right, other.right) - max(left, other.left)
      guard height > 0, width > 0 else { return false }
      let common = height * width
      let union = area + other.area - common
      guard area > 0, other.area > 0, union > 0 else { return false }
      return Float(common / union) > Float(limit)
    }
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let boxTensor = try operands.required(0)
    let scoreTensor = try operands.required(1)
    for operand in operands { if let operand { try checkRunnable(operand.dims) } }
    _ = try infer(operands.map { $0.map { Fact($0.type) } }, resultCount: 1)
    func number(_ index: Int) throws(Failure) -> Double? {
      guard let operand = operands.tensor(index), operand.count > 0 else { return nil }
      return try scalar(operand, "operand \(index)")
    }
    let limit = try number(3) ?? 0
    let least = try number(4)
    let most = try operands.tensor(2).flatMap { (operand) throws(Failure) in operand.count > 0 ? try whole(operand, "the number of boxes") : nil } ?? 0
    let boxes = try boxTensor.reals(for: mnemonic)
    let scores = try scoreTensor.reals(for: mnemonic)
    let (batches, count, classes) = (boxTensor.dims[0], boxTensor.dims[1], scoreTensor.dims[1])
    var rows: [Int] = []
    for batch in 0..<batches {
      let own = (0..<count).map { Box(boxes[(batch * count + $0) * 4..<(batch * count + $0) * 4 + 4], centered: op.flag("center_point_box")) }
      for kind in 0..<classes where most > 0 {
        let first = (batch * classes + kind) * count
        let order = (0..<count).filter { index in least.map { scores[first + index] > $0 } ?? true }
          .sorted { a, b in scores[first + a] != scores[first + b] ? scores[first + a] > scores[first + b] : a < b }
        var taken: [Int] = []
        for candidate in order {
          if taken.count >= most { break }
          if taken.contains(where: { own[candidate].overlaps(own[$0], beyond: limit) }) { continue }
          taken.append(candidate)
          rows += [batch, kind, candidate]
        }
      }
    }
    return [try Tensor(.int64, dims: [rows.count / 3, 3], wholes: rows)]
  }
}
