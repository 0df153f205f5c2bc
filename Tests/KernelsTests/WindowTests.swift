import CVector
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
      let xLayout = Self.channelsLast(xDims)
      Parallel.use(threads: 1 + trial % 3)
      defer { Parallel.use(threads: 1) }
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
      let (xLayout, yLayout) = (Self.channelsLast(xDims), Self.channelsLast(yDims))
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

  /// Larger maps, which are cut into strips, with what the own loop does afterwards: a ReLU that keeps NaN.
  @Test func stripsAgreeWithTheWhole() throws {
    var numbers = Numbers(23)
    for (kernel, stride, dilation, pad) in [(3, 1, 1, 1), (3, 2, 1, 1), (7, 2, 1, 3), (3, 1, 2, 2), (1, 2, 1, 0)] {
      let (channels, filters, height, width) = (16, 24, 29, 23)
      func size(_ n: Int) -> Int { (n + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1 }
      let (xDims, yDims) = ([2, channels, height, width], [2, filters, size(height), size(width)])
      let (x, y) = (Self.channelsLast(xDims), Self.channelsLast(yDims))
      let window = WindowGeometry(
        kernel: [kernel, kernel], strides: [stride, stride], dilations: [dilation, dilation], padBegin: [pad, pad], padEnd: [pad, pad])
      var input = numbers.floats(x.count)
      input[5] = .nan
      let (w, bias, residual) = (numbers.floats(filters * channels * kernel * kernel), numbers.floats(filters), numbers.floats(y.count))
      var results: [[Float]] = []
      for threads in [1, 2, 5] {
        Parallel.use(threads: threads)
        defer { Parallel.use(threads: 1) }
        var z = [Float](repeating: 7, count: y.count)
        try unsafe w.withUnsafeBytes { w in
          let convolution = try unsafe Convolution(
            x: x, weights: [filters, channels, kernel, kernel], y: y, window: window, groups: 1, bias: true, post: [.binary(.add, y), .function(.relu)],
            constantWeights: w.baseAddress!, cache: WeightCache(), workspace: Workspace())
          try unsafe withExtras([bias, residual]) { extras in try unsafe convolution.run(x: input, y: &z, extras: extras) }
        }
        results.append(z)
      }
      #expect(results[0].contains { $0.isNaN } && results[0].contains(0) && !results[0].contains { $0 < 0 })
      for other in results.dropFirst() { #expect(relativeError(other, results[0].map(Double.init)) < 1e-5, "\(kernel) \(stride) \(dilation)") }
    }
  }

  @Test(arguments: VectorUnitTests.units) func depthwiseAgreesWithThePlainLoop(unit: VCUnit) throws {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(24)
    for trial in 0..<60 {
      let (window, small, _) = Self.geometry(&numbers, axes: 2, pads: true)
      let wide = trial % 3 == 0 ? numbers.int(14...40) : 0
      var usual = window
      if trial % 2 == 0 {
        usual = WindowGeometry(kernel: [3, [3, 5, 7][trial / 2 % 3]], strides: [1, 1], dilations: [1, 1], padBegin: [1, 1], padEnd: [1, 1])
      }
      var (input, output) = ([Int](), [Int]())
      for axis in 0..<2 {
        let extent: Int = (usual.kernel[axis] - 1) * usual.dilations[axis] + 1
        input.append(max(small[axis], extent + wide))
        output.append((input[axis] + usual.padBegin[axis] + usual.padEnd[axis] - extent) / usual.strides[axis] + 1)
      }
      let (batch, channels, taps) = (numbers.int(1...2), numbers.int(1...40), usual.kernel.reduce(1, *))
      let (xDims, yDims) = ([batch, channels] + input, [batch, channels] + output)
      let (xLayout, yLayout) = (Self.channelsLast(xDims), Self.channelsLast(yDims))
      let (x, w, bias) = (numbers.floats(xLayout.count), numbers.floats(channels * taps), numbers.floats(channels))
      let (gain, shift, residual) = (numbers.floats(channels), numbers.floats(channels), numbers.floats(yLayout.count))
      let vector = Strided(dense: [1, channels, 1, 1])
      let post: [PostOperation] = [.function(.relu), .binary(.multiply, vector), .binary(.add, vector), .binary(.add, yLayout)]
      guard DepthwiseConvolution.supports(x: xDims, weights: [channels, 1] + usual.kernel, groups: channels, post: post) else { continue }
      Parallel.use(threads: 1 + trial % 3)
      defer { Parallel.use(threads: 1) }
      var y = [Float](repeating: 7, count: yLayout.count)
      let kernel = try unsafe DepthwiseConvolution(x: xDims, y: yDims, weights: w, window: usual, post: post, workspace: Workspace())
      try unsafe withExtras([gain, shift, residual]) { extras in
        let operands: [UnsafePointer<Float>?] = unsafe extras.map { pointer in unsafe pointer?.assumingMemoryBound(to: Float.self) }
        unsafe kernel.run(x: x, bias: bias, y: &y, operands: operands)
      }
      let xs: [Double] = rowMajor(x, xLayout).map { Double($0) }
      let rs: [Double] = rowMajor(residual, yLayout).map { Double($0) }
      let filters: [Double] = w.map { Double($0) }
      let inSize = input.reduce(1, *)
      var expected: [Double] = []
      for n in 0..<batch {
        for c in 0..<channels {
          for place in Self.places(output) {
            var sum = Double(bias[c])
            Self.overWindow(usual, input, place) { tap, at in
              if let at { sum += xs[(n * channels + c) * inSize + at] * filters[c * taps + tap] }
            }
            let scaled: Double = max(sum, 0) * Double(gain[c]) + Double(shift[c])
            expected.append(scaled + rs[expected.count])
          }
        }
      }
      #expect(relativeError(rowMajor(y, yLayout), expected) < 1e-5, "\(usual) \(xDims)")
    }
  }

  /// The own convolution with packed filters, on every unit, in strips and panels, against the plain loop: usual windows,
  /// channel counts that leave part of a vector, and what follows the sums.
  @Test(arguments: VectorUnitTests.units) func packedConvolutionAgreesWithThePlainLoop(unit: VCUnit) throws {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    var numbers = Numbers(25)
    for trial in 0..<40 {
      var (window, input, output) = Self.geometry(&numbers, axes: 2, pads: true)
      if trial % 3 == 0 {
        window = WindowGeometry(kernel: [3, 3], strides: [1, 1], dilations: [1, 1], padBegin: [1, 1], padEnd: [1, 1])
        input = [numbers.int(5...20), numbers.int(5...20)]
        output = input
      }
      let (batch, channels, filters, taps) = (numbers.int(1...2), numbers.int(1...40), numbers.int(1...150), window.kernel.reduce(1, *))
      let (xDims, yDims) = ([batch, channels] + input, [batch, filters] + output)
      let (xLayout, yLayout) = (Self.channelsLast(xDims), Self.channelsLast(yDims))
      Parallel.use(threads: 1 + trial % 3)
      defer { Parallel.use(threads: 1) }
      var x = numbers.floats(xLayout.count)
      if trial % 4 == 1 { x[numbers.int(0...x.count - 1)] = [.nan, .infinity, .leastNonzeroMagnitude][trial % 3] }
      let (w, bias, residual) = (numbers.floats(filters * channels * taps), numbers.floats(filters), numbers.floats(yLayout.count))
      let post: [PostOperation] = [.binary(.add, yLayout), .function(.relu)]
      var y = [Float](repeating: 7, count: yLayout.count)
      let cache = WeightCache()
      try unsafe w.withUnsafeBufferPointer { w in
        let kernel = try unsafe PackedConvolution(
          x: xDims, y: yDims, weights: w.baseAddress!, window: window, bias: true, post: post, cache: cache, workspace: Workspace())
        try unsafe withExtras([bias, residual]) { extras in for _ in 0..<2 { unsafe kernel.run(x: x, y: &y, extras: extras) } }
      }
      let xs: [Double] = rowMajor(x, xLayout).map { Double($0) }
      let rs: [Double] = rowMajor(residual, yLayout).map { Double($0) }
      let inSize = input.reduce(1, *)
      var expected: [Double] = []
      for n in 0..<batch {
        for f in 0..<filters {
          for place in Self.places(output) {
            var sum = Double(bias[f])
            Self.overWindow(window, input, place) { tap, at in
              guard let at else { return }
              for c in 0..<channels { sum += xs[(n * channels + c) * inSize + at] * Double(w[(f * channels + c) * taps + tap]) }
            }
            sum += rs[expected.count]
            expected.append(sum < 0 ? 0 : sum)
          }
        }
      }
      #expect(relativeError(rowMajor(y, yLayout), expected) < 2e-5, "\(window) \(xDims) \(yDims)")
    }
  }

  /// Padding is no operand: an infinite weight must not meet it as zero times infinity.
  @Test func paddingAllowsFiniteFiltersOnly() {
    let padded = WindowGeometry(kernel: [3, 3], strides: [1, 1], dilations: [1, 1], padBegin: [1, 0], padEnd: [0, 0])
    let bare = WindowGeometry(kernel: [3, 3], strides: [1, 1], dilations: [1, 1], padBegin: [0, 0], padEnd: [0, 0])
    for place in [0, 15, 16, 20] {
      for value in [Float.infinity, -.infinity, .nan, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
        var w = [Float](repeating: 1, count: 21)
        w[place] = value
        let (isAllowed, isAlways) = unsafe (padded.allows(filters: w, count: w.count), bare.allows(filters: w, count: w.count))
        #expect(isAllowed == value.isFinite && isAlways)
      }
    }
  }
}
