internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that pick, place, resample or generate elements.
enum IndexingRules {
  static let standard: [String: ReadingRule] = [
    "Gather": { view throws(Failure) in .op(.indexing(.gather(axis: try view.int("axis", default: 0))), of: view) },
    "GatherElements": { view throws(Failure) in .op(.indexing(.gatherElements(axis: try view.int("axis", default: 0))), of: view) },
    "GatherND": { view throws(Failure) in .op(.indexing(.gatherND(batchDims: try view.int("batch_dims", default: 0))), of: view) },
    "ScatterND": { view throws(Failure) in .op(.indexing(.scatterND(try reduction(&view))), of: view) },
    "TensorScatter": { view throws(Failure) in
      let axis = try view.int("axis", default: -2)
      switch try view.string("mode", default: "linear") {
      case "linear": return .op(.indexing(.tensorScatter(axis: axis, circular: false)), of: view)
      case "circular": return .op(.indexing(.tensorScatter(axis: axis, circular: true)), of: view)
      default: throw view.bad("mode", "has an unknown value")
      }
    },
    "ScatterElements": scatterElements, "Scatter": scatterElements,
    "Trilu": { view throws(Failure) in .op(.indexing(.trilu(upper: try view.flag("upper", default: true))), of: view) },
    "Resize": resize, "Upsample": upsample,
    "Shape": { view throws(Failure) in .op(.generator(.shape(start: try view.int("start", default: 0), end: try view.int("end"))), of: view) },
    "Size": { view throws(Failure) in .op(.generator(.size), of: view) },
    "ConstantOfShape": { view throws(Failure) in
      guard let tensor = try view.tensor("value") else { return .op(.generator(.constantOfShape(.init(.float32, 0))), of: view) }
      guard tensor.count == 1 else { throw view.bad("value", "does not hold one element") }
      guard let value = tensor.scalar, !tensor.elementType.isInteger || value.magnitude <= 0x1p53 else { return .unsupported("its fill value") }
      return .op(.generator(.constantOfShape(.init(tensor.elementType, value))), of: view)
    },
    "Range": { view throws(Failure) in
      // Elements are computed in double precision whatever their type.
      view.ignore("stash_type")
      return .op(.generator(.range), of: view)
    },
    "EyeLike": { view throws(Failure) in
      let given = try view.int("dtype")
      let type = try ConversionRules.elementType("dtype", &view)
      guard given == nil || type != nil else { throw view.bad("dtype", "names no element type") }
      return .op(.generator(.eyeLike(type, diagonal: try view.int("k", default: 0))), of: view)
    },
  ]

  private static let scatterElements: ReadingRule = { view throws(Failure) in
    let axis = try view.int("axis", default: 0)
    return .op(.indexing(.scatterElements(axis: axis, reduction: try reduction(&view))), of: view)
  }

  private static func reduction(_ view: inout NodeView) throws(Failure) -> ScatterReduction {
    switch try view.string("reduction", default: "none") {
    case "none": .none
    case "add": .add
    case "mul": .multiply
    case "min": .minimum
    case "max": .maximum
    default: throw view.bad("reduction", "has an unknown value")
    }
  }

  /// Before version 11: X and scales, with asymmetric coordinates rounded down.
  private static let resize: ReadingRule = { view throws(Failure) in
    guard view.version >= 11 else { return try old(&view, scales: nil) }
    guard let mode = mode(try view.string("mode", default: "nearest")) else { throw view.bad("mode", "has an unknown value") }
    guard let coordinates = ResizeOp.Coordinates(onnxName: try view.string("coordinate_transformation_mode", default: "half_pixel")) else {
      throw view.bad("coordinate_transformation_mode", "has an unknown value")
    }
    guard let nearest = ResizeOp.NearestMode(onnxName: try view.string("nearest_mode", default: "round_prefer_floor")) else {
      throw view.bad("nearest_mode", "has an unknown value")
    }
    guard let aspect = ResizeOp.AspectRatio(onnxName: try view.string("keep_aspect_ratio_policy", default: "stretch")) else {
      throw view.bad("keep_aspect_ratio_policy", "has an unknown value")
    }
    var form = ResizeOp(mode: mode, coordinates: coordinates, nearest: nearest, aspectRatio: aspect)
    form.cubicCoefficient = try view.float("cubic_coeff_a", default: -0.75)
    form.excludesOutside = try view.flag("exclude_outside")
    form.antialias = try view.flag("antialias")
    form.extrapolation = try view.float("extrapolation_value", default: 0)
    form.axes = try view.ints("axes")
    // An empty tensor is how version 11 leaves an operand out.
    let operands = view.operands.indices.map { view.constant(at: $0)?.count == 0 ? Translation.Step.Operand.absent : .operand($0) }
    return .steps([.init(.indexing(.resize(form)), operands)])
  }

