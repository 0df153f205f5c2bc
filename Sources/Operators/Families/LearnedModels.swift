internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// What ai.onnx.ml does to scores at the end.
enum ScoreTransform: String {
  case none = "NONE"
  case softmax = "SOFTMAX"
  case logistic = "LOGISTIC"
  case softmaxZero = "SOFTMAX_ZERO"
  case probit = "PROBIT"

  static func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  func callAsFunction(_ row: [Double]) -> [Double] {
    switch self {
    case .none: return row
    case .softmax: return softmaxRow(row)
    case .logistic: return row.map { ScoreTransform.logistic($0) }
    case .softmaxZero:
      // Scores of 0 keep out of the sum.
      let top = row.max() ?? 0
      let powers = row.map { abs($0) > 1e-7 ? exp($0 - top) : $0 * exp(-top) }
      let sum = powers.reduce(0, +)
      return powers.map { sum == 0 ? 0.5 : $0 / sum }
    case .probit: return row.map { ScoreTransform.probit($0) }
    }
  }

  /// The normal distribution's quantile, with the inverse error function of Winitzki's approximation, which is what
  /// runtimes compute.
  static func probit(_ p: Double) -> Double {
    let x = 2 * p - 1
    let rest = (1 - x) * (1 + x)
    guard rest > 0 else { return 0 }
    let logarithm = log(rest)
    let v = 2 / (Double.pi * 0.147) + 0.5 * logarithm
    return 1.41421356 * (x < 0 ? -1 : 1) * (-v + (v * v - logarithm / 0.147).squareRoot()).squareRoot()
  }
}

extension CataloguedOperator {
  /// Samples (N, F), or one of (F), of numbers.
  func checkSamples(_ operand: Fact) throws(Failure) -> (count: Dim, features: Dim) {
    try checkElement(operand, [.float32, .float64, .float16, .int32, .int64], "samples")
    guard let shape = operand.type.shape else { return (.unknown, .unknown) }
    try checkRank(shape, 1...2, "samples")
    return shape.rank == 1 ? (1, shape[0]) : (shape[0], shape[1])
  }

  /// The same as numbers, row-major, and their sizes.
  func samples(_ operand: Tensor) throws(Failure) -> (values: [Double], count: Int, features: Int) {
    try checkRunnable(operand.dims)
    let values = try operand.reals(for: mnemonic)
    return operand.dims.count == 1 ? (values, 1, operand.dims[0]) : (values, operand.dims[0], operand.dims[1])
  }

  var transform: ScoreTransform { ScoreTransform(rawValue: op.word("post_transform")) ?? .none }

  /// Labels of classes and the type of the result that names them.
  func labels(_ ints: String, _ strings: String) throws(Failure) -> ClassLabels {
    let words = op.strings(strings)
    let numbers = op.ints(ints)
    guard words.isEmpty != numbers.isEmpty else { throw badAttribute("one of '\(ints)' and '\(strings)' must list the classes") }
    return words.isEmpty ? .numbers(numbers) : .words(words)
  }
}

enum ClassLabels {
  case numbers([Int])
  case words([[UInt8]])

  var count: Int {
    switch self {
    case .numbers(let list): list.count
    case .words(let list): list.count
    }
  }
  var element: ElementType { if case .words = self { .string } else { .int64 } }

  /// The labels at some places; a single number 1 stands for the classes 0 and 1.
  func tensor(_ places: [Int]) throws(Failure) -> Tensor {
    switch self {
    case .numbers(let list): try Tensor(.int64, dims: [places.count], wholes: places.map { list.count == 1 ? ($0 == 1 ? list[0] : 0) : list[$0] })
    case .words(let list): try Tensor(.string, dims: [places.count], storage: .strings(places.map { list.count == 1 ? ($0 == 1 ? list[0] : []) : list[$0] }))
    }
  }
}

private func largestPlace(_ row: [Double]) -> Int {
  var best = 0
  for place in row.indices where row[place] > row[best] { best = place }
  return best
}

/// The two scores that one score of a binary model stands for.
enum BinaryScores {
  /// Probabilities: the rest to 1.
  case complement
  /// Margins: the opposite.
  case opposite

