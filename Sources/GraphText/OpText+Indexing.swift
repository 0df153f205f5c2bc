internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ indexing: IndexingOp) {
    switch indexing {
    case .gather(let axis):
      mnemonic = "gather"
      integer("axis", axis)
    case .gatherElements(let axis):
      mnemonic = "gather_elements"
      integer("axis", axis)
    case .gatherND(let batchDims):
      mnemonic = "gather_nd"
      integer("batch_dims", batchDims, unless: 0)
    case .scatterND(let reduction):
      mnemonic = "scatter_nd"
      choice("reduction", reduction, OpSpelling.scatterReductions)
    case .scatterElements(let axis, let reduction):
      mnemonic = "scatter_elements"
      integer("axis", axis)
      choice("reduction", reduction, OpSpelling.scatterReductions)
    case .tensorScatter(let axis, let circular):
      mnemonic = "tensor_scatter"
      integer("axis", axis)
      flag("circular", circular)
    case .resize(let resize):
      mnemonic = "resize"
      choice("mode", resize.mode, OpSpelling.resizeModes)
      choice("coordinates", resize.coordinates, OpSpelling.coordinates)
      choice("nearest", resize.nearest, OpSpelling.nearestModes)
      number("cubic_coefficient", resize.cubicCoefficient, unless: -0.75)
      flag("excludes_outside", resize.excludesOutside)
      flag("antialias", resize.antialias)
      number("extrapolation", resize.extrapolation, unless: 0)
      if let axes = resize.axes { put("axes", .integers(axes)) }
      choice("aspect_ratio", resize.aspectRatio, OpSpelling.aspectRatios)
    case .trilu(let upper):
      mnemonic = "trilu"
      flag("upper", upper)
    }
  }

  mutating func spell(_ generator: GeneratorOp) {
    switch generator {
    case .shape(let start, let end):
      mnemonic = "shape"
      integer("start", start, unless: 0)
      integer("end", end)
    case .size: mnemonic = "size"
    case .constantOfShape(let fill):
      mnemonic = "constant_of_shape"
      put("type", .word(TypeText.spelled(fill.elementType)))
      put("value", .number(fill.value.description))
    case .range: mnemonic = "range"
    case .eyeLike(let type, let diagonal):
      mnemonic = "eye_like"
      if let type { put("type", .word(TypeText.spelled(type))) }
      integer("diagonal", diagonal, unless: 0)
    }
  }
}

extension OpReading {
  static func indexing(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "gather": .indexing(.gather(axis: try attributes.int("axis")))
    case "gather_elements": .indexing(.gatherElements(axis: try attributes.int("axis")))
    case "gather_nd": .indexing(.gatherND(batchDims: try attributes.int("batch_dims", default: 0)))
    case "scatter_nd": .indexing(.scatterND(try attributes.choice("reduction", OpSpelling.scatterReductions)))
    case "scatter_elements":
      .indexing(.scatterElements(axis: try attributes.int("axis"), reduction: try attributes.choice("reduction", OpSpelling.scatterReductions)))
    case "tensor_scatter": .indexing(.tensorScatter(axis: try attributes.int("axis"), circular: try attributes.flag("circular")))
    case "eye_like": .generator(.eyeLike(try optionalElementType("type", &attributes), diagonal: try attributes.int("diagonal", default: 0)))
    case "resize":
      .indexing(
        .resize(
          ResizeOp(
            mode: try attributes.choice("mode", OpSpelling.resizeModes), coordinates: try attributes.choice("coordinates", OpSpelling.coordinates),
            nearest: try attributes.choice("nearest", OpSpelling.nearestModes),
            cubicCoefficient: try attributes.float("cubic_coefficient", default: -0.75), excludesOutside: try attributes.flag("excludes_outside"),
            antialias: try attributes.flag("antialias"), extrapolation: try attributes.float("extrapolation", default: 0),
            axes: try attributes.optionalIntegers("axes"), aspectRatio: try attributes.choice("aspect_ratio", OpSpelling.aspectRatios))))
    case "trilu": .indexing(.trilu(upper: try attributes.flag("upper")))
    case "shape": .generator(.shape(start: try attributes.int("start", default: 0), end: try attributes.optionalInt("end")))
    case "constant_of_shape": .generator(.constantOfShape(FillValue(try elementType("type", &attributes), try attributes.double("value"))))
    default: nil
    }
  }
}
