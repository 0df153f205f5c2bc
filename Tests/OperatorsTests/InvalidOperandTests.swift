import Diagnostics
import GraphIR
import Operators
import Tensors
import Testing

/// Shape rules refuse what the standard refuses, with the code that says why.
@Suite struct InvalidOperandTests {
  struct Refusal: CustomStringConvertible, Sendable {
    let description: String
    let op: Op
    let operands: [Fact?]
    let code: DiagnosticCode
    var results = 1

    init(_ description: String, _ op: Op, _ operands: [Fact?], _ code: DiagnosticCode = .shapeMismatch, results: Int = 1) {
      self.description = description
      self.op = op
      self.operands = operands
      self.code = code
      self.results = results
    }
  }

  private static func f(_ dims: Int..., element: ElementType = .float32) -> Fact { Fact(TensorType(element, Shape(dims))) }
  private static func v(_ values: Int64...) -> Fact? {
    (try? Tensor(int64: values, dims: [values.count])).map { Fact($0.type, value: .tensor($0)) }
  }
  private static func scales(_ values: Float...) -> Fact? {
    (try? Tensor(float32: values, dims: [values.count])).map { Fact($0.type, value: .tensor($0)) }
  }
  private static func window(_ kernel: [Int], strides: [Int] = [1, 1], pads: [Int] = [0, 0, 0, 0]) -> Window {
    Window(kernel: kernel, strides: strides, dilations: [1, 1], padding: .explicit(pads))
  }