  func callAsFunction(_ score: Double, _ transform: ScoreTransform) -> [Double] {
    switch (self, transform) {
    case (_, .probit): [ScoreTransform.probit(score), score]
    case (_, .logistic): [ScoreTransform.logistic(-score), ScoreTransform.logistic(score)]
    case (.complement, _): [1 - score, score]
    case (.opposite, _): [-score, score]
    }
  }
}

/// LinearClassifier: labels and scores `X W^T + b`. LinearRegressor (ai.onnx.ml 1): the scores alone.
struct LinearModel: CataloguedOperator {
  let op: CataloguedOp
  private var classifies: Bool { op.kind == .linearClassifier }
  var arity: Arity { Arity(1...1, results: 1...(classifies ? 2 : 1)) }

  private func targets() throws(Failure) -> Int {
    let count = classifies ? op.floats("intercepts").isEmpty ? try labels().count : op.floats("intercepts").count : op.int("targets")
    guard 1...1 << 24 ~= count else { throw badAttribute("\(count) targets") }
    return count
  }
  private func labels() throws(Failure) -> ClassLabels { try labels("classlabels_ints", "classlabels_strings") }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (count, features) = try checkSamples(try operands.required(0))
    let targets = try targets()
    if let width = features.value, op.floats("coefficients").count != width * targets {
      throw badAttribute("\(op.floats("coefficients").count) coefficients for \(width) features and \(targets) targets")
    }
    guard classifies else { return [Fact(TensorType(.float32, Shape([count, Dim(targets)])))] }
    let labels = try labels()
    guard labels.count == targets || labels.count == 2 && targets == 1 else {
      throw badAttribute("\(labels.count) classes and \(targets) sets of coefficients")
    }
    let scores = TensorType(.float32, Shape([count, Dim(targets == 1 && labels.count == 2 ? 2 : targets)]))
    return Array([Fact(TensorType(labels.element, Shape([count]))), Fact(scores)].prefix(resultCount))
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(macs: (operands.first??.elementCount ?? 0) &* ((try? targets()) ?? 1)) }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    _ = try infer([Fact(x.type)], resultCount: resultCount)
    let (values, count, features) = try samples(x)
    let targets = try targets()
    let coefficients = op.floats("coefficients")
    let intercepts = op.floats("intercepts")
    guard intercepts.isEmpty || intercepts.count == targets else { throw badAttribute("\(intercepts.count) intercepts for \(targets) targets") }
    try checkRunnable([count, targets])
    var scores: [[Double]] = []
    for sample in 0..<count {
      scores.append(
        (0..<targets).map { target in
          var sum = intercepts.isEmpty ? 0 : intercepts[target]
          for feature in 0..<features { sum += values[sample * features + feature] * coefficients[target * features + feature] }
          return sum
        })
    }
    guard classifies else { return [try Tensor(.float32, dims: [count, targets], reals: scores.flatMap { transform($0) })] }
    let labels = try labels()
    let binary = targets == 1 && labels.count == 2
    let places = scores.map { binary ? ($0[0] > 0 ? 1 : 0) : largestPlace($0) }
    let final = scores.flatMap { row -> [Double] in
      if !binary { return transform(row) }
      return BinaryScores.complement(row[0], transform)
    }
    let all = [try labels.tensor(places), try Tensor(.float32, dims: [count, binary ? 2 : targets], reals: final)]
    return Array(all.prefix(resultCount))
  }
}

/// SVMClassifier: labels and scores; SVMRegressor (ai.onnx.ml 1): one number for each sample.
struct SupportVectorMachine: CataloguedOperator {
  let op: CataloguedOp
  private var classifies: Bool { op.kind == .svmClassifier }
  var arity: Arity { Arity(1...1, results: 1...(classifies ? 2 : 1)) }
  private func labels() throws(Failure) -> ClassLabels { try labels("classlabels_ints", "classlabels_strings") }

