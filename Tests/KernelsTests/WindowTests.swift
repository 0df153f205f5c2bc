import Testing

@testable import Kernels

struct WindowTests {
  /// Random geometry of one or two spatial axes, and the sizes that follow from it.
  static func geometry(_ numbers: inout Numbers, axes: Int, pads: Bool) -> (window: WindowGeometry, input: [Int], output: [Int]) {
    let kernel = (0..<axes).map { _ in numbers.int(1...4) }
    let strides = (0..<axes).map { _ in numbers.int(1...3) }
    let dilations = (0..<axes).map { _ in numbers.int(1...2) }
    let begin = (0..<axes).map { pads ? numbers.int(0...kernel[$0] / 2) : 0 }
    let end = (0..<axes).map { pads ? numbers.int(0...kernel[$0] / 2) : 0 }
    let input = (0..<axes).map { (kernel[$0] - 1) * dilations[$0] + 1 + numbers.int(0...6) }
    let output = (0..<axes).map { axis in
      let extent: Int = (kernel[axis] - 1) * dilations[axis] + 1
      return (input[axis] + begin[axis] + end[axis] - extent) / strides[axis] + 1
    }
    return (WindowGeometry(kernel: kernel, strides: strides, dilations: dilations, padBegin: begin, padEnd: end), input, output)
  }

  /// Calls `body` for each element of the window over output `place` with the input's place, or nil in the padding.
  static func overWindow(_ window: WindowGeometry, _ input: [Int], _ place: [Int], _ body: (_ tap: Int, _ at: Int?) -> Void) {
    for tap in 0..<window.kernel.reduce(1, *) {
      var (rest, at, inside, size) = (tap, 0, true, 1)
      for axis in input.indices.reversed() {
        let k = rest % window.kernel[axis]
        rest /= window.kernel[axis]
        let position = place[axis] * window.strides[axis] + k * window.dilations[axis] - window.padBegin[axis]
        if position < 0 || position >= input[axis] { inside = false }
        at += position * size
        size *= input[axis]
      }
      body(tap, inside ? at : nil)
    }
  }

  static func places(_ dims: [Int]) -> [[Int]] {
    dims.reduce([[]]) { lists, n in lists.flatMap { list in (0..<n).map { list + [$0] } } }
  }

  static func channelsLast(_ dims: [Int]) -> Strided { Strided(dims: dims, order: [0] + Array(2..<dims.count) + [1]) }

  @Test func convolutionsAgreeWithThePlainLoop() throws {
    var numbers = Numbers(21)
    for trial in 0..<60 {
      let (window, input, output) = Self.geometry(&numbers, axes: 1 + trial % 2, pads: true)
      let groups = [1, 2, 8][trial % 3]
      let perGroup = groups == 8 ? 1 : numbers.int(1...5)
      let channels = groups * perGroup
      let filters = groups * (groups == 8 ? 1 : numbers.int(1...6))
      let batch = numbers.int(1...2)
      let (xDims, yDims) = ([batch, channels] + input, [batch, filters] + output)
      let xLayout = trial % 4 < 2 ? Strided(dense: xDims) : Self.channelsLast(xDims)
      let yLayout = Self.channelsLast(yDims)
      let weightDims = [filters, perGroup] + window.kernel
      let (x, w, bias) = (numbers.floats(xDims.reduce(1, *)), numbers.floats(weightDims.reduce(1, *)), numbers.floats(filters))
      var y = [Float](repeating: 0, count: yDims.reduce(1, *))
      let cache = WeightCache()
      try unsafe w.withUnsafeBytes { w in
        let kernel = try unsafe Convolution(
          x: xLayout, weights: weightDims, y: yLayout, window: window, groups: groups, bias: true, post: [.function(.gelu)],
          constantWeights: w.baseAddress!, cache: cache, workspace: Workspace())
        try unsafe bias.withUnsafeBytes { try unsafe kernel.run(x: x, y: &y, extras: [$0.baseAddress]) }
      }
      let (xs, taps) = (rowMajor(x, xLayout), window.kernel.reduce(1, *))
      let (inSize, places) = (input.reduce(1, *), Self.places(output))
      var expected: [Double] = []
      for n in 0..<batch {
        for f in 0..<filters {
          let group = f / (filters / groups)
          for place in places {
            var sum = Double(bias[f])
            Self.overWindow(window, input, place) { tap, at in
              guard let at else { return }
              for c in 0..<perGroup {
                sum += Double(xs[(n * channels + group * perGroup + c) * inSize + at]) * Double(w[(f * perGroup + c) * taps + tap])
              }
            }
            expected.append(sum)
          }
        }
      }
      var activated = expected.map { Float($0) }
      let dense = Strided(dense: [activated.count])
      let plain = activated
      unsafe Pointwise.apply(.gelu, plain, dense, &activated, dense)
      #expect(relativeError(rowMajor(y, yLayout), activated.map(Double.init)) < 2e-5, "\(window) \(groups) \(xDims)")
    }
  }

  @Test func poolingAgreesWithThePlainLoop() throws {
    var numbers = Numbers(22)
    for trial in 0..<60 {
      let (window, input, output) = Self.geometry(&numbers, axes: 1 + trial % 2, pads: true)
      let kind: Pooling.Kind = [.maximum, .average, .averageIncludingPadding][trial % 3]
      let (xDims, yDims) = ([2, 3] + input, [2, 3] + output)
      let (xLayout, yLayout) = trial % 4 < 2 ? (Strided(dense: xDims), Strided(dense: yDims)) : (Self.channelsLast(xDims), Self.channelsLast(yDims))
      let x = numbers.floats(xDims.reduce(1, *))
      var y = [Float](repeating: 0, count: yDims.reduce(1, *))
      try unsafe Pooling(kind, x: xLayout, y: yLayout, window: window, workspace: Workspace()).run(x: x, y: &y)
      let (xs, inSize) = (rowMajor(x, xLayout), input.reduce(1, *))
      var expected: [Double] = []
      for plane in 0..<6 {
        for place in Self.places(output) {
          var (values, taps) = ([Double](), 0)
          Self.overWindow(window, input, place) { _, at in
            taps += 1
            if let at { values.append(Double(xs[plane * inSize + at])) }
          }
          switch kind {
          case .maximum: expected.append(values.max() ?? -.infinity)
          case .average: expected.append(values.reduce(0, +) / Double(values.count))
          case .averageIncludingPadding: expected.append(values.reduce(0, +) / Double(taps))
          }
        }
      }
      // A window wholly in the padding has no average and no maximum; the plan never asks for one.
      guard !expected.contains(where: { !$0.isFinite }) else { continue }
      #expect(relativeError(rowMajor(y, yLayout), expected) < 1e-6, "\(kind) \(window) \(xDims)")
    }
  }
}