  private static let upsample: ReadingRule = { view throws(Failure) in
    guard view.version < 9 else { return try old(&view, scales: nil) }
    guard view.version >= 7 else {
      guard let height = try view.float("height_scale"), let width = try view.float("width_scale") else {
        throw view.bad("height_scale", "or 'width_scale' is missing")
      }
      return try old(&view, scales: Tensor(float32: [1, 1, height, width], dims: [4]))
    }
    guard let scales = try view.floats("scales") else { throw view.bad("scales", "is missing") }
    return try old(&view, scales: Tensor(float32: scales, dims: [scales.count]))
  }

  private static func old(_ view: inout NodeView, scales: Tensor?) throws(Failure) -> Translation {
    guard let mode = mode(try view.string("mode", default: "nearest")) else { throw view.bad("mode", "has an unknown value") }
    let op = Op.indexing(.resize(.init(mode: mode, coordinates: .asymmetric, nearest: .floor)))
    return .steps([.init(op, [.operand(0), .absent, scales.map { .constant($0) } ?? .operand(1)])])
  }

  private static func mode(_ name: String) -> ResizeOp.Mode? {
    switch name {
    case "nearest": .nearest
    case "linear", "bilinear": .linear
    case "cubic": .cubic
    default: nil
    }
  }
}

extension SpellingRequest {
  func spelling(of op: IndexingOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .gather(let axis): return try plain("Gather", [("axis", .int(axis))])
    case .gatherElements(let axis): return try plain("GatherElements", since: 11, [("axis", .int(axis))])
    case .gatherND(let batchDims):
      try require(batchDims == 0 ? 11 : 12, "GatherND")
      return try plain("GatherND", batchDims == 0 ? [] : [("batch_dims", .int(batchDims))])
    case .scatterND(let reduction):
      try require(reduction.since, "a reduction of that kind")
      return try plain("ScatterND", since: 11, reduction.attributes)
    case .scatterElements(let axis, let reduction):
      try require(reduction.since, "a reduction of that kind")
      return try plain("ScatterElements", since: 11, [("axis", .int(axis))] + reduction.attributes)
    case .tensorScatter(let axis, let circular):
      return try plain("TensorScatter", since: 24, [("axis", .int(axis)), ("mode", .string(circular ? "circular" : "linear"))])
    case .trilu(let upper): return try plain("Trilu", since: 14, [("upper", upper.spelled)])
    case .resize(let resize): return try spelling(of: resize)
    }
  }

  private func spelling(of resize: ResizeOp) throws(Failure) -> OperatorSpelling {
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = [
      ("mode", .string(resize.mode.onnxName)), ("coordinate_transformation_mode", .string(resize.coordinates.onnxName)),
      ("nearest_mode", .string(resize.nearest.onnxName)),
    ]
    if resize.coordinates == .halfPixelSymmetric { try require(19, "Resize with symmetric half pixels") }
    if resize.coordinates == .cropAndResize { attributes.append(("extrapolation_value", .float(resize.extrapolation))) }
    if resize.cubicCoefficient != -0.75 { attributes.append(("cubic_coeff_a", .float(resize.cubicCoefficient))) }
    if resize.excludesOutside { attributes.append(("exclude_outside", .int(1))) }
    if resize.antialias {
      try require(18, "Resize with antialiasing")
      attributes.append(("antialias", .int(1)))
    }
    if let axes = resize.axes {
      try require(18, "Resize of chosen axes")
      attributes.append(("axes", .ints(axes)))
    }
    if resize.aspectRatio != .stretch {
      try require(18, "Resize that keeps the aspect ratio")
      attributes.append(("keep_aspect_ratio_policy", .string(resize.aspectRatio.onnxName)))
    }
    // Version 11 knew the attributes but wanted every operand.
    return try plain("Resize", since: 13, attributes)
  }

  func spelling(of op: GeneratorOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .shape(let start, let end):
      if start == 0, end == nil { return try plain("Shape") }
      return try plain("Shape", since: 15, [("start", .int(start))] + (end.map { [("end", .int($0))] } ?? []))
    case .size: return try plain("Size")
    case .constantOfShape(let fill):
      guard let value = Tensor.scalar(fill.value, fill.elementType) else {
        throw Failure(.notExpressible, "ConstantOfShape of type \(fill.elementType.name)", at: .element(node.name))
      }
      return try plain("ConstantOfShape", since: 9, [("value", .tensor(try value.reshaped([1])))])
    case .range: return try plain("Range", since: 11)
    case .eyeLike(let type, let diagonal):
      return try plain("EyeLike", since: 9, (type.map { [("dtype", .int(Int($0.rawValue)))] } ?? []) + [("k", .int(diagonal))])
    }
  }
}