  /// Linear models, which have no support vectors, score classes directly; others vote pair by pair.
  private func scoreCount() throws(Failure) -> Int {
    let classes = try labels().count
    guard classes < 1 << 12 else { throw badAttribute("\(classes) classes") }
    if op.ints("vectors_per_class").isEmpty || !op.floats("prob_a").isEmpty { return classes }
    return classes == 2 ? 2 : classes * (classes - 1) / 2
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (count, features) = try checkSamples(try operands.required(0))
    let params = op.floats("kernel_params")
    guard params.isEmpty || params.count == 3 else { throw badAttribute("\(params.count) kernel parameters") }
    if let width = features.value, width > 0 {
      let length = supports > 0 || classifies && !op.ints("vectors_per_class").isEmpty ? op.floats("support_vectors").count : op.floats("coefficients").count
      guard length % width == 0 else { throw badAttribute("\(length) numbers of vectors of \(width) features") }
    }
    guard classifies else {
      guard !op.floats("rho").isEmpty else { throw badAttribute("rho is empty") }
      return [Fact(TensorType(.float32, Shape([count, 1])))]
    }
    let labels = try labels()
    return Array([Fact(TensorType(labels.element, Shape([count]))), Fact(TensorType(.float32, Shape([count, Dim(try scoreCount())])))].prefix(resultCount))
  }

  private var supports: Int { classifies ? op.ints("vectors_per_class").reduce(0, &+) : op.int("n_supports") }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost { Cost(macs: (operands.first??.elementCount ?? 0) &* max(supports, 1)) }

  /// What compares a sample with a support vector.
  private struct Kernel {
    let form: String
    let gamma, offset, degree: Double

    init(_ op: CataloguedOp, linear: Bool = false) {
      form = linear ? "LINEAR" : op.word("kernel_type")
      let params = op.floats("kernel_params")
      (gamma, offset, degree) = params.count == 3 ? (params[0], params[1], params[2]) : (0, 0, 0)
    }

    func callAsFunction(_ x: ArraySlice<Double>, _ v: ArraySlice<Double>) -> Double {
      let isDistance = form == "RBF"
      var sum = 0.0
      for (a, b) in zip(x, v) { sum += isDistance ? (a - b) * (a - b) : a * b }
      return switch form {
      case "POLY": pow(gamma * sum + offset, degree)
      case "SIGMOID": tanh(gamma * sum + offset)
      case "RBF": exp(-gamma * sum)
      default: sum
      }
    }
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    _ = try infer([Fact(x.type)], resultCount: resultCount)
    let (values, count, features) = try samples(x)
    let vectors = op.floats("support_vectors")
    let coefficients = op.floats("coefficients")
    let rho = op.floats("rho")
    func row(_ sample: Int) -> ArraySlice<Double> { values[sample * features..<(sample + 1) * features] }
    func vector(_ list: [Double], _ index: Int) -> ArraySlice<Double> { list[index * features..<(index + 1) * features] }
    if !classifies {
      let isLinear = supports <= 0
      let kernel = Kernel(op, linear: isLinear)
      guard isLinear ? coefficients.count == features : supports <= 1 << 24 && vectors.count == supports * features && coefficients.count >= supports else {
        throw badAttribute("\(supports) support vectors, \(vectors.count) numbers, \(coefficients.count) coefficients")
      }
      let result = (0..<count).map { sample -> Double in
        var sum = rho[0]
        if isLinear {
          sum += kernel(row(sample), coefficients[...])
        } else {
          for index in 0..<supports { sum += coefficients[index] * kernel(row(sample), vector(vectors, index)) }
        }
        return op.flag("one_class") ? (sum > 0 ? 1 : -1) : transform([sum])[0]
      }
      return [try Tensor(.float32, dims: [count, 1], reals: result)]
    }
    let labels = try labels()
    var places: [Int] = []
    var scores: [Double] = []
    for sample in 0..<count {
      let (place, own) =
        op.ints("vectors_per_class").isEmpty
        ? try linearScores(row(sample), labels.count) : try votedScores(row(sample), labels.count)
      places.append(place)
      scores += own
    }
    return Array([try labels.tensor(places), try Tensor(.float32, dims: [count, try scoreCount()], reals: scores)].prefix(resultCount))
  }

  private func linearScores(_ x: ArraySlice<Double>, _ classes: Int) throws(Failure) -> (Int, [Double]) {
    let coefficients = op.floats("coefficients")
    guard coefficients.count == classes * x.count, let bias = op.floats("rho").first else {
      throw badAttribute("\(coefficients.count) coefficients for \(classes) classes")
    }
    let kernel = Kernel(op)
    let scores = (0..<classes).map { bias + kernel(x, coefficients[$0 * x.count..<($0 + 1) * x.count]) }
    return (largestPlace(scores), transform(scores))
  }

