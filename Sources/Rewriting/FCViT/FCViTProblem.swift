public import Diagnostics
internal import Kernels

/// One block ready to be fitted: everything that settings share is computed once, so that trying another kernel or
/// another number of contexts is cheap.
///
/// The fit is a ridge regression by channel from the values around a patch, its context, the values of the prefix tokens
/// and a constant to the original attention's output; the prior is the context alone. Inputs are those of the network as
/// rewritten so far, the target is the original's, so that the fit repairs part of the error from blocks before it.
public struct FCViTProblem: Sendable {
  public let weights: BlockWeights
  public let grid: PatchGrid
  public let largestKernel: Int
  /// The ridge's weight relative to the mean diagonal of the normal equations.
  public static let ridge = 1e-3
  /// The same for the constant, which is not penalized but keeps the system regular.
  public static let constantRidge = 1e-9

  let numerics: AttentionNumerics
  let inputs: TokenBatch
  let target: AttentionTarget
  let calibration, heldOut: Range<Int>
  let values: [Double]
  private let neighbors: NeighborTable
  private let local: [LocalSums]
  private let heldOutLocal: [LocalSums]

  /// - Parameters:
  ///   - inputs: X~ of the rewritten network, the calibration samples first.
  ///   - target: of the same samples in the same order.
  ///   - calibrationCount: how many samples are fitted; the others measure.
  /// - Throws: `calibrationData` when either part is empty or the sizes do not agree.
  public init(_ weights: BlockWeights, grid: PatchGrid, inputs: TokenBatch, target: AttentionTarget, calibrationCount: Int, largestKernel: Int) throws(Failure)
  {
    guard calibrationCount > 0, calibrationCount < inputs.samples else {
      throw Failure(.calibrationData, "\(inputs.samples) samples with \(calibrationCount) to fit leave nothing to measure on")
    }
    guard inputs.tokens == grid.tokens, inputs.channels == weights.inputChannels, target.samples == inputs.samples, target.grid == grid else {
      throw Failure(
        .calibrationData, "activations are (\(inputs.tokens), \(inputs.channels)), the block has \(grid.tokens) tokens of \(weights.inputChannels) channels")
    }
    self.weights = weights
    self.grid = grid
    self.largestKernel = largestKernel
    self.inputs = inputs
    self.target = target
    calibration = 0..<calibrationCount
    heldOut = calibrationCount..<inputs.samples
    numerics = AttentionNumerics(weights: weights, grid: grid)
    values = numerics.values(inputs)
    neighbors = NeighborTable(kernel: largestKernel, grid: grid)
    let (values, neighbors, samples) = (self.values, self.neighbors, inputs.samples)
    func sums(_ range: Range<Int>) -> [LocalSums] {
      Parallel.map(weights.mergedChannels) {
        LocalSums(channel: $0, values: values, target: target.merged, grid: grid, neighbors: neighbors, allSamples: samples, samples: range)
      }
    }
    local = sums(calibration)
    heldOutLocal = sums(heldOut)
  }

  /// Fits one setting.
  ///
  /// - Throws: `numericalFailure` when the normal equations cannot be solved, `rewriteParameter` for a kernel larger than
  ///   the problem was made for.
  public func fit(_ setting: FCViTSetting) throws(Failure) -> FCViTFit { try fits(setting, kernels: [setting.kernel])[0] }

  /// Fits one setting with several kernels, which share the contexts.
  public func fits(_ setting: FCViTSetting, kernels: [Int]) throws(Failure) -> [FCViTFit] {
    let channels = weights.mergedChannels
    if setting.contexts.isExact(on: grid) { return kernels.map { _ in .exact(grid: grid, heads: weights.heads, channels: channels) } }
    let maps = ContextMaps(numerics, inputs, setting: setting, calibration: calibration)
    var temperature = [Double](repeating: 1, count: weights.heads)
    if setting.temperature == .on {
      var rows = target.meanRows(weights, contexts: setting.contexts)
      if setting.heads == .shared { averageHeads(&rows, samples: inputs.samples, heads: weights.heads) }
      temperature = maps.fittedTemperature(to: rows, calibration: calibration, heldOut: heldOut)
    }
    let contexts = contextValues(maps, temperature)
    let count = setting.contexts.count
    let upsampling = SparseRows(setting.contexts.upsampling(to: grid), columns: count)
    func sums(_ samples: Range<Int>) -> [ContextSums] {
      Parallel.map(channels) { channel in
        ContextSums(
          channel: channel, context: contexts, offset: channel * count * inputs.samples, contexts: count, upsampling: upsampling, values: values,
          target: target.merged, grid: grid, neighbors: neighbors, allSamples: inputs.samples, samples: samples)
      }
    }
    let (fitted, measured) = (sums(calibration), sums(heldOut))
    var result: [FCViTFit] = []
    for kernel in kernels {
      var asked = setting
      asked.kernel = kernel
      result.append(try solved(asked, fitted, measured, temperature, maps.staticQueries))
    }
    return result
  }

