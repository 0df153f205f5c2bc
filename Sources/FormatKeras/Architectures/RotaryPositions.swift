internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Operators
internal import Tensors

/// Positions of patches as angles by which queries and keys are turned (Su et al. 2021), for rows and columns: those of EVA-02
/// (Fang et al. 2023) and of DINOv3 (Siméoni et al. 2025). Neither has weights, so other weights tell of them.
struct RotaryPositions {
  private enum Kind {
    /// Rows and columns counted from 0, stretched to the grid of the first training; neighboring channels are turned together.
    case counted(rows: Int, columns: Int)
    /// Centers of patches between −1 and 1; a channel is turned with the one half a head further.
    case centered
  }
  private let kind: Kind
  private let grid: (rows: Int, columns: Int)
  private let periods: [Double]?

  /// nil for models that turn nothing.
  init?(_ weights: StateDictionary, grid: (rows: Int, columns: Int), patch: Int) {
    self.grid = grid
    periods = weights.weights["rope_embed.periods"]?.doubles()
    if RotaryPositions.isCentered(weights) {
      kind = .centered
      return
    }
    guard RotaryPositions.isCounted(weights) else { return nil }
    if let told = weights.option("ref_feat_shape")?.ints, told.count == 2, told.allSatisfy({ (1..<4096).contains($0) }) {
      kind = .counted(rows: told[0], columns: told[1])
    } else if weights.architecture.contains("eva02") || patch == 14 {
      kind = .counted(rows: 16, columns: 16)
    } else {
      weights.assume(
        "queries and keys are turned by patches counted in the grid as it is; a config.json with ref_feat_shape gives the grid of the first training")
      kind = .counted(rows: grid.rows, columns: grid.columns)
    }
  }

  /// DINOv3 has no other positions, but registers or LayerScale.
  static func isCentered(_ weights: StateDictionary) -> Bool {
    if weights.has("rope_embed.periods") || weights.architecture.contains("dinov3") || weights.option("model_type")?.string == "dinov3_vit" { return true }
    guard !weights.has("pos_embed"), !weights.isNamed("relative_position_bias_table") else { return false }
    return weights.has("reg_token") && (weights.has("blocks.0.gamma_1") || weights.has("blocks.0.ls1.gamma"))
  }

  /// EVA-02 has separate projections beside timm's names, or BEiT's biases of queries and values beside gated perceptrons.
  private static func isCounted(_ weights: StateDictionary) -> Bool {
    if weights.architecture.contains("eva02") { return true }
    guard weights.library == .timm, weights.has("pos_embed"), !weights.isNamed("relative_position_bias_table") else { return false }
    if weights.isNamed("attn.q_proj.weight") { return true }
    guard weights.has("blocks.0.attn.q_bias"), !weights.has("blocks.0.gamma_1"), let wide = weights.weights["blocks.0.mlp.fc1.weight"]?.dims.first,
      let narrow = weights.weights["blocks.0.mlp.fc2.weight"]?.dims.last
    else {
      return false
    }
    return wide == 2 * narrow
  }

  /// Cosines and sines (T, d), and which channel each is turned with. Tokens in front stand still.
  struct Tables {
    var cosine: ValueID
    var sine: ValueID
    var partners: ValueID

    /// x·cos + x′·sin, where x′ is the partners' channels; their sign stands in the sines.
    func turned(_ x: ValueID, _ e: inout Emitter) throws(Failure) -> ValueID {
      let other = try e.emit(.indexing(.gather(axis: 3)), [x, partners], "Partners")
      return try e.add(try e.multiply(x, cosine), try e.multiply(other, sine))
    }
  }

  func tables(headDim: Int, prefix: Int, _ e: inout Emitter) throws(Failure) -> Tables {
    let bands = headDim / 4
    let (rows, columns) = grid
    guard headDim % 4 == 0, bands > 0, let count = [rows * columns + prefix, headDim].checkedProduct, count <= 1 << 26 else {
      throw Failure(.shapeMismatch, "heads of \(headDim) channels cannot be turned by rows and columns")
    }
    var cosines = [Float](repeating: 1, count: count)
    var sines = [Float](repeating: 0, count: count)
    var partners = [Int64](repeating: 0, count: headDim)
    let half = headDim / 2
    for angle in 0..<half {
      let (first, second) = isHalved ? (angle, angle + half) : (2 * angle, 2 * angle + 1)
      (partners[first], partners[second]) = (Int64(second), Int64(first))
      for row in 0..<rows {
        for column in 0..<columns {
          let value = self.angle(row, column, axis: angle / bands, band: angle % bands, of: bands)
          let start = (prefix + row * columns + column) * headDim
          for channel in [first, second] { cosines[start + channel] = Float(cos(value)) }
          (sines[start + first], sines[start + second]) = (Float(-sin(value)), Float(sin(value)))
        }
      }
    }
    let dims = [rows * columns + prefix, headDim]
    e.scope = "rope"
    return Tables(
      cosine: e.constant("cos", try Tensor(float32: cosines, dims: dims)), sine: e.constant("sin", try Tensor(float32: sines, dims: dims)),
      partners: e.constant("partners", try Tensor(int64: partners, dims: [headDim])))
  }

  private var isHalved: Bool { if case .centered = kind { true } else { false } }

  private func angle(_ row: Int, _ column: Int, axis: Int, band: Int, of bands: Int) -> Double {
    let (place, size) = axis == 0 ? (Double(row), Double(grid.rows)) : (Double(column), Double(grid.columns))
    switch kind {
    case .counted(let rows, let columns): return place / size * Double(axis == 0 ? rows : columns) / pow(10000, Double(band) / Double(bands))
    case .centered:
      let period = periods.flatMap { $0.count == bands ? $0[band] : nil } ?? pow(100, Double(band) / Double(bands))
      return 2 * Double.pi * (2 * (place + 0.5) / size - 1) / period
    }
  }
}
