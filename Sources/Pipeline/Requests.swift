public import Diagnostics
internal import Execution
public import FormatImage
public import FormatKeras
public import Reporting
public import Validation

/// What every command is told beside its own options.
public struct CommonRequest: Sendable {
  /// Dimensions of inputs by name.
  public var shapes: [String: [Int]] = [:]
  /// nil: the machine's cores.
  public var threads: Int?
  public var seed: UInt64 = 0
  /// Whether products with weights are rounded to bfloat16.
  public var roundsToBFloat16 = false
  /// How pixels of image folders are scaled.
  public var scaling = PixelScaling()
  /// What a file of weights leaves open.
  public var checkpoint = CheckpointOptions()
  /// Called while long work goes on.
  public var progress: ProgressHandler?
  /// Called with what a reader found that does not stop a command whose result has no place for it.
  public var remark: (@Sendable (Diagnostic) -> Void)?
  public init() {}

  /// What to read files with: a fixed input shape tells the size of images, too.
  var readOptions: CheckpointOptions {
    var options = checkpoint
    if options.imageSize == nil, shapes.count == 1, let dims = shapes.values.first, dims.count == 4 { options.imageSize = Array(dims.suffix(2)) }
    return options
  }

  var runOptions: RunOptions { RunOptions(threads: threads ?? RunOptions.cores, precision: roundsToBFloat16 ? .bfloat16 : .float32) }
}

/// What a writer is told beside graph and path.
public struct WritingOptions: Sendable {
  /// The output format by name; nil: by the suffix.
  public var format: String?
  /// The version of the operator set of ONNX files; nil: the graph's own.
  public var opset: Int?
  public var layout = ImageLayout.keep
  /// nil: float32 where a model that is none of ONNX is written as ONNX, since few who run ONNX compute in bfloat16.
  public var bfloat16: BFloat16Arithmetic?
  /// Operator sets that can be asked for.
  public static let opsets = 17...28
  /// Dimensions of inputs by name, for formats that need types.
  var shapes: [String: [Int]] = [:]
  public init() {}
}

/// `vitconv convert`.
public struct ConversionRequest: Sendable {
  public var input: String
  public var output: String
  /// `NAME[:key=value,…]`, applied in order.
  public var rewrites: [String] = []
  /// Whether known faults of exporters are mended first.
  public var repairs = false
  /// `all`, `auto`, indices such as `0,3-5`, or a pattern for names.
  public var blocks = "all"
  public var budget: Budget?
  public var samples: String?
  public var writing = WritingOptions()
  public var common = CommonRequest()
  public init(input: String, output: String) {
    self.input = input
    self.output = output
  }
}

/// `vitconv validate`.
public struct ValidationRequest: Sendable {
  public var model: String
  public var reference: String?
  public var samples: String?
  /// What may be lost; without one the models must agree within rounding.
  public var budgets: [Budget] = []
  public var common = CommonRequest()
  public init(model: String) { self.model = model }
}
