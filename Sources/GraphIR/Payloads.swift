public import Tensors

/// One-operand element-wise operators; the associated values are the ONNX attributes.
public enum UnaryOp: Hashable, Sendable {
  case abs, neg, ceil, floor, round, sqrt, reciprocal, exp, log, sin, cos, tan, tanh, sigmoid, erf, relu, sign, not, softplus, softsign, mish
  case identity
  /// HardSwish (ONNX 14): `x * max(0, min(1, x/6 + 1/2))`.
  case hardSwish
  /// HardSigmoid (ONNX 6): `max(0, min(1, alpha * x + beta))`.
  case hardSigmoid(alpha: Float, beta: Float)
  case leakyRelu(alpha: Float)
  case elu(alpha: Float)
  case selu(alpha: Float, gamma: Float)
  /// Gelu (ONNX 20): exact with erf, or the tanh form.
  case gelu(GeluForm)
  /// Swish (ONNX 24), QuickGelu (com.microsoft): `x * sigmoid(alpha * x)`.
  case swish(alpha: Float)
  case isNaN
}

public enum GeluForm: Hashable, Sendable { case exact, tanh }

/// Two-operand broadcasting operators.
public enum BinaryOp: Hashable, Sendable {
  case add, subtract, multiply, divide, power
  /// Mod (ONNX 13); `truncated` is C's fmod (`fmod = 1`).
  case modulo(truncated: Bool)
  /// Min and Max of two; longer lists are folded by the reader.
  case minimum, maximum
  case equal, less, lessOrEqual, greater, greaterOrEqual
  case and, or, xor
  case prelu
  /// BiasGelu (com.microsoft): exact GELU of the sum.
  case biasGelu
}

/// Matrix products.
public enum MatrixOp: Hashable, Sendable {
  /// MatMul (ONNX 13): A, B.
  case matMul
  /// Gemm (ONNX 13): A, B, C?: `alpha * A' B' + beta * C`.
  case gemm(alpha: Float, beta: Float, transposeA: Bool, transposeB: Bool)
  /// FusedMatMul (com.microsoft): `alpha * A' B'`, batch transposes included.
  case fusedMatMul(FusedMatMul)
  /// Einsum (ONNX 12).
  case einsum(equation: String)
}

public struct FusedMatMul: Hashable, Sendable {
  public var alpha: Float
  public var transposeA, transposeB, transposeBatchA, transposeBatchB: Bool
  public init(alpha: Float, transposeA: Bool, transposeB: Bool, transposeBatchA: Bool = false, transposeBatchB: Bool = false) {
    self.alpha = alpha
    self.transposeA = transposeA
    self.transposeB = transposeB
    self.transposeBatchA = transposeBatchA
    self.transposeBatchB = transposeBatchB
  }
}

/// Padding of a window operator.
public enum WindowPadding: Hashable, Sendable {
  /// Begins of all spatial axes, then ends.
  case explicit([Int])
  case sameUpper, sameLower, valid
}

/// The geometry that convolutions and pools share; all arrays have one entry per spatial axis.
public struct Window: Hashable, Sendable {
  /// Empty where the weight's shape tells it (convolutions).
  public var kernel: [Int]
  public var strides: [Int]
  public var dilations: [Int]
  public var padding: WindowPadding
  public init(kernel: [Int], strides: [Int], dilations: [Int], padding: WindowPadding) {
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padding = padding
  }
}

public enum ConvolutionOp: Hashable, Sendable {
  /// Conv (ONNX 22): X (N,C,…), W (M,C/groups,…), B?.
  case conv(Window, groups: Int)
  /// ConvTranspose (ONNX 22): X, W (C,M/groups,…), B?.
  case convTranspose(Window, groups: Int, outputPadding: [Int])
}

public enum PoolingOp: Hashable, Sendable {
  /// MaxPool (ONNX 22), first output only unless the second is used.
  case max(Window, ceilMode: Bool)
  case average(Window, ceilMode: Bool, countIncludePad: Bool)
  case globalAverage, globalMax
}

public enum NormalizationOp: Hashable, Sendable {
  /// LayerNormalization (ONNX 17): X, scale, bias?; outputs Y, mean?, inverse standard deviation?.
  case layer(axis: Int, epsilon: Float)
  /// RMSNormalization (ONNX 23) and SimplifiedLayerNormalization: X, scale.
  case rms(axis: Int, epsilon: Float)
  /// BatchNormalization (ONNX 15) at inference: X, scale, bias, mean, variance.
  case batch(epsilon: Float)
  /// InstanceNormalization (ONNX 22): X, scale, bias.
  case instance(epsilon: Float)
  /// GroupNormalization (ONNX 21): X, scale (C), bias (C).
  case group(groups: Int, epsilon: Float)
  /// LpNormalization (ONNX 22).
  case lp(axis: Int, p: Int)
  /// SkipLayerNormalization (com.microsoft): input, skip, gamma, beta?, bias?; outputs Y, _, _, sum?.
  case skipLayer(epsilon: Float)
  /// SkipSimplifiedLayerNormalization (com.microsoft): input, skip, gamma, bias?.
  case skipRMS(epsilon: Float)
}

