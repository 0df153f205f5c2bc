internal import Diagnostics
internal import GraphIR
internal import Tensors

extension CataloguedOperator {
  /// An image batch (N, C, H, W), and regions (R, `columns`).
  fileprivate func checkRegions(_ operands: [Fact?], columns: Int) throws(Failure) -> (element: ElementType, regions: Dim, channels: Dim) {
    let element = try operands.sharedElement([0, 1], of: mnemonic)
    try checkFloat(element)
    try checkRank(operands.fact(0), 4, "the input")
    try checkRank(operands.fact(1), 2, "the regions")
    let regions = operands.fact(1)?.type.shape
    if let regions { try checkAgree(regions[1], Dim(columns), "numbers of a region") }
    return (element, regions?[0] ?? .unknown, operands.fact(0)?.type.shape?[1] ?? .unknown)
  }

  fileprivate func checkIndices(_ operands: [Fact?], _ regions: Dim) throws(Failure) -> Dim {
    let indices = try operands.required(2)
    try checkElement(indices, [.int64, .int32], "batch indices")
    try checkRank(indices, 1, "batch indices")
    guard let shape = indices.type.shape else { return regions }
    if regions != .unknown { try checkAgree(shape[0], regions, "numbers of regions and batch indices") }
    return regions == .unknown ? shape[0] : regions
  }

  fileprivate func image(_ index: Int, of count: Int) throws(Failure) -> Int {
    guard 0..<count ~= index else { throw Failure(.indexOutOfRange, "\(mnemonic): a region is in image \(index) of \(count)") }
    return index
  }
}

/// A place between pixels: up to four of them and their weights.
private struct BilinearPlace {
  var places: SIMD4<Int>
  var weights: SIMD4<Double>

  /// nil more than a pixel outside of the image.
  init?(_ y: Double, _ x: Double, height: Int, width: Int) {
    guard y >= -1, y <= Double(height), x >= -1, x <= Double(width), height > 0, width > 0 else { return nil }
    func split(_ position: Double, _ size: Int) -> (low: Int, high: Int, part: Double) {
      let clamped = max(position, 0)
      let low = Int(clamped)
      return low >= size - 1 ? (size - 1, size - 1, 0) : (low, low + 1, clamped - Double(low))
    }
    let row = split(y, height)
    let column = split(x, width)
    places = SIMD4(row.low * width + column.low, row.low * width + column.high, row.high * width + column.low, row.high * width + column.high)
    weights = SIMD4((1 - row.part) * (1 - column.part), (1 - row.part) * column.part, row.part * (1 - column.part), row.part * column.part)
  }
}

