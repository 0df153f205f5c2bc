/// The dimensions of a tensor, outermost first; row-major.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
  public var dims: [Dim]

  public init(_ dims: [Dim]) { self.dims = dims }
  public init(_ dims: [Int]) { self.dims = dims.map { Dim($0) } }

  public var rank: Int { dims.count }
  public subscript(_ axis: Int) -> Dim { dims[axis] }

  /// All dimensions as numbers, or nil while one is symbolic.
  public var concrete: [Int]? {
    var result: [Int] = []
    result.reserveCapacity(dims.count)
    for dim in dims {
      guard let value = dim.value else { return nil }
      result.append(value)
    }
    return result
  }

  /// The number of elements; nil when it overflows.
  public var elementCount: Dim? { Shape.product(dims[...]) }

  public static func product(_ dims: ArraySlice<Dim>) -> Dim? {
    var result = Dim(1)
    for dim in dims {
      guard let next = result.multiplied(by: dim) else { return nil }
      result = next
    }
    return result
  }

  public func substituting(_ values: [String: Int]) -> Shape? {
    var result: [Dim] = []
    for dim in dims {
      guard let next = dim.substituting(values) else { return nil }
      result.append(next)
    }
    return Shape(result)
  }

  public var description: String { "[" + dims.map(\.description).joined(separator: ", ") + "]" }
}

/// An element type and a shape; the shape is nil where not even the rank is known.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  public var element: ElementType
  public var shape: Shape?

  public init(_ element: ElementType, _ shape: Shape?) {
    self.element = element
    self.shape = shape
  }

  public var description: String { "\(element.name)\(shape?.description ?? "[*]")" }
}

extension Array where Element == Int {
  /// The product of a concrete shape's dimensions; nil when one is negative or it overflows.
  public var checkedProduct: Int? {
    var result = 1
    for dim in self {
      let (product, overflow) = result.multipliedReportingOverflow(by: dim)
      guard dim >= 0, !overflow else { return nil }
      result = product
    }
    return result
  }
}
