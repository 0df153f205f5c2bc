internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ layout: LayoutOp) {
    switch layout {
    case .reshape(let allowZero):
      mnemonic = "reshape"
      flag("allow_zero", allowZero)
    case .transpose(let permutation):
      mnemonic = "transpose"
      list("perm", permutation)
    case .squeeze: mnemonic = "squeeze"
    case .unsqueeze: mnemonic = "unsqueeze"
    case .flatten(let axis):
      mnemonic = "flatten"
      integer("axis", axis, unless: 1)
    case .expand: mnemonic = "expand"
    case .concat(let axis):
      mnemonic = "concat"
      integer("axis", axis)
    case .split(let axis):
      mnemonic = "split"
      integer("axis", axis)
    case .slice: mnemonic = "slice"
    case .pad(let mode):
      mnemonic = "pad"
      choice("mode", mode, OpSpelling.padModes)
    case .tile: mnemonic = "tile"
    case .depthToSpace(let blockSize, let columnRowDepth):
      mnemonic = "depth_to_space"
      integer("block_size", blockSize)
      flag("column_row_depth", columnRowDepth)
    case .spaceToDepth(let blockSize, let columnRowDepth):
      mnemonic = "space_to_depth"
      integer("block_size", blockSize)
      flag("column_row_depth", columnRowDepth)
    case .centerCropPad(let axes):
      mnemonic = "center_crop_pad"
      if let axes { put("axes", .integers(axes)) }
    case .reverseSequence(let time, let batch):
      mnemonic = "reverse_sequence"
      integer("time_axis", time, unless: 0)
      integer("batch_axis", batch, unless: 1)
    }
  }
}

extension OpReading {
  static func layout(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "reshape": .layout(.reshape(allowZero: try attributes.flag("allow_zero")))
    case "transpose": .layout(.transpose(try attributes.integers("perm")))
    case "flatten": .layout(.flatten(axis: try attributes.int("axis", default: 1)))
    case "concat": .layout(.concat(axis: try attributes.int("axis")))
    case "split": .layout(.split(axis: try attributes.int("axis")))
    case "pad": .layout(.pad(try attributes.choice("mode", OpSpelling.padModes)))
    case "depth_to_space":
      .layout(.depthToSpace(blockSize: try attributes.int("block_size"), columnRowDepth: try attributes.flag("column_row_depth")))
    case "space_to_depth":
      .layout(.spaceToDepth(blockSize: try attributes.int("block_size"), columnRowDepth: try attributes.flag("column_row_depth")))
    case "center_crop_pad": .layout(.centerCropPad(axes: try attributes.optionalIntegers("axes")))
    case "reverse_sequence":
      .layout(.reverseSequence(timeAxis: try attributes.int("time_axis", default: 0), batchAxis: try attributes.int("batch_axis", default: 1)))
    default: nil
    }
  }
}
