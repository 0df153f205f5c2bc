/// Resize (ONNX 19): X, roi?, scales?, sizes?.
public struct ResizeOp: Hashable, Sendable {
  public enum Mode: Hashable, Sendable { case nearest, linear, cubic }
  public enum Coordinates: Hashable, Sendable {
    case halfPixel, pytorchHalfPixel, alignCorners, asymmetric, halfPixelSymmetric
    /// Of the region that the operand `roi` gives.
    case cropAndResize
  }
  public enum NearestMode: Hashable, Sendable { case roundPreferFloor, roundPreferCeil, floor, ceil }
  /// How `sizes` are taken: as they are, or as bounds while all axes keep one scale.
  public enum AspectRatio: Hashable, Sendable { case stretch, notLarger, notSmaller }
  public var mode: Mode
  public var coordinates: Coordinates
  public var nearest: NearestMode
  /// The coefficient a of the cubic kernel.
  public var cubicCoefficient: Float
  /// Whether weights of elements outside the input are 0, and those inside brought to a sum of 1.
  public var excludesOutside: Bool
  /// Whether the kernel is widened when the result is smaller.
  public var antialias: Bool
  /// What `cropAndResize` gives outside the input.
  public var extrapolation: Float
  /// The axes that `roi`, `scales` and `sizes` are given for; nil: all.
  public var axes: [Int]?
  public var aspectRatio: AspectRatio
  public init(
    mode: Mode, coordinates: Coordinates, nearest: NearestMode = .roundPreferFloor, cubicCoefficient: Float = -0.75, excludesOutside: Bool = false,
    antialias: Bool = false, extrapolation: Float = 0, axes: [Int]? = nil, aspectRatio: AspectRatio = .stretch
  ) {
    self.mode = mode
    self.coordinates = coordinates
    self.nearest = nearest
    self.cubicCoefficient = cubicCoefficient
    self.excludesOutside = excludesOutside
    self.antialias = antialias
    self.extrapolation = extrapolation
    self.axes = axes
    self.aspectRatio = aspectRatio
  }
}