extension ResizeOp.Mode {
  fileprivate var onnxName: String {
    switch self {
    case .nearest: "nearest"
    case .linear: "linear"
    case .cubic: "cubic"
    }
  }
}

extension ResizeOp.Coordinates {
  private static let names: [(String, ResizeOp.Coordinates)] = [
    ("half_pixel", .halfPixel), ("pytorch_half_pixel", .pytorchHalfPixel), ("align_corners", .alignCorners), ("asymmetric", .asymmetric),
    ("half_pixel_symmetric", .halfPixelSymmetric), ("tf_crop_and_resize", .cropAndResize),
  ]
  fileprivate init?(onnxName: String) {
    guard let found = ResizeOp.Coordinates.names.first(where: { $0.0 == onnxName }) else { return nil }
    self = found.1
  }
  fileprivate var onnxName: String { ResizeOp.Coordinates.names.first { $0.1 == self }?.0 ?? "" }
}

extension ResizeOp.NearestMode {
  private static let names: [(String, ResizeOp.NearestMode)] = [
    ("round_prefer_floor", .roundPreferFloor), ("round_prefer_ceil", .roundPreferCeil), ("floor", .floor), ("ceil", .ceil),
  ]
  fileprivate init?(onnxName: String) {
    guard let found = ResizeOp.NearestMode.names.first(where: { $0.0 == onnxName }) else { return nil }
    self = found.1
  }
  fileprivate var onnxName: String { ResizeOp.NearestMode.names.first { $0.1 == self }?.0 ?? "" }
}

extension ResizeOp.AspectRatio {
  private static let names: [(String, ResizeOp.AspectRatio)] = [("stretch", .stretch), ("not_larger", .notLarger), ("not_smaller", .notSmaller)]
  fileprivate init?(onnxName: String) {
    guard let found = ResizeOp.AspectRatio.names.first(where: { $0.0 == onnxName }) else { return nil }
    self = found.1
  }
  fileprivate var onnxName: String { ResizeOp.AspectRatio.names.first { $0.1 == self }?.0 ?? "" }
}

extension ScatterReduction {
  fileprivate var since: Int {
    switch self {
    case .none: 1
    case .add, .multiply: 16
    case .minimum, .maximum: 18
    }
  }
  fileprivate var attributes: [(name: String, value: OperatorSpelling.Attribute)] {
    switch self {
    case .none: []
    case .add: [("reduction", .string("add"))]
    case .multiply: [("reduction", .string("mul"))]
    case .minimum: [("reduction", .string("min"))]
    case .maximum: [("reduction", .string("max"))]
    }
  }
}