  /// One against one (libsvm): each pair of classes has its own plane.
  private func votedScores(_ x: ArraySlice<Double>, _ classes: Int) throws(Failure) -> (Int, [Double]) {
    let perClass = op.ints("vectors_per_class")
    let (vectors, coefficients, rho) = (op.floats("support_vectors"), op.floats("coefficients"), op.floats("rho"))
    guard perClass.count == classes, perClass.allSatisfy({ 0...1 << 24 ~= $0 }), classes >= 2, vectors.count == supports * x.count,
      coefficients.count == (classes - 1) * supports, rho.count == classes * (classes - 1) / 2
    else { throw badAttribute("\(perClass) vectors for \(classes) classes, \(coefficients.count) coefficients, \(rho.count) offsets") }
    let kernel = Kernel(op)
    let kernels = (0..<supports).map { kernel(x, vectors[$0 * x.count..<($0 + 1) * x.count]) }
    var starts = [0]
    for size in perClass { starts.append(starts[starts.count - 1] + size) }
    var votes = [Int](repeating: 0, count: classes)
    var margins: [Double] = []
    for i in 0..<classes {
      for j in i + 1..<classes {
        var sum = rho[margins.count]
        for index in starts[i]..<starts[i + 1] { sum += coefficients[(j - 1) * supports + index] * kernels[index] }
        for index in starts[j]..<starts[j + 1] { sum += coefficients[i * supports + index] * kernels[index] }
        margins.append(sum)
        votes[sum > 0 ? i : j] += 1
      }
    }
    let (a, b) = (op.floats("prob_a"), op.floats("prob_b"))
    if !a.isEmpty {
      guard a.count == margins.count, b.count == margins.count else { throw badAttribute("\(a.count) and \(b.count) probability coefficients") }
      let pairs = margins.indices.map { index in min(max(ScoreTransform.logistic(-(margins[index] * a[index] + b[index])), 1e-7), 1 - 1e-7) }
      let probabilities = SupportVectorMachine.coupled(pairs, classes)
      return (largestPlace(probabilities), transform(probabilities))
    }
    var winner = 0
    for place in votes.indices where votes[place] > votes[winner] { winner = place }
    if classes == 2 { return (winner, BinaryScores.opposite(margins[0], transform)) }
    return (winner, transform(margins))
  }

  /// Probabilities of classes from those of pairs (Wu, Lin, Weng, "Probability estimates for multi-class classification
  /// by pairwise coupling", 2004, method 2).
  private static func coupled(_ pairs: [Double], _ classes: Int) -> [Double] {
    var r = [[Double]](repeating: [Double](repeating: 0, count: classes), count: classes)
    var index = 0
    for i in 0..<classes {
      for j in i + 1..<classes {
        r[i][j] = pairs[index]
        r[j][i] = 1 - pairs[index]
        index += 1
      }
    }
    var q = [[Double]](repeating: [Double](repeating: 0, count: classes), count: classes)
    for t in 0..<classes {
      for j in 0..<classes where j != t {
        q[t][t] += r[j][t] * r[j][t]
        q[t][j] = -r[j][t] * r[t][j]
      }
    }
    var p = [Double](repeating: 1 / Double(classes), count: classes)
    for _ in 0..<max(100, classes) {
      var qp = (0..<classes).map { t in (0..<classes).reduce(0) { $0 + q[t][$1] * p[$1] } }
      var pqp = (0..<classes).reduce(0) { $0 + p[$1] * qp[$1] }
      if (0..<classes).allSatisfy({ abs(qp[$0] - pqp) < 0.005 / Double(classes) }) { break }
      for t in 0..<classes {
        let change = (pqp - qp[t]) / q[t][t]
        guard change.isFinite else { continue }
        p[t] += change
        pqp = (pqp + change * (change * q[t][t] + 2 * qp[t])) / ((1 + change) * (1 + change))
        for j in 0..<classes {
          qp[j] = (qp[j] + change * q[t][j]) / (1 + change)
          p[j] /= 1 + change
        }
      }
    }
    return p
  }
}
