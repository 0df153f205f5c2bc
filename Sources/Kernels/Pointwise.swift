internal import CVector

/// Element-wise functions of single-precision tensors, and their loops.
///
/// The transcendental ones are polynomial or rational fits, vectorized for the CPU's widest unit, with a relative error
/// below 5e-7; NaN stays NaN.
public enum Pointwise {
  public enum Function: Hashable, Sendable {
    case copy, abs, negate, squareRoot, reciprocal, square, exp, log, erf, tanh, sigmoid, relu
    case leakyRelu(Float), elu(Float), clip(Float, Float)
    /// Exact GELU, `x/2 (1 + erf(x / sqrt 2))`.
    case gelu
    case geluTanh
    /// `x * sigmoid(a x)`.
    case swish(Float)
    /// `max(0, min(1, a x + b))`.
    case hardSigmoid(Float, Float)
    case hardSwish
    /// `a x + b`.
    case affine(Float, Float)
  }

  public enum Operation: Hashable, Sendable { case add, subtract, multiply, divide, maximum, minimum }

  /// `y = f(x)` over tensors of equal dimensions at any strides.
  public static func apply(_ function: Function, _ x: UnsafePointer<Float>, _ from: Strided, _ y: UnsafeMutablePointer<Float>, _ to: Strided) {
    let (kind, a, b) = function.code
    let loop = StridedLoop(dims: to.dims, operands: [to.strides, from.strides])
    guard loop.step(0) == 1, loop.step(1) == 1 else {
      unsafe Movement.copy(x, from, y, to, elementBytes: 4)
      let inPlace = StridedLoop(dims: to.dims, operands: [to.strides])
      inPlace.forEachRow(grain: grain) { offsets, count in
        if inPlace.step(0) == 1 || count == 1 {
          unsafe vc_unary(kind, y + offsets[0], y + offsets[0], count, a, b)
        } else {
          for i in 0..<count {
            let place = unsafe y + (offsets[0] + i * inPlace.step(0))
            unsafe vc_unary(kind, place, place, 1, a, b)
          }
        }
      }
      return
    }
    loop.forEachRow(grain: grain) { offsets, count in unsafe vc_unary(kind, x + offsets[1], y + offsets[0], count, a, b) }
  }

  /// `z = x op y`; `x` and `y` are already broadcast to the dimensions of `z` (stride 0).
  public static func apply(
    _ operation: Operation, _ x: UnsafePointer<Float>, _ xs: Strided, _ y: UnsafePointer<Float>, _ ys: Strided,
    _ z: UnsafeMutablePointer<Float>, _ zs: Strided
  ) {
    let kind = operation.code
    let loop = StridedLoop(dims: zs.dims, operands: [zs.strides, xs.strides, ys.strides])
    let (zStep, xStep, yStep) = (loop.step(0), loop.step(1), loop.step(2))
    loop.forEachRow(grain: grain) { offsets, count in
      let (z, x, y) = unsafe (z + offsets[0], x + offsets[1], y + offsets[2])
      if zStep == 1 || count == 1 {
        unsafe vc_binary(kind, x, xStep, y, yStep, z, count)
      } else {
        for i in 0..<count { unsafe vc_binary(kind, x + i * xStep, 0, y + i * yStep, 0, z + i * zStep, 1) }
      }
    }
  }

  /// Elements below which a second thread costs more than it brings.
  static let grain = 16384
}

extension Pointwise.Function {
  var code: (VCUnary, Float, Float) {
    switch self {
    case .copy: (.copy, 0, 0)
    case .abs: (.abs, 0, 0)
    case .negate: (.negate, 0, 0)
    case .squareRoot: (.sqrt, 0, 0)
    case .reciprocal: (.reciprocal, 0, 0)
    case .square: (.square, 0, 0)
    case .exp: (.exp, 0, 0)
    case .log: (.log, 0, 0)
    case .erf: (.erf, 0, 0)
    case .tanh: (.tanh, 0, 0)
    case .sigmoid: (.sigmoid, 0, 0)
    case .relu: (.relu, 0, 0)
    case .leakyRelu(let a): (.leakyRelu, a, 0)
    case .elu(let a): (.elu, a, 0)
    case .clip(let a, let b): (.clip, a, b)
    case .gelu: (.gelu, 0, 0)
    case .geluTanh: (.geluTanh, 0, 0)
    case .swish(let a): (.swish, a, 0)
    case .hardSigmoid(let a, let b): (.hardSigmoid, a, b)
    case .hardSwish: (.hardSwish, 0, 0)
    case .affine(let a, let b): (.affine, a, b)
    }
  }
}

extension Pointwise.Operation {
  var code: VCBinary {
    switch self {
    case .add: .add
    case .subtract: .subtract
    case .multiply: .multiply
    case .divide: .divide
    case .maximum: .maximum
    case .minimum: .minimum
    }
  }
}
