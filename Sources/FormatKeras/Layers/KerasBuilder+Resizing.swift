internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Operators
internal import Tensors

/// How an image gets another size.
struct Resampling {
  var sizes: [Int]
  var interpolation: String
  var antialiases = false
  /// Cut to the target's proportions before, or padded to them.
  var crops = false
  var pads = false
  var fill = 0.0

  init(_ sizes: [Int], _ interpolation: String) {
    self.sizes = sizes
    self.interpolation = interpolation
  }

  /// - Parameter options: the arguments of the layer Resizing or of the operation Resize.
  init(_ sizes: [Int], _ interpolation: String, options: JSON) {
    self.init(sizes, interpolation)
    antialiases = options["antialias"]?.bool ?? false
    crops = options["crop_to_aspect_ratio"]?.bool ?? false
    pads = options["pad_to_aspect_ratio"]?.bool ?? false
    fill = options["fill_value"]?.double ?? 0
  }
}

extension KerasBuilder {
  /// An image of another size, with half-pixel centers as all of Keras has them.
  mutating func resized(_ x: ValueID, _ target: Resampling, channelsFirst: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let spatial = target.sizes.count
    let first = channelsFirst ? rank - spatial : rank - spatial - 1
    guard first >= 0, target.sizes.allSatisfy({ (1...(1 << 20)).contains($0) }) else { throw call.wrong("an image of rank \(rank) to \(target.sizes)") }
    var y = x
    if target.crops || target.pads {
      guard spatial == 2 else { throw call.refused("proportions of \(spatial) axes") }
      y = try proportioned(y, target, first: first, call)
    }
    // What ONNX has no mode for, or another formula: a matrix for each axis.
    let isLinearMap = target.interpolation != "nearest" && (target.antialiases || target.interpolation != "bilinear")
    if isLinearMap {
      for index in 0..<spatial {
        let size = try e.size(y, first + index)
        let matrix = try KerasBuilder.resamplingMatrix(from: size, to: target.sizes[index], target, call)
        y = try mapped(y, axis: first + index, matrix, rows: size, columns: target.sizes[index])
      }
      return y
    }
    let mode: ResizeOp.Mode
    switch target.interpolation {
    case "nearest": mode = .nearest
    case "bilinear": mode = .linear
    default: throw call.refused("the interpolation '\(target.interpolation)'")
    }
    let op = ResizeOp(mode: mode, coordinates: .halfPixel, nearest: .roundPreferCeil)
    // ONNX wants channels in front, and a batch.
    if rank == spatial + 1 { y = try e.unsqueeze(y, [0]) }
    let whole = spatial + 2
    if !channelsFirst { y = try e.transpose(y, [0, whole - 1] + Array(1..<(whole - 1))) }
    let dims = try e.shape(y)
    var operands: [ValueID?] = [y, nil, nil, nil]
    if let numbers = Shape(dims).concrete {
      operands[3] = try e.integers([numbers[0], numbers[1]] + target.sizes, "sizes")
    } else {
      // Sizes would need the batch; scales do not, where they are exact.
      var scales: [Float] = [1, 1]
      for (axis, size) in target.sizes.enumerated() {
        guard let own = dims[2 + axis].value, own > 0, Double(Float(size) / Float(own)) * Double(own) == Double(size) else { break }
        scales.append(Float(size) / Float(own))
      }
      if scales.count == whole {
        operands[2] = e.constant("scales", try Tensor(float32: scales, dims: [scales.count]))
      } else {
        let front = try e.emit(.generator(.shape(start: 0, end: 2)), [y], "Shape")
        operands[3] = try e.concat([front, try e.integers(target.sizes, "sizes")], axis: 0)
      }
    }
    y = try e.emit(.indexing(.resize(op)), operands.droppingLastNil, "Resize")
    if !channelsFirst { y = try e.transpose(y, [0] + Array(2..<whole) + [1]) }
    return rank == spatial + 1 ? try e.squeeze(y, [0]) : y
  }

