import Testing

@testable import Rewriting

struct GridResamplingTests {
  @Test func poolingIsAdaptiveAveraging() {
    #expect(GridResampling.pooling(from: 4, to: 2) == [0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5])
    // Cells of 5 to 3: [0, 2), [1, 4), [3, 5).
    let third = 1.0 / 3
    #expect(GridResampling.pooling(from: 5, to: 3) == [0.5, 0.5, 0, 0, 0, 0, third, third, third, 0, 0, 0, 0, 0.5, 0.5])
  }

  @Test func upsamplingReadsHalfPixelCenters() {
    #expect(GridResampling.upsampling(from: 2, to: 4) == [1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1])
    #expect(GridResampling.upsampling(from: 1, to: 3) == [1, 1, 1])
  }

  @Test(arguments: [1, 3, 8]) func equalSidesAreTheIdentity(side: Int) {
    let identity = (0..<(side * side)).map { $0 / side == $0 % side ? 1.0 : 0 }
    #expect(GridResampling.pooling(from: side, to: side) == identity)
    #expect(GridResampling.upsampling(from: side, to: side) == identity)
  }

  @Test func solverMatchesAKnownSystem() throws {
    #expect(try solveSymmetric([4, 2, 2, 3], size: 2, [10, 9]).map { ($0 * 1e12).rounded() / 1e12 } == [1.5, 2])
    #expect(throws: (any Error).self) { try solveSymmetric([1, 2, 2, 1], size: 2, [1, 1]) }
  }
}
