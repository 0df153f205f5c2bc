import CVector
import GraphIR
import Tensors
import Testing

@testable import Execution

/// Batches that are run in parts, and chains of reshapes and transpositions that end in one copy.
struct SampleRunTests {
  static let batch = Dim(symbol: "batch")

  static func numbers(_ count: Int, _ seed: Int) -> [Float] { (0..<count).map { Float(($0 &* 7919 &+ seed &* 104_729) % 2001 - 1000) / 1000 } }

  static func tensor(_ dims: [Int], _ seed: Int) throws -> Tensor { try Tensor(float32: numbers(dims.reduce(1, *), seed), dims: dims) }

  /// A map of 16 channels is convolved, cut into patches of 2 x 2 as MobileViT does, mixed, and put together again.
  static func patches(side: Int, channels: Int = 16, centersOverBatch: Bool = false) throws -> Graph {
    var builder = GraphBuilder(name: "patches")
    let x = builder.input("x", TensorType(.float32, Shape([batch, Dim(channels), Dim(side), Dim(side)])))
    func shape(_ name: String, _ dims: [Int64]) throws -> ValueID { builder.constant(name, try Tensor(int64: dims, dims: [dims.count])) }
    let filters = builder.constant("f", try tensor([channels, channels, 3, 3], 1))
    let window = Window(kernel: [], strides: [1, 1], dilations: [1, 1], padding: .explicit([1, 1, 1, 1]))
    var value = builder.node(.convolution(.conv(window, groups: 1)), [x, filters], result: "c")
    if centersOverBatch {
      let axes = try shape("axes", [0])
      let mean = builder.node(.reduction(ReductionOp(.mean, keepDims: true)), [value, axes], result: "mean")
      value = builder.node(.binary(.subtract), [value, mean], result: "centered")
    }
    let (half, c) = (Int64(side / 2), Int64(channels))
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s1", [-1, 2, half, 2])], result: "r1")
    value = builder.node(.layout(.transpose([0, 2, 1, 3])), [value], result: "t1")
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s2", [-1, c, half * half, 4])], result: "r2")
    value = builder.node(.layout(.transpose([0, 3, 2, 1])), [value], result: "t2")
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s3", [-1, half * half, c])], result: "r3")
    let w = builder.constant("w", try tensor([channels, channels], 2))
    value = builder.node(.matrix(.matMul), [value, w], result: "m")
    value = builder.node(.softmax(.softmax(axis: -1)), [value], result: "p")
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s4", [-1, 4, half * half, c])], result: "r4")
    value = builder.node(.layout(.transpose([0, 3, 2, 1])), [value], result: "t3")
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s5", [-1, half, 2, 2])], result: "r5")
    value = builder.node(.layout(.transpose([0, 2, 1, 3])), [value], result: "t4")
    value = builder.node(.layout(.reshape(allowZero: false)), [value, try shape("s6", [-1, c, Int64(side), Int64(side)])], result: "r6")
    let pointwise = builder.constant("q", try tensor([channels, channels, 1, 1], 3))
    let plain = Window(kernel: [], strides: [1, 1], dilations: [1, 1], padding: .explicit([0, 0, 0, 0]))
    builder.outputs([builder.node(.convolution(.conv(plain, groups: 1)), [value, pointwise], result: "y")])
    return try builder.finish()
  }

  static func worst(_ a: Tensor?, _ b: Tensor?) -> Float {
    guard let a = a?.floats(), let b = b?.doubles(), a.count == b.count else { return .infinity }
    return zip(a, b).map { abs($0 - Float($1)) }.max() ?? 0
  }