public enum SoftmaxOp: Hashable, Sendable {
  /// Softmax (ONNX 13) along one axis.
  case softmax(axis: Int)
  case logSoftmax(axis: Int)
}

/// Reductions (ONNX 18): data, axes?.
public struct ReductionOp: Hashable, Sendable {
  public enum Kind: Hashable, Sendable { case sum, mean, max, min, prod, l1, l2, sumSquare, logSum, logSumExp, argMax, argMin }
  public var kind: Kind
  public var keepDims: Bool
  /// With empty axes: keep the input as it is instead of reducing all.
  public var noopWithEmptyAxes: Bool
  public init(_ kind: Kind, keepDims: Bool, noopWithEmptyAxes: Bool = false) {
    self.kind = kind
    self.keepDims = keepDims
    self.noopWithEmptyAxes = noopWithEmptyAxes
  }
}

public enum PadMode: Hashable, Sendable { case constant, reflect, edge, wrap }

/// Operators that move elements and change none.
public enum LayoutOp: Hashable, Sendable {
  /// Reshape (ONNX 25): data, shape.
  case reshape(allowZero: Bool)
  /// Transpose (ONNX 25); an empty permutation reverses the axes.
  case transpose([Int])
  /// Squeeze (ONNX 25): data, axes?.
  case squeeze
  /// Unsqueeze (ONNX 25): data, axes.
  case unsqueeze
  /// Flatten (ONNX 25).
  case flatten(axis: Int)
  /// Expand (ONNX 13): data, shape.
  case expand
  /// Concat (ONNX 13).
  case concat(axis: Int)
  /// Split (ONNX 18): data, sizes?; without sizes into as many equal parts as there are outputs, the last smaller.
  case split(axis: Int)
  /// Slice (ONNX 13): data, starts, ends, axes?, steps?.
  case slice
  /// Pad (ONNX 25): data, pads, value?, axes?.
  case pad(PadMode)
  /// Tile (ONNX 13): data, repeats.
  case tile
  case depthToSpace(blockSize: Int, columnRowDepth: Bool)
  case spaceToDepth(blockSize: Int)
}

public enum IndexingOp: Hashable, Sendable {
  /// Gather (ONNX 13): data, indices.
  case gather(axis: Int)
  /// GatherElements (ONNX 13).
  case gatherElements(axis: Int)
  /// GatherND (ONNX 13).
  case gatherND(batchDims: Int)
  /// ScatterND (ONNX 18) without reduction.
  case scatterND
  /// ScatterElements (ONNX 18) without reduction.
  case scatterElements(axis: Int)
  /// Resize (ONNX 19): X, roi?, scales?, sizes?.
  case resize(ResizeOp)
  /// Trilu (ONNX 14): input, k?.
  case trilu(upper: Bool)
}

public struct ResizeOp: Hashable, Sendable {
  public enum Mode: Hashable, Sendable { case nearest, linear, cubic }
  public enum Coordinates: Hashable, Sendable { case halfPixel, pytorchHalfPixel, alignCorners, asymmetric }
  public enum NearestMode: Hashable, Sendable { case roundPreferFloor, roundPreferCeil, floor, ceil }
  public var mode: Mode
  public var coordinates: Coordinates
  public var nearest: NearestMode
  public init(mode: Mode, coordinates: Coordinates, nearest: NearestMode = .roundPreferFloor) {
    self.mode = mode
    self.coordinates = coordinates
    self.nearest = nearest
  }
}

/// Operators that make tensors from shapes and scalars.
public enum GeneratorOp: Hashable, Sendable {
  /// Shape (ONNX 25) of dimensions `start..<end`; nil is to the last.
  case shape(start: Int, end: Int?)
  /// Size (ONNX 25).
  case size
  /// ConstantOfShape (ONNX 25): shape.
  case constantOfShape(FillValue)
  /// Range (ONNX 11): start, limit, delta.
  case range
}

/// One element and its type.
public struct FillValue: Hashable, Sendable {
  public var elementType: ElementType
  /// Exact for every type up to 32 bits and for integers up to 2^53.
  public var value: Double
  public init(_ elementType: ElementType, _ value: Double) {
    self.elementType = elementType
    self.value = value
  }
}

/// Whole attention operators.
public enum AttentionOp: Hashable, Sendable {
  /// Attention (ONNX 24): Q, K, V, mask?, past key?, past value?.
  case standard(StandardAttention)
  /// Attention (com.microsoft): input, weights, bias?, mask index?, past?, attention bias?.
  case packedProjection(heads: Int, scale: Float?, qkvHiddenSizes: [Int], causal: Bool)
  /// MultiHeadAttention (com.microsoft): query, key?, value?, bias?, key padding mask?, attention bias?.
  case multiHead(heads: Int, scale: Float?, causal: Bool)
}

public struct StandardAttention: Hashable, Sendable {
  /// Zero where the operands are 4-D.
  public var queryHeads, keyHeads: Int
  /// nil: 1/sqrt(head size).
  public var scale: Float?
  public var softcap: Float
  public var causal: Bool
  public init(queryHeads: Int, keyHeads: Int, scale: Float?, softcap: Float, causal: Bool) {
    self.queryHeads = queryHeads
    self.keyHeads = keyHeads
    self.scale = scale
    self.softcap = softcap
    self.causal = causal
  }
}