  static let refusals: [Refusal] = [
    Refusal("addition of shapes that do not broadcast", .binary(.add), [f(2, 3), f(4)]),
    Refusal("addition of two types", .binary(.add), [f(2), f(2, element: .float64)], .typeMismatch),
    Refusal("logic of floats", .binary(.and), [f(2), f(2)], .typeMismatch),
    Refusal("exponential of integers", .unary(.exp), [f(2, element: .int64)], .typeMismatch),
    Refusal("negation of floats", .unary(.not), [f(2)], .typeMismatch),
    Refusal("a condition that is no bool", .select, [f(2), f(2), f(2)], .typeMismatch),
    Refusal("clip bounds that are no scalars", .clip, [f(4), f(4)]),
    Refusal("product of unequal inner sizes", .matrix(.matMul), [f(2, 3), f(4, 5)]),
    Refusal("product of batches that do not broadcast", .matrix(.matMul), [f(2, 3, 4), f(3, 4, 5)]),
    Refusal("product of a scalar", .matrix(.matMul), [f(), f(2)]),
    Refusal("Gemm of three axes", .matrix(.gemm(alpha: 1, beta: 1, transposeA: false, transposeB: false)), [f(1, 2, 3), f(3, 4)]),
    Refusal("Gemm with a bias of another width", .matrix(.gemm(alpha: 1, beta: 1, transposeA: false, transposeB: true)), [f(2, 3), f(4, 3), f(5)]),
    Refusal("Einsum with too few terms", .matrix(.einsum(equation: "ij->ij")), [f(2, 3), f(3, 4)]),
    Refusal("Einsum with sizes that differ", .matrix(.einsum(equation: "ij,jk->ik")), [f(2, 3), f(4, 5)]),
    Refusal("Einsum with an unknown result label", .matrix(.einsum(equation: "ij->k")), [f(2, 3)]),
    Refusal("Einsum that is no equation", .matrix(.einsum(equation: "i1->i")), [f(2, 3)]),
    Refusal("convolution of other channels", .convolution(.conv(window([3, 3]), groups: 1)), [f(1, 3, 8, 8), f(4, 2, 3, 3)]),
    Refusal("convolution of a smaller image", .convolution(.conv(window([5, 5]), groups: 1)), [f(1, 3, 4, 4), f(4, 3, 5, 5)]),
    Refusal("convolution in groups that do not divide", .convolution(.conv(window([1, 1]), groups: 2)), [f(1, 4, 4, 4), f(3, 2, 1, 1)]),
    Refusal("convolution with another kernel shape", .convolution(.conv(window([3, 3]), groups: 1)), [f(1, 3, 8, 8), f(4, 3, 5, 5)]),
    Refusal("a stride of 0", .convolution(.conv(window([3, 3], strides: [0, 1]), groups: 1)), [f(1, 3, 8, 8), f(4, 3, 3, 3)]),
    Refusal("pads that overflow", .pooling(.max(window([3, 3], pads: [.max, 0, 1, 0]), ceilMode: false)), [f(1, 3, 8, 8)], .sizeOverflow),
    Refusal("pooling without spatial kernel", .pooling(.max(window([3]), ceilMode: false)), [f(1, 3, 8, 8)]),
    Refusal("normalization along no axis", .normalization(.layer(axis: 3, epsilon: 1e-5)), [f(2, 3), f(3)]),
    Refusal("a scale of another width", .normalization(.layer(axis: -1, epsilon: 1e-5)), [f(2, 3), f(4)]),
    Refusal("channel statistics of another count", .normalization(.batch(epsilon: 1e-5)), [f(2, 3, 4), f(4), f(4), f(4), f(4)]),
    Refusal("groups that do not divide", .normalization(.group(groups: 4, epsilon: 1e-5)), [f(2, 6, 4), f(6), f(6)]),
    Refusal("softmax along no axis", .softmax(.softmax(axis: 2)), [f(2, 3)]),
    Refusal("reduction along no axis", .reduction(ReductionOp(.sum, keepDims: true)), [f(2, 3), v(2)]),
    Refusal("reduction along an axis twice", .reduction(ReductionOp(.sum, keepDims: true)), [f(2, 3), v(1, -1)]),
    Refusal("reshape to another size", .layout(.reshape(allowZero: false)), [f(2, 3), v(4, 2)]),
    Refusal("reshape with two open sizes", .layout(.reshape(allowZero: false)), [f(2, 3), v(-1, -1)]),
    Refusal("reshape that does not divide", .layout(.reshape(allowZero: false)), [f(2, 3), v(4, -1)]),
    Refusal("reshape that copies a missing axis", .layout(.reshape(allowZero: false)), [f(6), v(6, 0)]),
    Refusal("reshape to a negative size", .layout(.reshape(allowZero: false)), [f(6), v(-6)]),
    Refusal("reshape that overflows", .layout(.reshape(allowZero: false)), [f(6), v(.max, 4)], .sizeOverflow),
    Refusal("reshape to floats", .layout(.reshape(allowZero: false)), [f(6), f(1)], .typeMismatch),
    Refusal("an order of other axes", .layout(.transpose([0, 2])), [f(2, 3)]),
    Refusal("an order of too few axes", .layout(.transpose([1, 0])), [f(2, 3, 4)]),
    Refusal("squeeze of a longer axis", .layout(.squeeze), [f(2, 1), v(0)]),
    Refusal("unsqueeze at an axis twice", .layout(.unsqueeze), [f(2), v(1, -2)]),
    Refusal("flatten past the last axis", .layout(.flatten(axis: 3)), [f(2, 3)]),
    Refusal("expand that does not broadcast", .layout(.expand), [f(2, 3), v(4, 3)]),
    Refusal("concatenation of other sizes", .layout(.concat(axis: 0)), [f(2, 3), f(2, 4)]),
    Refusal("concatenation of other ranks", .layout(.concat(axis: 0)), [f(2, 3), f(2)]),
    Refusal("concatenation of two types", .layout(.concat(axis: 0)), [f(2), f(2, element: .int64)], .typeMismatch),
    Refusal("split into other sizes", .layout(.split(axis: 0)), [f(5), v(2, 2)], results: 2),
    Refusal("split with too few results", .layout(.split(axis: 0)), [f(5), v(2, 3)], results: 3),
    Refusal("slice with a step of 0", .layout(.slice), [f(5), v(0), v(3), v(0), v(0)]),
    Refusal("slice with fewer ends", .layout(.slice), [f(5, 5), v(0, 0), v(3)]),
    Refusal("pads of too few axes", .layout(.pad(.constant)), [f(5, 5), v(1, 1)]),
    Refusal("pads that take too much", .layout(.pad(.constant)), [f(5), v(-4, -4)]),
    Refusal("tiles of fewer axes", .layout(.tile), [f(5, 5), v(2)]),
    Refusal("tiles that overflow", .layout(.tile), [f(5), v(.max)], .sizeOverflow),
    Refusal("blocks of channels that do not divide", .layout(.depthToSpace(blockSize: 2, columnRowDepth: false)), [f(1, 6, 2, 2)]),
    Refusal("gather along no axis", .indexing(.gather(axis: 2)), [f(2, 3), v(0)]),
    Refusal("gather by floats", .indexing(.gather(axis: 0)), [f(2, 3), f(1)], .typeMismatch),
    Refusal("index tuples that are too long", .indexing(.gatherND(batchDims: 0)), [f(2, 3), Fact(TensorType(.int64, Shape([1, 3])))]),
    Refusal("updates of another shape", .indexing(.scatterND(.none)), [f(4, 3), Fact(TensorType(.int64, Shape([2, 1]))), f(2, 4)]),
    Refusal("shifts of floats", .binary(.shiftLeft), [f(2), f(2)], .typeMismatch),
    Refusal("bits of another width", .conversion(.bits(to: .int16)), [f(2)], .typeMismatch),
    Refusal("determinants of matrices that are not square", .matrix(.determinant), [f(2, 3)]),
    Refusal("more elements than an axis has", .selection(.topK(axis: -1, largest: true)), [f(2, 3), v(4)], results: 2),
    Refusal("fewer elements than none", .selection(.topK(axis: -1, largest: true)), [f(2, 3), v(-1)], results: 2),
    Refusal("a count that is no integer", .selection(.topK(axis: -1, largest: true)), [f(2, 3), f(1)], .typeMismatch, results: 2),
    Refusal("a choice by numbers", .selection(.compress(axis: 0)), [f(3), f(3)], .typeMismatch),
    Refusal("a one-hot of three values", .selection(.oneHot(axis: -1)), [f(3), v(4), f(3)]),
    Refusal("a one-hot of negative depth", .selection(.oneHot(axis: -1)), [f(3), v(-4), f(2)]),
    Refusal("sums along no axis", .cumulative(CumulativeOp(.sum)), [f(2, 3), v(2)]),
    Refusal("sums along two axes", .cumulative(CumulativeOp(.sum)), [f(2, 3), v(0, 1)]),
    Refusal("targets of another shape", .loss(LossOp(.negativeLogLikelihood)), [f(2, 3, 4), f(2, 3, element: .int64)]),
    Refusal("targets that are floats", .loss(LossOp(.softmaxCrossEntropy)), [f(2, 3), f(2)], .typeMismatch),
    Refusal("weights of other classes", .loss(LossOp(.negativeLogLikelihood)), [f(2, 3), f(2, element: .int64), f(4)]),
    Refusal("lengths of another batch", .layout(.reverseSequence(timeAxis: 0, batchAxis: 1)), [f(4, 3), v(1, 2)]),
    Refusal("sequences along one axis", .layout(.reverseSequence(timeAxis: 1, batchAxis: 1)), [f(4, 3), v(1, 2, 3)]),
    Refusal("a crop to a negative size", .layout(.centerCropPad(axes: [0])), [f(4, 3), v(-1)]),
    Refusal("a crop that overflows the axes", .layout(.centerCropPad(axes: [2])), [f(4, 3), v(1)]),
    Refusal("an update longer than its cache", .indexing(.tensorScatter(axis: 1, circular: true)), [f(2, 3, 4), f(2, 5, 4)]),
    Refusal("an update of the batch", .indexing(.tensorScatter(axis: 0, circular: false)), [f(2, 3), f(1, 3)]),
    Refusal("an identity of three axes", .generator(.eyeLike(nil, diagonal: 0)), [f(2, 3, 4)]),
    Refusal("a dropout of two ratios", .random(RandomOp(.dropout, seed: 0)), [f(3), f(2)]),
    Refusal("random numbers of a negative shape", .random(RandomOp(.normal(mean: 0, deviation: 1), shape: [-1], seed: 0)), []),
    Refusal("rotation of an odd number of channels", .rotary(RotaryEmbedding(rotatedDims: 3)), [f(1, 2, 4, 8), f(1, 4, 1), f(1, 4, 1)]),
    Refusal("cosines of other positions", .rotary(RotaryEmbedding()), [f(1, 2, 4, 8), f(1, 3, 4), f(1, 3, 4)]),
    Refusal(
      "linear attention without decay", .recurrence(.linearAttention(LinearAttention(queryHeads: 2, keyHeads: 2, rule: .gated))),
      [f(1, 3, 4), f(1, 3, 4), f(1, 3, 4)], .operandCount),
    Refusal("a carried state of another length", .recurrence(.causalConvolution(swish: false)), [f(1, 2, 5), f(2, 1, 3), nil, f(1, 2, 3)]),
    Refusal("unpooling by other indices", .pooling(.unpool(window([2, 2]))), [f(1, 1, 2, 2), f(1, 1, 3, 2, element: .int64)]),
    Refusal(
      "a transposed convolution of no size",
      .convolution(.convTranspose(Window(kernel: [], strides: [1], dilations: [1], padding: .toSizes([0], restAtEnd: true)), groups: 1, outputPadding: [])),
      [f(1, 1, 4), f(1, 1, 3)]),
    Refusal("a region of too few numbers", .indexing(.resize(ResizeOp(mode: .linear, coordinates: .cropAndResize))), [f(4), v(1), scales(2)]),
    Refusal("resize by neither scales nor sizes", .indexing(.resize(ResizeOp(mode: .nearest, coordinates: .asymmetric))), [f(1, 1, 4)], .operandCount),
    Refusal("the triangle of a vector", .indexing(.trilu(upper: true)), [f(3)]),
    Refusal("a tensor of a negative size", .generator(.constantOfShape(FillValue(.float32, 0))), [v(-2)]),
    Refusal("heads that do not divide", .attention(.multiHead(heads: 5, scale: nil, causal: false)), [f(1, 4, 12), f(1, 4, 12), f(1, 4, 12)]),
    Refusal("attention without a key", .attention(.multiHead(heads: 3, scale: nil, causal: false)), [f(1, 4, 12)], .operandCount),
    Refusal("a packed weight of other rows", .attention(.packedProjection(heads: 3, scale: nil, qkvHiddenSizes: [], causal: false)), [f(1, 4, 12), f(10, 36)]),
    Refusal(
      "query heads that key heads do not divide",
      .attention(.standard(StandardAttention(queryHeads: 0, keyHeads: 0, scale: nil, softcap: 0, causal: false))),
      [f(1, 3, 4, 8), f(1, 2, 4, 8), f(1, 2, 4, 8)]),
    Refusal(
      "a mask for other scores", .attention(.standard(StandardAttention(queryHeads: 0, keyHeads: 0, scale: nil, softcap: 0, causal: false))),
      [f(1, 2, 4, 8), f(1, 2, 5, 8), f(1, 2, 5, 8), f(3, 5)]),
  ]