  @Test(arguments: [1, 2, 3], [1, 2, 6]) func batchesAgreeWithTheReference(threads: Int, samples: Int) throws {
    let graph = try Self.patches(side: 32, channels: 48)
    let x = try Self.tensor([samples, 48, 32, 32], 4)
    let executor = Executor(graph, options: RunOptions(threads: threads))
    let result = try executor.run(["x": x])
    let exact = try Executor(graph, options: RunOptions(precision: .reference)).run(["x": x])
    #expect(result.values[graph.outputs[0]]?.dims == [samples, 48, 32, 32])
    #expect(Self.worst(result.values[graph.outputs[0]], exact.values[graph.outputs[0]]) < 1e-4)
    // The same bits again, whichever thread takes which part.
    for _ in 0..<3 {
      let again = try executor.run(["x": x])
      #expect(again.values[graph.outputs[0]]?.elements(as: UInt8.self) == result.values[graph.outputs[0]]?.elements(as: UInt8.self))
    }
  }

  @Test func partsArePlannedWhereSamplesAreIndependent() throws {
    let options = RunOptions(threads: 2)
    let one = try Executor(Self.patches(side: 32), options: options).plan(["x": [1, 16, 32, 32]])
    let six = try Executor(Self.patches(side: 32), options: options).plan(["x": [6, 16, 32, 32]])
    #expect(six.stepCount % 2 == 0 && six.stepCount > one.stepCount)
    // What looks at the whole batch runs as a whole, and right.
    let graph = try Self.patches(side: 8, centersOverBatch: true)
    let whole = try Executor(graph, options: options).plan(["x": [6, 16, 8, 8]])
    #expect(whole.stepCount <= one.stepCount + 6)
    let x = try Self.tensor([6, 16, 8, 8], 5)
    let exact = try Executor(graph, options: RunOptions(precision: .reference)).run(["x": x])
    #expect(Self.worst(try Executor(graph, options: options).run(["x": x]).values[graph.outputs[0]], exact.values[graph.outputs[0]]) < 1e-4)
  }

  /// A CPU without AVX-512 takes other kernels: oneDNN's products and convolutions, and the narrower loops.
  @Test(arguments: [VCUnit.baseline, .AVX2, .AVX512]) func everyVectorUnitRunsThePlan(unit: VCUnit) throws {
    guard vc_select_unit(unit) != 0 else { return }
    defer { vc_select_widest_unit() }
    let graph = try Self.patches(side: 32, channels: 48)
    let x = try Self.tensor([2, 48, 32, 32], 8)
    let result = try Executor(graph, options: RunOptions(threads: 1)).run(["x": x])
    let exact = try Executor(graph, options: RunOptions(precision: .reference)).run(["x": x])
    #expect(Self.worst(result.values[graph.outputs[0]], exact.values[graph.outputs[0]]) < 1e-4)
  }

  /// Reshapes and transpositions behind each other end in one copy each way.
  @Test func chainsOfMovesAreOneCopy() throws {
    let graph = try Self.patches(side: 8)
    let executor = Executor(graph, options: RunOptions(threads: 1, profiles: true))
    let result = try executor.run(["x": try Self.tensor([1, 16, 8, 8], 6)])
    // The input to channels-last, into patches, back again, and the result to row-major.
    #expect(result.profile.count { $0.kernel == "copy" } <= 4)
  }

  @Test func infiniteFiltersDoNotMeetPadding() throws {
    var builder = GraphBuilder(name: "infinite")
    let x = builder.input("x", TensorType(.float32, Shape([1, 16, 4, 4])))
    var values = Self.numbers(16 * 9 * 16, 7)
    values[0] = .infinity
    let w = builder.constant("w", try Tensor(float32: values, dims: [16, 16, 3, 3]))
    let window = Window(kernel: [], strides: [1, 1], dilations: [1, 1], padding: .explicit([1, 1, 1, 1]))
    builder.outputs([builder.node(.convolution(.conv(window, groups: 1)), [x, w], result: "y")])
    let graph = try builder.finish()
    let input = try Tensor(float32: [Float](repeating: 1, count: 256), dims: [1, 16, 4, 4])
    let got = try Executor(graph).run(["x": input]).values[graph.outputs[0]]?.floats() ?? []
    // The tap above and left of a result meets padding in the first row and column, infinity elsewhere.
    for place in 0..<16 { #expect(got[place].isFinite == (place < 4 || place % 4 == 0)) }
  }
}
