internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that pick, place, resample or generate elements.
enum IndexingRules {
  static let standard: [String: ReadingRule] = [
    "Gather": { view throws(Failure) in .op(.indexing(.gather(axis: try view.int("axis", default: 0))), of: view) },
    "GatherElements": { view throws(Failure) in .op(.indexing(.gatherElements(axis: try view.int("axis", default: 0))), of: view) },
    "GatherND": { view throws(Failure) in .op(.indexing(.gatherND(batchDims: try view.int("batch_dims", default: 0))), of: view) },
    "ScatterND": { view throws(Failure) in
      try view.string("reduction", default: "none") == "none" ? .op(.indexing(.scatterND), of: view) : .unsupported("a reduction")
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
    "Range": { view throws(Failure) in .op(.generator(.range), of: view) },
  ]

  private static let scatterElements: ReadingRule = { view throws(Failure) in
    let axis = try view.int("axis", default: 0)
    return try view.string("reduction", default: "none") == "none" ? .op(.indexing(.scatterElements(axis: axis)), of: view) : .unsupported("a reduction")
  }

  /// Before version 11: X and scales, with asymmetric coordinates rounded down.
  private static let resize: ReadingRule = { view throws(Failure) in
    guard view.version >= 11 else { return try old(&view, scales: nil) }
    view.ignore("extrapolation_value")
    guard let mode = mode(try view.string("mode", default: "nearest")) else { throw view.bad("mode", "has an unknown value") }
    let coordinates: ResizeOp.Coordinates
    switch try view.string("coordinate_transformation_mode", default: "half_pixel") {
    case "half_pixel": coordinates = .halfPixel
    case "pytorch_half_pixel": coordinates = .pytorchHalfPixel
    case "align_corners": coordinates = .alignCorners
    case "asymmetric": coordinates = .asymmetric
    case let other: return .unsupported("coordinates '\(other)'")
    }
    let nearest: ResizeOp.NearestMode
    switch try view.string("nearest_mode", default: "round_prefer_floor") {
    case "round_prefer_floor": nearest = .roundPreferFloor
    case "round_prefer_ceil": nearest = .roundPreferCeil
    case "floor": nearest = .floor
    case "ceil": nearest = .ceil
    default: throw view.bad("nearest_mode", "has an unknown value")
    }
    if mode == .cubic, try view.float("cubic_coeff_a", default: -0.75) != -0.75 { return .unsupported("its cubic coefficient") }
    view.ignore("cubic_coeff_a")
    if try view.flag("exclude_outside") { return .unsupported("excluded borders") }
    if try view.flag("antialias") { return .unsupported("antialiasing") }
    if try view.ints("axes") != nil { return .unsupported("a choice of axes") }
    if try view.string("keep_aspect_ratio_policy", default: "stretch") != "stretch" { return .unsupported("a kept aspect ratio") }
    // An empty tensor is how version 11 leaves an operand out.
    let operands = view.operands.indices.map { view.constant(at: $0)?.count == 0 ? Translation.Step.Operand.absent : .operand($0) }
    return .steps([.init(.indexing(.resize(.init(mode: mode, coordinates: coordinates, nearest: nearest))), operands)])
  }

  private static let upsample: ReadingRule = { view throws(Failure) in
    guard view.version < 9 else { return try old(&view, scales: nil) }
    guard let scales = try view.floats("scales") else { return .unsupported("scales by axis, as before version 7") }
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
    case .scatterND: return try plain("ScatterND", since: 11)
    case .scatterElements(let axis): return try plain("ScatterElements", since: 11, [("axis", .int(axis))])
    case .trilu(let upper): return try plain("Trilu", since: 14, [("upper", upper.spelled)])
    case .resize(let resize):
      // Version 11 knew the attributes but wanted every operand.
      return try plain(
        "Resize", since: 13,
        [
          ("mode", .string(resize.mode.onnxName)), ("coordinate_transformation_mode", .string(resize.coordinates.onnxName)),
          ("nearest_mode", .string(resize.nearest.onnxName)),
        ])
    }
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
  fileprivate var onnxName: String {
    switch self {
    case .halfPixel: "half_pixel"
    case .pytorchHalfPixel: "pytorch_half_pixel"
    case .alignCorners: "align_corners"
    case .asymmetric: "asymmetric"
    }
  }
}

extension ResizeOp.NearestMode {
  fileprivate var onnxName: String {
    switch self {
    case .roundPreferFloor: "round_prefer_floor"
    case .roundPreferCeil: "round_prefer_ceil"
    case .floor: "floor"
    case .ceil: "ceil"
    }
  }
}
