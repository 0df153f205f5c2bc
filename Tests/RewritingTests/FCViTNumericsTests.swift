import FormatNPZ
import Recognition
import TestSupport
import Tensors
import Testing

@testable import Rewriting

/// The closed-form fit against an independent float64 computation (fixtures/make/vectors.py).
@Suite(.serialized) struct FCViTNumericsTests {
  let archive: ArrayArchive
  let weights: BlockWeights
  let inputs: TokenBatch
  let grid = PatchGrid(prefix: 1, height: 8, width: 8)
  let calibrated: Int

  init() throws {
    archive = try ArrayArchive.read(path: Fixtures.path("data/fcvit_conversion.npz"))
    let archive = archive
    func array(_ name: String) throws -> [Double] { try #require(archive[name]?.doubles()) }
    let x = try #require(archive["X"])
    inputs = try TokenBatch(x, layout: .batchFirst)
    let channels = inputs.channels
    let heads = Int(try array("heads")[0])
    calibrated = Int(try array("n_calib")[0])
    func inOut(_ name: String) throws -> [Double] { transposed(try array(name), rows: channels, columns: channels) }
    let headDim = channels / heads
    weights = try BlockWeights(
      heads: heads, headDim: headDim, valueDim: headDim, inputChannels: channels, scale: 1 / Double(headDim).squareRoot(), queryIO: inOut("Wq"),
      queryBias: array("bq"), keyIO: inOut("Wk"), valueIO: inOut("Wv"), valueBias: array("bv"))
  }

  func array(_ name: String) throws -> [Double] { try #require(archive[name]?.doubles()) }

  func expectEqual(_ a: [Double], _ b: [Double], within tolerance: Double, _ what: String = "") {
    #expect(a.count == b.count, "\(what)")
    let worst = zip(a, b).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= tolerance, "\(what) differs by \(worst)")
  }

  func problem() throws -> FCViTProblem {
    let target = AttentionTarget(weights, grid: grid, inputs: inputs)
    return try FCViTProblem(weights, grid: grid, inputs: inputs, target: target, calibrationCount: calibrated, largestKernel: 7)
  }

  @Test func targetIsTheOriginalAttention() throws {
    let target = AttentionTarget(weights, grid: grid, inputs: inputs)
    let o = try TokenBatch(#require(archive["O"]), layout: .batchFirst)
    var patches: [Double] = []
    let size = o.tokens * o.channels
    for sample in 0..<o.samples { patches += o.values[(sample * size + o.channels)..<((sample + 1) * size)] }
    // The file keeps O with single precision.
    expectEqual(target.patchRows.values, patches, within: 1e-7, "O")
    expectEqual(target.irrelevance.map(\.divergence), try array("JS"), within: 1e-12, "JS")
    expectEqual(target.irrelevance.map(\.entropy), try array("Hbar"), within: 1e-12, "H")
    expectEqual(target.irrelevance.map(\.cosine), try array("cos"), within: 1e-12, "cos")
    expectEqual(target.irrelevance.map(\.energy), try array("rho"), within: 1e-12, "rho")
    expectEqual(target.meanRows(weights, contexts: ContextGrid(1)), try array("abar"), within: 1e-12, "abar")
  }

  @Test func contextMapAndTemperature() throws {
    let problem = try problem()
    let maps = ContextMaps(problem.numerics, inputs, setting: FCViTSetting(), calibration: problem.calibration)
    let ones = [Double](repeating: 1, count: 4)
    expectEqual((0..<32).flatMap { maps.maps(sample: $0, temperature: ones) }, try array("p_dyn"), within: 1e-12, "p")
    let contexts = problem.contextValues(maps, ones)
    expectEqual(transposed(contexts, rows: 32, columns: 32), try array("gc_dyn"), within: 1e-12, "gc")
    let mean = try array("abar")
    let tau = maps.fittedTemperature(to: mean, calibration: problem.calibration, heldOut: problem.heldOut)
    expectEqual(tau, try array("tau"), within: 1e-9, "tau")
    expectEqual(transposed(problem.contextValues(maps, tau), rows: 32, columns: 32), try array("gc_dyn_tau"), within: 1e-9, "gc with tau")
  }

  func theta(_ fit: FCViTFit) -> [Double] {
    var result: [Double] = []
    for c in 0..<32 {
      result += fit.taps[(c * 25)..<((c + 1) * 25)]
      result += [fit.gain[c], fit.prefixGain[c], fit.offset[c]]
    }
    return result
  }

  @Test func ridgeSolution() throws {
    let problem = try problem()
    expectEqual(theta(try problem.fit(FCViTSetting(kernel: 5))), try array("theta"), within: 1e-9, "theta")
    expectEqual(theta(try problem.fit(FCViTSetting(kernel: 5, temperature: .on))), try array("theta_tau"), within: 1e-8, "theta with tau")
  }

  @Test func heldOutErrorIsThatOfThePrediction() throws {
    let fit = try problem().fit(FCViTSetting(kernel: 5))
    let predicted = try array("Ohat_test")
    let target = AttentionTarget(weights, grid: grid, inputs: inputs).patchRows
    let wanted = Array(target.values.suffix(predicted.count))
    var (error, variance) = (0.0, 0.0)
    for c in 0..<32 {
      var column: [Double] = []
      for index in stride(from: c, to: wanted.count, by: 32) { column.append(wanted[index]) }
      let mean: Double = column.reduce(0, +) / Double(column.count)
      for value in column { variance += (value - mean) * (value - mean) }
    }
    for (a, b) in zip(predicted, wanted) { error += (a - b) * (a - b) }
    #expect(abs(fit.heldOutError - error / variance) < 1e-9)
  }

  @Test(arguments: [(3, 1), (5, 2), (7, 4), (0, 1), (5, 8)]) func moreContextsAndLargerKernelsFit(kernel: Int, contexts: Int) throws {
    let problem = try problem()
    let fit = try problem.fit(FCViTSetting(kernel: kernel, contexts: ContextGrid(contexts)))
    #expect(fit.heldOutError >= 0 && fit.heldOutError < 1)
    if contexts == 8 {
      #expect(fit.isExact)
      #expect(fit.heldOutError == 0)
    } else {
      #expect(fit.taps.count == 32 * kernel * kernel)
      let coarser = try problem.fit(FCViTSetting(kernel: 0))
      #expect(fit.heldOutError <= coarser.heldOutError)
    }
  }

  @Test func variantsAreFittedToo() throws {
    let problem = try problem()
    let plain = try problem.fit(FCViTSetting(kernel: 5))
    for setting in [
      FCViTSetting(kernel: 5, heads: .shared), FCViTSetting(kernel: 5, static: .on), FCViTSetting(kernel: 5, filter: .head),
      FCViTSetting(kernel: 5, contexts: ContextGrid(height: 2, width: 3)),
    ] {
      let fit = try problem.fit(setting)
      #expect(fit.heldOutError > 0 && fit.heldOutError < 1)
      #expect(fit.heldOutError != plain.heldOutError)
    }
    let shared = try problem.fit(FCViTSetting(kernel: 3, filter: .head))
    #expect(shared.taps[0..<9] == shared.taps[9..<18])
    #expect(throws: (any Error).self) { try problem.fit(FCViTSetting(kernel: 4)) }
  }

  @Test func samplesThatLeaveNothingToMeasureAreRefused() throws {
    let target = AttentionTarget(weights, grid: grid, inputs: inputs)
    #expect(throws: (any Error).self) {
      try FCViTProblem(weights, grid: grid, inputs: inputs, target: target, calibrationCount: 32, largestKernel: 5)
    }
  }
}
