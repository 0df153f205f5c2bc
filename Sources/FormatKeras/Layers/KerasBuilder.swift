internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// Turns the layers of a Keras model into nodes.
struct KerasBuilder {
  var e: Emitter
  let store: WeightStore
  /// 2 or 3: formulas and configurations differ.
  let version: Int
  let custom: CustomLayers
  /// Masks that travel with values, (B, T) of bool.
  var masks: [ValueID: ValueID] = [:]
  var findings: [Diagnostic] = []
  /// Where layers of a class and name may be stored, by both.
  var places: [String: [String]] = [:]
  /// Calls of models in models so far; a shared one is unfolded for each.
  var unfoldings = 0
  /// Models around the one being built.
  var depth = 0

  init(name: String, store: WeightStore, version: Int, custom: CustomLayers) {
    e = Emitter(name: name)
    self.store = store
    self.version = version
    self.custom = custom
  }

  // MARK: Types of layers

  /// The types that a layer stores its variables in and computes in.
  func policy(_ config: JSON) -> (variable: ElementType, compute: ElementType) {
    let name: String
    if let word = config["dtype"]?.string {
      name = word
    } else {
      name =
        config["dtype"]?["config"]?["name"]?.string ?? config["dtype"]?["config"]?["source_name"]?.string
        ?? config["dtype"]?["config"]?["default_policy"]?.string ?? "float32"
    }
    switch name {
    case "float16": return (.float16, .float16)
    case "bfloat16": return (.bfloat16, .bfloat16)
    case "float64": return (.float64, .float64)
    case let mixed where mixed.hasSuffix("mixed_float16"): return (.float32, .float16)
    case let mixed where mixed.hasSuffix("mixed_bfloat16"): return (.float32, .bfloat16)
    case let other where other.hasSuffix("_from_float16"): return (.float16, .float16)
    case let other where other.hasSuffix("_from_bfloat16"): return (.bfloat16, .bfloat16)
    default: return (.float32, .float32)
    }
  }

  // MARK: Operands

  func tensors(_ argument: Argument?, _ call: LayerCall) throws(Failure) -> [Argument] {
    switch argument {
    case .list(let entries)?: return entries
    case .dictionary(let entries)?: return entries.keys.sorted().compactMap { entries[$0] }
    case nil: throw call.wrong("it is called without an argument")
    case let single?: return [single]
    }
  }

  /// The value of an argument, constants made.
  mutating func value(_ argument: Argument?, _ call: LayerCall, like type: ElementType? = nil) throws(Failure) -> ValueID {
    switch argument {
    case .tensor(let id)?: return id
    case .constant(let tensor)?: return e.constant("constant", tensor)
    case .int(let number)?: return try e.scalar(Double(number), type ?? .int32)
    case .number(let number)?: return try e.scalar(number, type ?? .float32)
    case .bool(let flag)?: return try e.scalar(flag ? 1 : 0, type ?? .bool)
    case .list?:
      guard let argument, let array = KerasBuilder.nested(argument) else { throw call.wrong("an argument is a list where a tensor is meant") }
      return e.constant("constant", try Tensor.filled(array.values, dims: array.dims, type ?? (array.isInteger ? .int32 : .float32)))
    default: throw call.wrong("an argument is no tensor")
    }
  }

  /// A nested list of numbers as an array: those of a constant may be many.
  static func nested(_ json: JSON?) -> (values: [Double], dims: [Int], isInteger: Bool)? {
    var values: [Double] = []
    var isInteger = true
    func collect(_ json: JSON) -> [Int]? {
      switch json {
      case .integer(let value): values.append(Double(value))
      case .number(let value):
        values.append(value)
        isInteger = false
      case .bool(let value): values.append(value ? 1 : 0)
      case .array(let entries):
        var dims: [Int]?
        for entry in entries {
          guard let inner = collect(entry), dims == nil || dims == inner else { return nil }
          dims = inner
        }
        return [entries.count] + (dims ?? [])
      default: return nil
      }
      return []
    }
    guard let json, let dims = collect(json) else { return nil }
    return (values, dims, isInteger)
  }

