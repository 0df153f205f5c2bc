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
    case .scatterND: mnemonic = "scatter_nd"
    case .scatterElements(let axis):
      mnemonic = "scatter_elements"
      integer("axis", axis)
    case .resize(let resize):
      mnemonic = "resize"
      choice("mode", resize.mode, OpSpelling.resizeModes)
      choice("coordinates", resize.coordinates, OpSpelling.coordinates)
      choice("nearest", resize.nearest, OpSpelling.nearestModes)
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
    }
  }
}

extension OpReading {
  static func indexing(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "gather": .indexing(.gather(axis: try attributes.int("axis")))
    case "gather_elements": .indexing(.gatherElements(axis: try attributes.int("axis")))
    case "gather_nd": .indexing(.gatherND(batchDims: try attributes.int("batch_dims", default: 0)))
    case "scatter_elements": .indexing(.scatterElements(axis: try attributes.int("axis")))
    case "resize":
      .indexing(
        .resize(
          ResizeOp(
            mode: try attributes.choice("mode", OpSpelling.resizeModes), coordinates: try attributes.choice("coordinates", OpSpelling.coordinates),
            nearest: try attributes.choice("nearest", OpSpelling.nearestModes))))
    case "trilu": .indexing(.trilu(upper: try attributes.flag("upper")))
    case "shape": .generator(.shape(start: try attributes.int("start", default: 0), end: try attributes.optionalInt("end")))
    case "constant_of_shape": .generator(.constantOfShape(FillValue(try elementType("type", &attributes), try attributes.double("value"))))
    default: nil
    }
  }
}
