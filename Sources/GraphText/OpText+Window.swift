internal import Diagnostics
internal import GraphIR
internal import Tensors

extension OpSpelling {
  mutating func spell(_ convolution: ConvolutionOp) {
    switch convolution {
    case .conv(let geometry, let groups):
      mnemonic = "conv"
      window(geometry)
      integer("groups", groups, unless: 1)
    case .convTranspose(let geometry, let groups, let outputPadding):
      mnemonic = "conv_transpose"
      window(geometry)
      integer("groups", groups, unless: 1)
      list("output_padding", outputPadding)
    }
  }

  mutating func spell(_ pooling: PoolingOp) {
    switch pooling {
    case .max(let geometry, let ceilMode):
      mnemonic = "max_pool"
      window(geometry)
      flag("ceil_mode", ceilMode)
    case .average(let geometry, let ceilMode, let countIncludePad):
      mnemonic = "average_pool"
      window(geometry)
      flag("ceil_mode", ceilMode)
      flag("count_include_pad", countIncludePad)
    case .maxByColumns(let geometry, let ceilMode):
      mnemonic = "max_pool_by_columns"
      window(geometry)
      flag("ceil_mode", ceilMode)
    case .lp(let geometry, let ceilMode, let p):
      mnemonic = "lp_pool"
      window(geometry)
      flag("ceil_mode", ceilMode)
      number("p", p, unless: 2)
    case .globalLp(let p):
      mnemonic = "global_lp_pool"
      number("p", p, unless: 2)
    case .unpool(let geometry):
      mnemonic = "max_unpool"
      window(geometry)
    case .globalAverage: mnemonic = "global_average_pool"
    case .globalMax: mnemonic = "global_max_pool"
    }
  }
}

extension OpReading {
  static func window(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "conv": .convolution(.conv(try window(&attributes), groups: try attributes.int("groups", default: 1)))
    case "conv_transpose":
      .convolution(
        .convTranspose(try window(&attributes), groups: try attributes.int("groups", default: 1), outputPadding: try attributes.integers("output_padding")))
    case "max_pool": .pooling(.max(try window(&attributes), ceilMode: try attributes.flag("ceil_mode")))
    case "average_pool":
      .pooling(.average(try window(&attributes), ceilMode: try attributes.flag("ceil_mode"), countIncludePad: try attributes.flag("count_include_pad")))
    case "max_pool_by_columns": .pooling(.maxByColumns(try window(&attributes), ceilMode: try attributes.flag("ceil_mode")))
    case "lp_pool":
      .pooling(.lp(try window(&attributes), ceilMode: try attributes.flag("ceil_mode"), p: try attributes.float("p", default: 2)))
    case "global_lp_pool": .pooling(.globalLp(p: try attributes.float("p", default: 2)))
    case "max_unpool": .pooling(.unpool(try window(&attributes)))
    default: nil
    }
  }

  private static func window(_ attributes: inout AttributeReader) throws(Failure) -> Window {
    let padding: WindowPadding? = try attributes.choice(
      "padding", [("explicit", nil), ("same_upper", .sameUpper), ("same_lower", .sameLower), ("valid", .valid)])
    let pads = try attributes.integers("pads")
    let sizes = try attributes.integers("to_sizes")
    let restAtEnd = try attributes.flag("rest_at_end")
    return Window(
      kernel: try attributes.integers("kernel"), strides: try attributes.integers("strides"), dilations: try attributes.integers("dilations"),
      padding: padding ?? (sizes.isEmpty ? .explicit(pads) : .toSizes(sizes, restAtEnd: restAtEnd)))
  }
}