  static func nested(_ argument: Argument) -> (values: [Double], dims: [Int], isInteger: Bool)? {
    guard case .list(let entries) = argument else {
      return argument.double.map { ([$0], [], argument.int != nil && { if case .int = argument { true } else { false } }()) }
    }
    var values: [Double] = []
    var dims: [Int]?
    var isInteger = true
    for entry in entries {
      guard let inner = nested(entry), dims == nil || dims == inner.dims else { return nil }
      dims = inner.dims
      values += inner.values
      isInteger = isInteger && inner.isInteger
    }
    return (values, [entries.count] + (dims ?? []), isInteger)
  }

  /// The first operand, cast to what the layer computes in.
  mutating func input(_ call: LayerCall, _ index: Int = 0, _ name: String = "inputs") throws(Failure) -> ValueID {
    try autocast(try value(call.argument(index, name), call), call)
  }

  mutating func autocast(_ value: ValueID, _ call: LayerCall) throws(Failure) -> ValueID {
    let compute = policy(call.config).compute
    guard e.isKnown(value) else { return value }
    let element = try e.element(value)
    return element.isFloatingPoint && element != compute ? try e.cast(value, compute) : value
  }

  // MARK: Variables

  /// A variable as an operand, in the type the layer computes in.
  ///
  /// - Parameters:
  ///   - dims: what the configuration demands of its shape; nil entries are free.
  ///   - make: what becomes of it before it is an operand (another order of axes, say).
  mutating func variable(
    _ call: LayerCall, _ names: [String], _ index: Int, dims: [Int?]? = nil,
    _ make: (Tensor) throws(Failure) -> Tensor = { (tensor) throws(Failure) in tensor }
  ) throws(Failure) -> ValueID {
    try variable(call, call.path, names, index, dims: dims, make)
  }

  /// A variable of a sub-layer.
  mutating func variable(
    _ call: LayerCall, _ path: LayerPath, _ names: [String], _ index: Int, dims: [Int?]? = nil, hint: String? = nil,
    _ make: (Tensor) throws(Failure) -> Tensor = { (tensor) throws(Failure) in tensor }
  ) throws(Failure) -> ValueID {
    let key = "\(path.name)/\(hint.map { "\($0)_" } ?? "")\(names.first ?? String(index))"
    let store = store
    let id = try e.weight(key) { () throws(Failure) in
      let tensor = try store.variable(path, names, index, hint: hint)
      try KerasBuilder.check(tensor, dims, key)
      if let adapter = try store.adapter(path, names, hint: hint) { return try make(try KerasBuilder.adapted(tensor, adapter, call)) }
      return try make(tensor)
    }
    return try e.cast(id, policy(call.config).compute)
  }

  /// W + A·B·(alpha/rank): Hu et al. 2021.
  static func adapted(_ tensor: Tensor, _ adapter: (Tensor, Tensor), _ call: LayerCall) throws(Failure) -> Tensor {
    let (a, b) = adapter
    guard let rank = a.dims.last, rank > 0, b.dims.first == rank, var values = tensor.doubles(), let left = a.doubles(), let right = b.doubles(),
      values.count == left.count / rank * (right.count / rank)
    else { throw call.wrong("its adapter does not fit the kernel") }
    let columns = right.count / rank
    let factor = (call.config["lora_alpha"]?.double ?? Double(rank)) / Double(rank)
    for row in 0..<(left.count / rank) {
      for inner in 0..<rank {
        let weight = left[row * rank + inner] * factor
        for column in 0..<columns { values[row * columns + column] += weight * right[inner * columns + column] }
      }
    }
    return try Tensor.filled(values, dims: tensor.dims, tensor.elementType)
  }

