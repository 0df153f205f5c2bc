import Diagnostics
import Recognition
import Rewriting
import Tensors
import Testing

@testable import Validation

struct LogitsTests {
  let a: Logits

  init() throws { a = try Logits(Tensor(float32: [2, 1, 0, 0, 3, 1], dims: [2, 3])) }

  @Test func decisionsAndAccuracy() throws {
    #expect(a.decisions == [0, 1])
    #expect(a.accuracy([0, 0]) == 0.5)
    let ties = try Logits(Tensor(float32: [1, 1, 0, 0], dims: [2, 2]))
    #expect(ties.decisions == [0, 0])
    let b = try Logits(Tensor(float32: [2, 1, 0, 5, 3, 1], dims: [2, 3]))
    #expect(a.agreement(with: b) == 0.5)
  }

  @Test func divergenceAndCrossEntropy() throws {
    #expect(try a.divergence(to: a) == 0)
    let uniform = try Logits(Tensor(float32: [0, 0, 0, 0, 0, 0], dims: [2, 3]))
    // KL(p || uniform) = log 3 - H(p), by hand for softmax(2, 1, 0) and softmax(0, 3, 1).
    #expect(abs(try a.divergence(to: uniform) - 0.4202811893843039) < 1e-6)
    #expect(abs(try uniform.crossEntropy([0, 2]) - 1.0986123) < 1e-6)
    #expect(throws: Failure.self) { try a.crossEntropy([0]) }
    #expect(throws: Failure.self) { try a.crossEntropy([0, 3]) }
    #expect(throws: Failure.self) { try a.divergence(to: Logits(Tensor(float32: [1, 2, 3, 4], dims: [2, 2]))) }
  }

  @Test func otherShapesAreNoScores() throws {
    #expect(throws: Failure.self) { try Logits(Tensor(float32: [1, 2], dims: [2])) }
    #expect(throws: Failure.self) { try Logits(Tensor(float32: [1, 2], dims: [2, 1])) }
    #expect(try Logits(Tensor(float32: [1, 2, 3, 4], dims: [2, 2, 1, 1])).classes == 2)
    #expect(Logits.accepts(TensorType(.float32, Shape([2, 10]))))
    #expect(!Logits.accepts(TensorType(.float32, Shape([2, 17, 10]))))
    #expect(!Logits.accepts(TensorType(.int64, Shape([2, 10]))))
  }
}

struct ComparisonTests {
  func output(_ values: [Float], _ dims: [Int]) throws -> MeasuredOutput { MeasuredOutput("y", try Tensor(float32: values, dims: dims)) }

  @Test func measuresAreThoseOfTheFormulas() throws {
    let comparison = try Comparison(
      reference: [output([1, 2, 3, 6], [2, 2])], model: [output([1, 2, 3.5, 6], [2, 2])], labels: [1, 0], samples: 2)
    #expect(comparison.maxAbs == 0.5)
    #expect(comparison.maxRel == 0.5 / 6)
    // Columns (1, 3) and (2, 6) have variances 2 and 8 around their means.
    #expect(comparison.nmse == 0.025)
    #expect(comparison.top1Agreement == 1)
    #expect(comparison.top1 == 0.5 && comparison.top1Reference == 0.5)
    #expect(comparison.kl ?? 0 > 0)
  }

  @Test func equalOutputsHaveNoError() throws {
    let y = try output([1, 2, 3, 4], [2, 2])
    let comparison = try Comparison(reference: [y], model: [y], labels: nil, samples: 2)
    #expect(comparison.maxAbs == 0 && comparison.nmse == 0 && comparison.kl == 0 && comparison.top1 == nil)
  }

  @Test func notANumberDoesNotHide() throws {
    let comparison = try Comparison(reference: [output([1, 2], [1, 2])], model: [output([1, .nan], [1, 2])], labels: nil, samples: 1)
    #expect(comparison.maxAbs == .infinity)
  }

  @Test func otherShapesAreRefused() throws {
    #expect(throws: Failure.self) { try Comparison(reference: [output([1], [1, 1])], model: [output([1, 2], [1, 2])], labels: nil, samples: 1) }
    #expect(throws: Failure.self) { try Comparison(reference: [output([1], [1, 1])], model: [], labels: nil, samples: 1) }
  }

  @Test func blocksTellPatchRowsFromPrefixRows() throws {
    let grid = PatchGrid(prefix: 1, height: 2, width: 1)
    let reference = try Tensor(float32: [0, 1, 2, 2, 3, 6], dims: [2, 3, 1])
    let model = try Tensor(float32: [0, 1, 2, 2, 3, 7], dims: [2, 3, 1])
    let block = try BlockComparison(
      index: 0, name: "b", reference: reference, model: model, layout: .batchFirst, grid: grid,
      residualSum: Tensor(float32: [1, 1, 1, 1, 1, 2], dims: [2, 3, 1]))
    #expect(block.prefixNMSE == 0)
    #expect(block.patchNMSE == 1.0 / 14)
    #expect(block.residualError == 1.0 / 3)
  }
}

struct ToleranceTests {
  @Test func measuredToleranceFollowsTheError() throws {
    let single = try Tensor(float32: [1, 2, 4], dims: [3])
    let double = try Tensor(float64: [1, 2.001, 4], dims: [3])
    let tolerance = try #require(Tolerance.measured(single, exact: double, samples: 1))
    #expect(abs(tolerance.limit - 8 * (0.001 + 4 * 0x1p-24)) < 1e-9)
    #expect(tolerance.basis.contains("float64"))
    let exact = try #require(Tolerance.measured(single, exact: Tensor(float64: [1, 2, 4], dims: [3]), samples: 1))
    #expect(exact.limit > 0 && exact.limit < 1e-5)
  }

  @Test func boundGrowsWithTheRoundings() throws {
    let tensor = try Tensor(float32: [-3, 1], dims: [2])
    let near = try #require(Tolerance.bounded(4, reference: tensor))
    let far = try #require(Tolerance.bounded(400, reference: tensor))
    #expect(abs(far.limit / near.limit - 10) < 1e-12)
    #expect(abs(near.limit - 8 * 0x1p-24 * 2 * 3) < 1e-15)
  }
}