/// RoiAlign (ONNX 22): X, regions (R, x1 y1 x2 y2), batch indices (R). Each bin of a region is the mean, or the largest
/// weighted corner, of bilinear samples (He et al., "Mask R-CNN", 2017).
struct RoiAlign: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(3...3) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (element, regions, channels) = try checkRegions(operands, columns: 4)
    let (height, width) = (op.int("output_height"), op.int("output_width"))
    guard 1...1 << 20 ~= height, 1...1 << 20 ~= width, 0...1 << 12 ~= op.int("sampling_ratio") else {
      throw badAttribute("an output of \(height) by \(width) with sampling ratio \(op.int("sampling_ratio"))")
    }
    return [Fact(TensorType(element, Shape([try checkIndices(operands, regions), channels, Dim(height), Dim(width)])))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let samples = max(op.int("sampling_ratio"), 2)
    return Cost(elementwise: results.elementCount &* samples &* samples &* 4)
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let values = try x.reals(for: mnemonic)
    let regions = try operands.required(1).reals(for: mnemonic)
    let images = try operands.required(2).wholes(for: mnemonic)
    let (channels, height, width) = (x.dims[1], x.dims[2], x.dims[3])
    let (rows, columns) = (dims[2], dims[3])
    let (scale, ratio) = (op.float("spatial_scale"), op.int("sampling_ratio"))
    let halfPixel = op.word("coordinate_transformation_mode") == "half_pixel"
    let averages = op.word("mode") == "avg"
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    for region in 0..<dims[0] {
      let image = try image(images[region], of: x.dims[0])
      let corners = (0..<4).map { regions[region * 4 + $0] * scale - (halfPixel ? 0.5 : 0) }
      var size = (width: corners[2] - corners[0], height: corners[3] - corners[1])
      if !halfPixel { size = (max(size.width, 1), max(size.height, 1)) }
      let bin = (width: size.width / Double(columns), height: size.height / Double(rows))
      let across = try samples(ratio, bin.width)
      let down = try samples(ratio, bin.height)
      guard down * across <= 1 << 20 else { throw Failure(.outOfMemory, "\(mnemonic): \(down) by \(across) samples in a bin") }
      for row in 0..<rows {
        for column in 0..<columns {
          var places: [BilinearPlace] = []
          var missed = false
          for iy in 0..<down {
            let y = corners[1] + Double(row) * bin.height + (Double(iy) + 0.5) * bin.height / Double(down)
            for ix in 0..<across {
              let x = corners[0] + Double(column) * bin.width + (Double(ix) + 0.5) * bin.width / Double(across)
              if let place = BilinearPlace(y, x, height: height, width: width) { places.append(place) } else { missed = true }
            }
          }
          for channel in 0..<channels {
            let plane = (image * channels + channel) * height * width
            var sum = 0.0
            // A sample outside counts as 0.
            var largest: Double? = missed ? 0 : nil
            for place in places {
              for corner in 0..<4 {
                let value = place.weights[corner] * values[plane + place.places[corner]]
                sum += value
                largest = max(largest ?? value, value)
              }
            }
            result[((region * channels + channel) * rows + row) * columns + column] = averages ? sum / Double(max(down * across, 1)) : largest ?? 0
          }
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }

  /// How many samples a bin takes along one axis: as many as pixels unless the ratio says.
  private func samples(_ ratio: Int, _ bin: Double) throws(Failure) -> Int {
    if ratio > 0 { return ratio }
    let count = bin.rounded(.up)
    guard count <= 4096 else { throw Failure(.outOfMemory, "\(mnemonic): a bin of \(bin) pixels") }
    return count > 0 ? Int(count) : 0
  }
}

/// MaxRoiPool (ONNX 22): X, regions (R, image x1 y1 x2 y2): the largest pixel of each bin (Girshick, "Fast R-CNN", 2015).
struct MaxRoiPool: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (element, regions, channels) = try checkRegions(operands, columns: 5)
    let shape = op.ints("pooled_shape")
    guard shape.count == 2, shape.allSatisfy({ 1...1 << 20 ~= $0 }) else { throw badAttribute("pooled_shape \(shape)") }
    return [Fact(TensorType(element, Shape([regions, channels, Dim(shape[0]), Dim(shape[1])])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let values = try x.reals(for: mnemonic)
    let regions = try operands.required(1).reals(for: mnemonic)
    let (channels, height, width) = (x.dims[1], x.dims[2], x.dims[3])
    let (rows, columns) = (dims[2], dims[3])
    let scale = op.float("spatial_scale")
    func clamped(_ value: Double, _ size: Int) -> Int { value.isNaN ? 0 : Int(min(max(value, 0), Double(size))) }
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    for region in 0..<dims[0] {
      let image = try image(saturated(regions[region * 5]), of: x.dims[0])
      let corners = (1..<5).map { (regions[region * 5 + $0] * scale).rounded(.toNearestOrAwayFromZero) }
      let binWidth = max(corners[2] - corners[0] + 1, 1) / Double(columns)
      let binHeight = max(corners[3] - corners[1] + 1, 1) / Double(rows)
      for row in 0..<rows {
        let top = clamped((Double(row) * binHeight).rounded(.down) + corners[1], height)
        let bottom = clamped((Double(row + 1) * binHeight).rounded(.up) + corners[1], height)
        for column in 0..<columns {
          let left = clamped((Double(column) * binWidth).rounded(.down) + corners[0], width)
          let right = clamped((Double(column + 1) * binWidth).rounded(.up) + corners[0], width)
          guard top < bottom, left < right else { continue }
          for channel in 0..<channels {
            let plane = (image * channels + channel) * height * width
            var largest = -Double.infinity
            for y in top..<bottom { for x in left..<right { largest = max(largest, values[plane + y * width + x]) } }
            result[((region * channels + channel) * rows + row) * columns + column] = largest
          }
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

/// CropAndResize (com.microsoft): X, regions (R, y1 x1 y2 x2, normalized), batch indices (R), crop size (2).
struct CropAndResize: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(4...4) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (element, regions, channels) = try checkRegions(operands, columns: 4)
    let size = try operands.required(3)
    try checkElement(size, [.int32, .int64], "a crop size")
    let count = try checkIndices(operands, regions)
    guard let dims = size.value?.dimensions else { return [Fact(TensorType(element, Shape([count, channels, .unknown, .unknown])))] }
    guard dims.count == 2, dims.allSatisfy({ ($0.value ?? 1) > 0 }) else { throw mismatch("a crop size of \(dims)") }
    return [Fact(TensorType(element, Shape([count, channels] + dims)))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    let values = try x.reals(for: mnemonic)
    let regions = try operands.required(1).reals(for: mnemonic)
    let images = try operands.required(2).wholes(for: mnemonic)
    let (channels, height, width) = (x.dims[1], x.dims[2], x.dims[3])
    let outside = op.float("extrapolation_value")
    let nearest = op.word("mode") == "nearest"
    func position(_ index: Int, _ count: Int, _ from: Double, _ to: Double, _ size: Int) -> Double {
      let last = Double(size - 1)
      return count > 1 ? from * last + Double(index) * (to - from) * last / Double(count - 1) : 0.5 * (from + to) * last
    }
    var result = [Double](repeating: outside, count: dims.reduce(1, *))
    for region in 0..<dims[0] {
      let image = try image(images[region], of: x.dims[0])
      let box = Array(regions[region * 4..<region * 4 + 4])
      for row in 0..<dims[2] {
        let y = position(row, dims[2], box[0], box[2], height)
        guard y >= 0, y <= Double(height - 1) else { continue }
        for column in 0..<dims[3] {
          let x = position(column, dims[3], box[1], box[3], width)
          guard x >= 0, x <= Double(width - 1) else { continue }
          let near = nearest ? (y.rounded(), x.rounded()) : (y, x)
          guard let place = BilinearPlace(near.0, near.1, height: height, width: width) else { continue }
          for channel in 0..<channels {
            let plane = (image * channels + channel) * height * width
            var sum = 0.0
            for corner in 0..<4 { sum += place.weights[corner] * values[plane + place.places[corner]] }
            result[((region * channels + channel) * dims[2] + row) * dims[3] + column] = sum
          }
        }
      }
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}
