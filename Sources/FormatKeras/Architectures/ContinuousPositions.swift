internal import Diagnostics
internal import Glibc
internal import Tensors

/// Biases of Swin V2 (Liu et al. 2022, section 3.3): 16·σ of a network of two layers over the differences of rows and columns,
/// which count on a logarithmic scale.
struct ContinuousPositions {
  let weights: StateDictionary
  let name: String
  let rows: Int
  let columns: Int
  /// The side of the window by which differences are scaled; nil for this one's own.
  let trained: Int?

  init(_ weights: StateDictionary, _ name: String, rows: Int, columns: Int, trained: Int?) {
    self.weights = weights
    self.name = name
    self.rows = rows
    self.columns = columns
    self.trained = trained
  }

  /// (1, heads, rows·columns, rows·columns)
  func biases() throws(Failure) -> Tensor {
    let first = try weights.tensor("\(name).cpb_mlp.0.weight", [nil, 2])
    let width = first.dims[0]
    let second = try weights.tensor("\(name).cpb_mlp.2.weight", [nil, width])
    let heads = second.dims[0]
    let entries = (2 * rows - 1) * (2 * columns - 1)
    guard let work = [entries, width, heads].checkedProduct, work <= 1 << 30, let inner = first.doubles(), let outer = second.doubles(),
      let term = try weights.tensor("\(name).cpb_mlp.0.bias", [width]).doubles()
    else {
      throw Failure(.limitExceeded, "biases of \(heads) heads for a window of \(rows) x \(columns)", at: .element(name))
    }
    let places = try coordinates()
    // (unit, head), so that what one unit gives to all heads lies together; about half of the units give nothing.
    var turned = [Double](repeating: 0, count: width * heads)
    for head in 0..<heads { for unit in 0..<width { turned[unit * heads + head] = outer[head * width + unit] } }
    var table = [Double](repeating: 0, count: entries * heads)
    for entry in 0..<entries {
      let (row, column) = (places[2 * entry], places[2 * entry + 1])
      for unit in 0..<width {
        let value = row * inner[2 * unit] + column * inner[2 * unit + 1] + term[unit]
        if value > 0 { for head in 0..<heads { table[entry * heads + head] += value * turned[unit * heads + head] } }
      }
    }
    for index in table.indices { table[index] = 16 / (1 + exp(-table[index])) }
    return try RelativePositions.swin(try Tensor(float64: table, dims: [entries, heads]), height: rows, width: columns, type: .float32)
  }

  /// Pairs for all differences: as the file has them, or sign(d)·log2(1 + |8·d/(side − 1)|)/log2(8).
  private func coordinates() throws(Failure) -> [Double] {
    let dims = [1, 2 * rows - 1, 2 * columns - 1, 2]
    if trained == nil, let stored = weights.weights["\(name).relative_coords_table"], stored.dims == dims, let values = stored.doubles() { return values }
    func scaled(_ difference: Int, _ side: Int) -> Double {
      let value = 8 * Double(difference) / Double(max((trained ?? side) - 1, 1))
      return (value < 0 ? -1 : 1) * log2(abs(value) + 1) / 3
    }
    var result: [Double] = []
    for row in (1 - rows)..<rows { for column in (1 - columns)..<columns { result += [scaled(row, rows), scaled(column, columns)] } }
    return result
  }
}
