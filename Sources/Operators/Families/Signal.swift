internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Tensors

/// DFT (ONNX 20): input (…, 1 or 2) with real and imaginary parts last, length?, axis?. One-sided keeps the first half of
/// a real signal's spectrum, or makes a real signal of it.
struct DiscreteFourierTransform: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...3) }
  private var isInverse: Bool { op.flag("inverse") }
  private var isOneSided: Bool { op.flag("onesided") }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkFloat(x.type.element)
    for index in 1...2 { if let operand = operands.fact(index) { try checkElement(operand, [.int32, .int64], "operand \(index)") } }
    guard let shape = x.type.shape else { return [Fact(x.type)] }
    guard shape.rank >= 2 else { throw mismatch("an input of rank \(shape.rank)") }
    if let parts = shape[shape.rank - 1].value, parts != 1, parts != 2 { throw mismatch("\(parts) parts of a complex number") }
    let given = operands.fact(2)
    guard let axis = given == nil ? -2 : knownWhole(given) else { return [Fact(TensorType(x.type.element, .unknown(rank: shape.rank)))] }
    let place = try self.axis(axis, rank: shape.rank)
    guard place < shape.rank - 1 else { throw mismatch("axis \(axis) holds the parts of complex numbers") }
    var dims = shape.dims
    dims[shape.rank - 1] = isInverse && isOneSided ? 1 : 2
    var length: Dim = isInverse && isOneSided ? try shape[place].minus(1).times(2) : shape[place]
    if let lengthFact = operands.fact(1) {
      guard let known = lengthFact.value?.dimensions?.first else {
        dims[place] = .unknown
        return [Fact(TensorType(x.type.element, Shape(dims)))]
      }
      length = known
    }
    if let number = length.value, number <= 0 || number > 1 << 26 { throw mismatch("a transform of length \(number)") }
    dims[place] = isOneSided && !isInverse ? try length.floored(by: 2).plus(1) : length
    return [Fact(TensorType(x.type.element, Shape(dims)))]
  }

  /// Five operations for each of log2(N) steps.
  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let count = results.elementCount
    return Cost(elementwise: count &* 5 &* max(1, Int.bitWidth - count.leadingZeroBitCount))
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let values = try x.reals(for: mnemonic)
    let axis = try self.axis(try operands.tensor(2).map { (axis) throws(Failure) in try whole(axis, "the axis") } ?? -2, rank: dims.count)
    let given = try operands.tensor(1).map { (length) throws(Failure) in try whole(length, "the length") }
    let length = given ?? (isInverse && isOneSided ? 2 * (x.dims[axis] - 1) : x.dims[axis])
    let transform = FourierTransform(length: length)
    let parts = x.dims[dims.count - 1]
    let made = dims[dims.count - 1]
    let outer = dims[..<axis].reduce(1, *)
    let inner = dims[(axis + 1)..<(dims.count - 1)].reduce(1, *)
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    var row = [SIMD2<Double>](repeating: .zero, count: length)
    for first in 0..<outer {
      for last in 0..<inner {
        for index in 0..<length {
          guard index < x.dims[axis] else {
            row[index] = .zero
            continue
          }
          let from = ((first * x.dims[axis] + index) * inner + last) * parts
          row[index] = SIMD2(values[from], parts == 2 ? values[from + 1] : 0)
        }
        if isInverse && isOneSided { mirror(&row) }
        let spectrum = isInverse ? transform.inverse(row) : transform(row)
        for index in 0..<dims[axis] {
          let to = ((first * dims[axis] + index) * inner + last) * made
          result[to] = spectrum[index].x
          if made == 2 { result[to + 1] = spectrum[index].y }
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }

  /// Fills the second half of a spectrum with the conjugates of the first, as a real signal's has it.
  private func mirror(_ row: inout [SIMD2<Double>]) {
    row[0].y = 0
    for index in 1..<max(row.count, 1) {
      let other = row.count - index
      if index == other { row[index].y = 0 }
      if index > row.count / 2 { row[index] = SIMD2(row[other].x, -row[other].y) }
    }
  }
}

/// STFT (ONNX 17): signal (batch, length, 1 or 2), frame step, window?, frame length?.
struct ShortTimeFourierTransform: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...4) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkFloat(x.type.element)
    for index in [1, 3] { if let operand = operands.fact(index) { try checkElement(operand, [.int32, .int64], "operand \(index)") } }
    if let window = operands.fact(2) {
      try checkRank(window, 1, "the window")
      guard window.type.element == x.type.element else {
        throw Failure(.typeMismatch, "\(mnemonic) of \(x.type.element.name) with a window of \(window.type.element.name)")
      }
    }
    guard let shape = x.type.shape else { return [Fact(TensorType(x.type.element, .unknown(rank: 4)))] }
    guard shape.rank == 3 || shape.rank == 2 else { throw mismatch("a signal of rank \(shape.rank)") }
    if shape.rank == 3, let parts = shape[2].value, parts != 1, parts != 2 { throw mismatch("\(parts) parts of a complex number") }
    var length: Dim = operands.fact(2) == nil ? shape[1] : operands.fact(2)?.type.shape?.dims.first ?? .unknown
    if let given = operands.fact(3) {
      let known = given.value?.dimensions?.first ?? .unknown
      if operands.fact(2) != nil, known != .unknown, length != .unknown { try checkAgree(known, length, "lengths of window and frame") }
      length = known == .unknown ? length : known
      if operands.fact(2) == nil { length = known }
    }
    let step = operands.fact(1)?.value?.dimensions?.first ?? .unknown
    if let number = step.value, number <= 0 { throw mismatch("a frame step of \(number)") }
    if let number = length.value, number <= 0 || number > 1 << 26 { throw mismatch("frames of length \(number)") }
    let bins: Dim = length == .unknown ? .unknown : op.flag("onesided") ? try length.floored(by: 2).plus(1) : length
    var frames: Dim = .unknown
    if length != .unknown, step != .unknown {
      let room = try shape[1].minus(length)
      if let number = room.value, number < 0 { throw mismatch("frames of \(length) in a signal of \(shape[1])") }
      frames = try room.floored(by: step).plus(1)
    }
    return [Fact(TensorType(x.type.element, Shape([shape[0], frames, bins, 2])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let values = try x.reals(for: mnemonic)
    let parts = x.dims.count == 3 ? x.dims[2] : 1
    let step = try whole(try operands.required(1), "the frame step")
    let window = try operands.tensor(2)?.reals(for: mnemonic)
    let length = try operands.tensor(3).map { (length) throws(Failure) in try whole(length, "the frame length") } ?? window?.count ?? x.dims[1]
    let transform = FourierTransform(length: length)
    var result: [Double] = []
    result.reserveCapacity(dims.reduce(1, *))
    for batch in 0..<dims[0] {
      for frame in 0..<dims[1] {
        let row = (0..<length).map { index in
          let from = (batch * x.dims[1] + frame * step + index) * parts
          return SIMD2(values[from], parts == 2 ? values[from + 1] : 0) * (window?[index] ?? 1)
        }
        let spectrum = transform(row)
        for bin in 0..<dims[2] { result += [spectrum[bin].x, spectrum[bin].y] }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

/// HannWindow, HammingWindow, BlackmanWindow (ONNX 17): size.
struct CosineWindow: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let size = try operands.required(0)
    try checkElement(size, [.int32, .int64], "a size")
    let element = try op.element("output_datatype") ?? .float32
    try checkNumeric(element)
    if let shape = size.type.shape, let count = shape.elementCount?.value, count != 1 { throw mismatch("a size of shape \(shape)") }
    let length = size.value?.dimensions?.first ?? .unknown
    if let number = length.value, number < 0 { throw mismatch("a window of \(number)") }
    return [Fact(TensorType(element, Shape([length])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let size = dims[0]
    let period = Double(op.flag("periodic") ? size : size - 1)
    let values = (0..<size).map { index -> Double in
      if period == 0 { return 1 }
      let angle = 2 * Double.pi * Double(index) / period
      return switch op.kind {
      case .hannWindow: 0.5 - 0.5 * cos(angle)
      case .hammingWindow: 25.0 / 46.0 - 21.0 / 46.0 * cos(angle)
      default: 0.42 - 0.5 * cos(angle) + 0.08 * cos(2 * angle)
      }
    }
    return [element.isFloatingPoint ? try Tensor(element, dims: dims, reals: values) : try Tensor(element, dims: dims, wholes: values.map { saturated($0) })]
  }
}

/// MelWeightMatrix (ONNX 17): number of bins, length of the transform, sample rate, lowest and highest frequency.
struct MelWeightMatrix: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(5...5) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    for index in 0..<3 { try checkElement(try operands.required(index), [.int32, .int64], "operand \(index)") }
    for index in 3..<5 { try checkFloat(try operands.required(index).type.element) }
    let element = try op.element("output_datatype") ?? .float32
    try checkNumeric(element)
    let bins = operands.fact(0)?.value?.dimensions?.first ?? .unknown
    let length = operands.fact(1)?.value?.dimensions?.first ?? .unknown
    if let number = bins.value, number < 0 { throw mismatch("\(number) bins") }
    if let number = length.value, number < 0 { throw mismatch("a transform of length \(number)") }
    return [Fact(TensorType(element, Shape([length == .unknown ? .unknown : try length.floored(by: 2).plus(1), bins])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let length = try whole(try operands.required(1), "the transform's length")
    let rate = try whole(try operands.required(2), "the sample rate")
    let low = try scalar(try operands.required(3), "the lowest frequency")
    let high = try scalar(try operands.required(4), "the highest frequency")
    guard rate > 0, low >= 0, high >= low, high.isFinite else { throw mismatch("frequencies from \(low) to \(high) at a rate of \(rate)") }
    let (rows, bins) = (dims[0], dims[1])
    func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
    // The standard divides the range by two more than there are bins.
    let step = (mel(high) - mel(low)) / Double(bins + 2)
    let edges = (0..<bins + 2).map { index in
      let hertz = 700 * (pow(10, (mel(low) + Double(index) * step) / 2595) - 1)
      return saturated((Double(length + 1) * hertz / Double(rate)).rounded(.down))
    }
    guard edges.allSatisfy({ 0...rows ~= $0 }) else { throw mismatch("frequencies up to \(high) need more than \(rows) rows") }
    var result = [Double](repeating: 0, count: rows * bins)
    func put(_ row: Int, _ bin: Int, _ value: Double) { if row < rows { result[row * bins + bin] = value } }
    for bin in 0..<bins {
      let (left, center, right) = (edges[bin], edges[bin + 1], edges[bin + 2])
      if center == left {
        put(center, bin, 1)
      } else {
        for row in left...center { put(row, bin, Double(row - left) / Double(center - left)) }
      }
      for row in center..<max(center, right) { put(row, bin, Double(right - row) / Double(right - center)) }
    }
    return [element.isFloatingPoint ? try Tensor(element, dims: dims, reals: result) : try Tensor(element, dims: dims, wholes: result.map { saturated($0) })]
  }
}