  @Test(arguments: refusals) func invalidOperandsAreRefused(_ refusal: Refusal) throws {
    let op = try #require(refusal.op.semantics)
    do throws(Failure) {
      let types = try op.infer(refusal.operands, resultCount: refusal.results)
      Issue.record("gives \(types.map(\.type))")
    } catch {
      #expect(error.code == refusal.code, "\(error)")
      #expect(!error.message.isEmpty)
    }
  }

  @Test func indicesOutsideTheAxisAreRefusedWhenRun() throws {
    let data = try Tensor(float32: [1, 2, 3], dims: [3])
    for index in [-4, 3] as [Int64] {
      do throws(Failure) {
        _ = try IndexingOp.gather(axis: 0).evaluate([data, try Tensor(int64: [index], dims: [1])], resultCount: 1)
        Issue.record("index \(index) was taken")
      } catch {
        #expect(error.code == .indexOutOfRange)
      }
    }
  }

  @Test func remaindersAndDivisionsAtTheEdges() throws {
    let one = try Tensor(int64: [1], dims: [1])
    let zero = try Tensor(int64: [0], dims: [1])
    #expect(throws: Failure.self) { try BinaryOp.divide.evaluate([one, zero], resultCount: 1) }
    #expect(throws: Failure.self) { try BinaryOp.modulo(truncated: true).evaluate([one, zero], resultCount: 1) }
    let real = try BinaryOp.modulo(truncated: false).evaluate(
      [try Tensor(float32: [-4.5, 4.5, 3], dims: [3]), try Tensor(float32: [2, -2, 2], dims: [3])], resultCount: 1)
    #expect(real[0].floats() == [1.5, -1.5, 1])
    let least = try Tensor(int64: [.min], dims: [1])
    let minusOne = try Tensor(int64: [-1], dims: [1])
    #expect(try BinaryOp.divide.evaluate([least, minusOne], resultCount: 1)[0].integers() == [.min])
  }
}