  static func check(_ tensor: Tensor, _ dims: [Int?]?, _ key: String) throws(Failure) {
    guard tensor.elementType.isFloatingPoint || tensor.elementType == .int8 else {
      throw Failure(.typeMismatch, "the variable is \(tensor.type), and numbers are wanted", at: .element(key))
    }
    guard let dims else { return }
    guard tensor.dims.count == dims.count, zip(tensor.dims, dims).allSatisfy({ $1 == nil || $0 == $1 }) else {
      let wanted = dims.map { $0.map(String.init) ?? "?" }.joined(separator: ", ")
      throw Failure(.shapeMismatch, "the configuration demands [\(wanted)], the file holds \(Shape(tensor.dims))", at: .element(key))
    }
  }

  /// A one-dimensional variable, laid along `axis` of a tensor of some rank.
  func laid(_ tensor: Tensor, axis: Int, rank: Int) throws(Failure) -> Tensor {
    var dims = [Int](repeating: 1, count: rank)
    if axis < rank { dims[axis] = tensor.count }
    return axis == rank - 1 ? tensor : try tensor.reshaped(Array(dims[axis...]))
  }

  // MARK: Layers

  /// The values that a call gives.
  mutating func call(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let outer = e.scope
    e.scope = call.path.name
    defer { e.scope = outer }
    if !call.layer.isModel, reads(call).contains(where: { !e.isKnown($0) }) { return try opaque(call) }
    if call.layer.isModel { return try model(call) }
    if call.layer.isOperation || call.layer.className == "TFOpLambda" || call.layer.className == "SlicingOpLambda" {
      do throws(Failure) {
        return call.layer.isOperation ? try operation(call) : try tensorFlowOperation(call)
      } catch  where error.code == .unknownOperator {
        // Legacy files do not say whether they mean an operation or the layer of that name.
        return call.layer.isOperation && call.layer.module.isEmpty ? try layer(call) : try opaque(call, error.message)
      }
    }
    if let results = try custom.call(call, &self) { return results }
    return try layer(call)
  }

  private mutating func layer(_ call: LayerCall) throws(Failure) -> [ValueID] {
    switch call.layer.className {
    case "Dense": return [try dense(call)]
    case "EinsumDense": return [try einsumDense(call)]
    case "Embedding", "ReversibleEmbedding": return [try embedding(call)]
    case "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose",
      "Conv3DTranspose":
      return [try convolution(call)]
    case "LayerNormalization", "RMSNormalization", "UnitNormalization", "BatchNormalization", "SyncBatchNormalization", "GroupNormalization":
      return [try passingMask(call, try normalization(call))]
    case "MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention": return try multiHeadAttention(call)
    case "Attention", "AdditiveAttention": return try scoreAttention(call)
    case "Activation":
      return [try passingMask(call, try activation(call.config["activation"], try input(call), call))]
    case "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "ThresholdedReLU", "SELU", "GELU": return [try passingMask(call, try activationLayer(call))]
    case "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot": return [try merge(call)]
    case "Reshape", "Permute", "Flatten", "RepeatVector", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D",
      "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D":
      return [try reshaping(call)]
    case "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling3D",
      "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "MaxPooling3D", "AveragePooling3D", "AdaptiveAveragePooling1D",
      "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D":
      return [try pooling(call)]
    case "Rescaling", "Normalization", "Resizing", "CenterCrop": return [try preprocessing(call)]
    case "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization",
      "Identity", "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness", "RandomErasing", "RandomHeight",
      "RandomWidth", "MixUp", "CutMix", "RandAugment", "RandomColorJitter", "RandomColorDegeneration", "RandomGaussianBlur", "RandomGrayscale", "RandomHue",
      "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomSaturation", "RandomSharpness", "RandomShear", "Solarization", "AugMix",
      "RandomElasticTransform", "RandomApply", "RandomChoice":
      // At inference the value as it is.
      return [try passingMask(call, try input(call))]
    case "AutoContrast": return [try contrasted(try input(call), call)]
    case "RandomCrop":
      // At inference Keras 2 resizes what has the target's proportions, Keras 3 leaves the image as it is.
      guard version == 2 else { return [try input(call)] }
      var target = Resampling([try call.positive("height"), try call.positive("width")], "bilinear")
      target.crops = true
      return [try resized(try input(call), target, channelsFirst: call.isChannelsFirst, call)]
    case "LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "CuDNNLSTM", "CuDNNGRU": return try recurrent(call)
    case "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D": return try convolutionalRecurrence(call)
    case "CategoryEncoding", "Discretization": return [try encoding(call)]
    case "Pipeline", "SpectralNormalization": return try wrapper(call)
    case "TimeDistributed": return [try timeDistributed(call)]
    case "Masking": return [try masking(call)]
    case "InputLayer": throw call.wrong("an input inside a model")
    default:
      if let model = KerasHubModel(call.layer.className, call.config) {
        return [try model.result(try value(call.argument(0, "inputs"), call), call.path, &self)]
      }
      guard call.layer.module.isEmpty, !call.layer.isOperation else { return try opaque(call) }
      do throws(Failure) { return try operation(call) } catch  where error.code == .unknownOperator { return try opaque(call) }
    }
  }