  /// Every entry of the spatial axes repeated; the axes may be open.
  mutating func upsampled(_ x: ValueID, _ factors: [Int], first: Int) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let isFirst = first == 2
    let turned = isFirst ? x : try e.transpose(x, [0, rank - 1] + Array(1..<(rank - 1)))
    let scales = e.constant("scales", try Tensor(float32: [1, 1] + factors.map { Float($0) }, dims: [rank]))
    let op = ResizeOp(mode: .nearest, coordinates: .asymmetric, nearest: .floor)
    let y = try e.emit(.indexing(.resize(op)), [turned, nil, scales], "Resize")
    return isFirst ? y : try e.transpose(y, [0] + Array(2..<rank) + [1])
  }

  /// The middle of the image, or the image with its shorter side padded, in the target's proportions.
  private mutating func proportioned(_ x: ValueID, _ target: Resampling, first: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let (height, width) = (try e.size(x, first), try e.size(x, first + 1))
    guard height > 0, width > 0, height < 1 << 24, width < 1 << 24 else { throw call.wrong("an image of \(height) x \(width)") }
    let rows = Int(Float(width * target.sizes[0]) / Float(target.sizes[1]))
    let columns = Int(Float(height * target.sizes[1]) / Float(target.sizes[0]))
    if target.crops {
      let (h, w) = (max(min(height, rows), 1), max(min(width, columns), 1))
      let (top, left) = ((height - h) / 2, (width - w) / 2)
      let y = h == height ? x : try e.slice(x, axis: first, from: top, to: top + h)
      return w == width ? y : try e.slice(y, axis: first + 1, from: left, to: left + w)
    }
    // The same number of rows on both sides, even where the difference is odd.
    let (top, left) = ((max(height, rows) - height) / 2, (max(width, columns) - width) / 2)
    var around = [Int](repeating: 0, count: try e.rank(x))
    (around[first], around[first + 1]) = (top, left)
    return try e.pad(x, before: around, after: around, value: target.fill)
  }

  /// TensorFlow's `ScaleAndTranslate`: weights of each result by a kernel around its center, as wide as the scale where
  /// it is antialiased, cut at the border and normalized. (size, count), row by row.
  private static func resamplingMatrix(from size: Int, to count: Int, _ target: Resampling, _ call: LayerCall) throws(Failure) -> [Double] {
    let radius: Double
    switch target.interpolation {
    case "bilinear": radius = 1
    case "bicubic": radius = 2
    case "lanczos3": radius = 3
    case "lanczos5": radius = 5
    default: throw call.refused("the interpolation '\(target.interpolation)'")
    }
    func kernel(_ position: Double) -> Double {
      let x = abs(position)
      switch target.interpolation {
      case "bilinear": return max(0, 1 - x)
      case "bicubic": return x >= 2 ? 0 : x >= 1 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : ((1.5 * x - 2.5) * x) * x + 1
      default:
        if x > radius { return 0 }
        if x <= 1e-3 { return 1 }
        let angle = Double.pi * x
        return radius * sin(angle) * sin(angle / radius) / (angle * angle)
      }
    }
    guard let total = [size, count].checkedProduct, total <= 1 << 26 else { throw call.refused("a matrix of \(size) x \(count)") }
    let scale = Double(size) / Double(count)
    let spread = target.antialiases ? max(scale, 1) : 1
    var result = [Double](repeating: 0, count: total)
    // TensorFlow's plain bicubic reads its weights from a table with 1024 places for the distance.
    let isTabulated = target.interpolation == "bicubic" && !target.antialiases
    for column in 0..<count {
      var center = (Double(column) + 0.5) * scale
      if isTabulated {
        let place = center - 0.5
        center = place.rounded(.down) + ((place - place.rounded(.down)) * 1024).rounded(.toNearestOrEven) / 1024 + 0.5
      }
      let start = max(Int((center - radius * spread - 0.5).rounded(.up)), 0)
      let end = min(Int((center + radius * spread - 0.5).rounded(.down)), size - 1)
      guard start <= end else { continue }
      let weights = (start...end).map { kernel((Double($0) + 0.5 - center) / spread) }
      let sum = weights.reduce(0, +)
      guard abs(sum) > 1e-9 else { continue }
      for (index, weight) in weights.enumerated() { result[(start + index) * count + column] = weight / sum }
    }
    return result
  }

  /// The middle; a smaller image is cut to the proportions and resized to cover it.
  mutating func centerCropped(_ x: ValueID, _ sizes: [Int], _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let first = call.isChannelsFirst ? rank - 2 : rank - 3
    guard first >= 0 else { throw call.wrong("it is called with no image") }
    let own = [try e.size(x, first), try e.size(x, first + 1)]
    guard zip(own, sizes).allSatisfy({ $0 >= $1 }) else {
      var target = Resampling(sizes, "bilinear")
      target.crops = true
      return try resized(x, target, channelsFirst: call.isChannelsFirst, call)
    }
    var y = x
    for index in 0..<2 where own[index] != sizes[index] {
      let start = (own[index] - sizes[index]) / 2
      y = try e.slice(y, axis: first + index, from: start, to: start + sizes[index])
    }
    return y
  }
}
