public import GraphIR
public import Tensors

/// A matrix (or vector) of weights as the block uses it: a constant of the graph, seen through transposes, slices,
/// gathers and scalings, none of which is carried out until the elements are asked for.
///
/// `element(i, j) = multiplier * constant.flat[offset + row(i) + column(j)]`, where `row(i) = i * rowStride`, or with a
/// grouping `(i / size) * grouping.stride + (i % size) * rowStride`: heads that do not lie behind each other. Columns alike.
public struct WeightView: Sendable {
  /// `size` neighbors at the axis' own stride, groups of them at `stride`.
  public struct Grouping: Sendable, Hashable {
    public var size: Int
    public var stride: Int
    public init(size: Int, stride: Int) {
      self.size = size
      self.stride = stride
    }
  }

  public var value: ValueID
  public var tensor: Tensor
  public var offset: Int
  public var rows: Int
  public var columns: Int
  public var rowStride: Int
  public var columnStride: Int
  public var multiplier: Double
  public var rowGrouping: Grouping?
  public var columnGrouping: Grouping?

  public init(value: ValueID, tensor: Tensor, offset: Int, rows: Int, columns: Int, rowStride: Int, columnStride: Int, multiplier: Double = 1) {
    self.value = value
    self.tensor = tensor
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride
    self.columnStride = columnStride
    self.multiplier = multiplier
  }

  private func position(_ index: Int, _ stride: Int, _ grouping: Grouping?) -> Int {
    guard let grouping, grouping.size > 0 else { return index * stride }
    return index / grouping.size * grouping.stride + index % grouping.size * stride
  }

  /// The elements, row-major, in float64.
  public func materialized() -> [Double]? {
    guard let all = tensor.doubles() else { return nil }
    var result: [Double] = []
    result.reserveCapacity(rows * columns)
    for i in 0..<rows {
      for j in 0..<columns {
        let index = offset + position(i, rowStride, rowGrouping) + position(j, columnStride, columnGrouping)
        guard index >= 0, index < all.count else { return nil }
        result.append(multiplier * all[index])
      }
    }
    return result
  }
}

/// A linear layer as the block sees it: `y = x W + b`, W (in, out) with channels of the output in head-major order
/// (`c = head * headDim + r`), scale not included.
public struct Projection: Sendable {
  public var weight: WeightView
  /// One row; nil where there is none.
  public var bias: WeightView?
  public init(weight: WeightView, bias: WeightView?) {
    self.weight = weight
    self.bias = bias
  }
}