  private func solved(
    _ setting: FCViTSetting, _ fitted: [ContextSums], _ measured: [ContextSums], _ temperature: [Double], _ staticQueries: [Double]?
  ) throws(Failure) -> FCViTFit {
    guard setting.kernel == 0 || (setting.kernel % 2 == 1 && setting.kernel <= largestKernel) else {
      throw Failure(.rewriteParameter, "kernel \(setting.kernel) is not odd and at most \(largestKernel)")
    }
    let taps = setting.kernel * setting.kernel
    let chosen = features(kernel: setting.kernel)
    var solutions: [[Double]] = []
    var (squaredError, variance) = (0.0, 0.0)
    let group = setting.filter == .head ? weights.valueDim : 1
    for start in stride(from: 0, to: weights.mergedChannels, by: group) {
      var equations = NormalEquations(local[start], fitted[start], localFeatures: chosen, context: taps)
      for channel in (start + 1)..<max(start + group, start + 1) {
        equations.add(NormalEquations(local[channel], fitted[channel], localFeatures: chosen, context: taps))
      }
      let solution = try equations.solved()
      for channel in start..<(start + group) {
        solutions.append(solution)
        let sums = heldOutLocal[channel]
        squaredError += NormalEquations(sums, measured[channel], localFeatures: chosen, context: taps)
          .squaredError(solution, targetSquares: sums.targetSquares)
        variance += sums.targetSquares - sums.targetSum * sums.targetSum / Double(heldOut.count * grid.patches)
      }
    }
    return FCViTFit(
      grid: grid, setting: setting, temperature: temperature, staticQueries: staticQueries, taps: solutions.flatMap { $0[..<taps] },
      gain: solutions.map { $0[taps] }, prefixGain: solutions.flatMap { $0[(taps + 1)..<(taps + 1 + grid.prefix)] },
      offset: solutions.map { $0[taps + 1 + grid.prefix] }, heldOutError: variance > 0 ? max(0, squaredError) / variance : 0)
  }

  /// The context vectors, `[channel][context][sample]`.
  func contextValues(_ maps: ContextMaps, _ temperature: [Double]) -> [Double] {
    let (count, n, dv, samples) = (maps.contexts, grid.tokens, weights.valueDim, inputs.samples)
    let (merged, weights, values) = (weights.mergedChannels, weights, values)
    // Samples lie innermost in `values`: a few at a time make use of each cache line that is read.
    let group = 8
    let byGroup = Parallel.map((samples + group - 1) / group) { part in
      let range = (part * group)..<min((part + 1) * group, samples)
      var v = [Double](repeating: 0, count: range.count * merged * n)
      for row in 0..<(merged * n) {
        for (place, sample) in range.enumerated() { v[place * merged * n + row] = values[row * samples + sample] }
      }
      var rows = [Double](repeating: 0, count: range.count * merged * count)
      for (place, sample) in range.enumerated() {
        let p = maps.maps(sample: sample, temperature: temperature)
        for head in 0..<weights.heads {
          multiplyRows(
            v, RowBlock(offset: (place * merged + head * dv) * n, rows: dv, stride: n), p, RowBlock(offset: head * count * n, rows: count, stride: n),
            depth: n, into: &rows, (place * merged + head * dv) * count, stride: count)
        }
      }
      return rows
    }
    var result = [Double](repeating: 0, count: merged * count * samples)
    for (part, rows) in byGroup.enumerated() {
      let range = (part * group)..<min((part + 1) * group, samples)
      for index in 0..<(merged * count) {
        for (place, sample) in range.enumerated() { result[index * samples + sample] = rows[place * merged * count + index] }
      }
    }
    return result
  }

  /// Which features of the largest kernel's a smaller one uses, prefix and constant included.
  private func features(kernel: Int) -> [Int] {
    var result: [Int] = []
    let margin = (largestKernel - kernel) / 2
    for a in 0..<kernel {
      for b in 0..<kernel { result.append((a + margin) * largestKernel + b + margin) }
    }
    return result + Array((largestKernel * largestKernel)..<(largestKernel * largestKernel + grid.prefix + 1))
  }
}