  mutating func passingMask(_ call: LayerCall, _ result: ValueID) throws(Failure) -> ValueID {
    if case .tensor(let source)? = call.argument(0, "inputs"), let mask = masks[source] { masks[result] = mask }
    return result
  }

  /// A layer whose computation is not known: its place in the graph is kept, and numbers are refused.
  ///
  /// - Parameter reason: why, where it is not that the class is unknown.
  mutating func opaque(_ call: LayerCall, _ reason: String? = nil) throws(Failure) -> [ValueID] {
    let module = call.layer.module
    guard
      module.isEmpty || module == "custom" || module.hasPrefix("keras") || call.layer.className == "Lambda" || module.hasPrefix("tf_keras")
        || !module.hasPrefix("builtins")
    else {
      throw Failure(.unknownOperator, "'\(module).\(call.layer.className)' is no layer", at: .element(call.path.name))
    }
    guard call.layer.className != "eval", call.layer.className != "exec" else {
      throw Failure(.unknownOperator, "'\(call.layer.className)' is no layer", at: .element(call.path.name))
    }
    let operands = reads(call)
    let follows = operands.contains { !e.isKnown($0) }
    if follows {
      // What comes after a layer without a meaning is kept as it is, too.
      return e.foreign(ForeignOp(domain: "keras", name: call.layer.className), operands, call.layer.className, types: [opaqueType(call, operands)])
    }
    let isCode = call.layer.className == "Lambda"
    findings.append(
      Diagnostic(
        .unknownOperator,
        reason
          ?? (isCode
            ? "the Lambda layer '\(call.layer.name)' holds Python code, which is never run" : "the layer class '\(call.layer.className)' is not known"),
        at: .element(call.path.name)))
    return e.foreign(ForeignOp(domain: "keras", name: call.layer.className), operands, call.layer.className, types: [opaqueType(call, operands)])
  }

  /// Every value among the arguments.
  private func reads(_ call: LayerCall) -> [ValueID] {
    var result: [ValueID] = []
    func collect(_ argument: Argument) {
      switch argument {
      case .tensor(let id): result.append(id)
      case .list(let entries): entries.forEach(collect)
      case .dictionary(let entries): for key in entries.keys.sorted() { if let entry = entries[key] { collect(entry) } }
      default: break
      }
    }
    call.positional.forEach(collect)
    for key in call.named.keys.sorted() { if let entry = call.named[key] { collect(entry) } }
    return result
  }

  /// What the configuration tells of the result, or what the next layer was built for.
  private func opaqueType(_ call: LayerCall, _ operands: [ValueID]) -> TensorType? {
    let compute = policy(call.config).compute
    if let shape = call.config["output_shape"]?.array, !shape.isEmpty {
      var dims: [Dim] = shape.map { $0.int.map { Dim($0) } ?? Dim(symbol: "batch") }
      if version == 2 || shape.count < 2 || shape[0].int != nil { dims.insert(Dim(symbol: "batch"), at: 0) }
      return TensorType(compute, Shape(dims))
    }
    return nil
  }
}
