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
