public import Diagnostics
public import FormatImage
internal import FormatNPZ
public import GraphIR
internal import Operators
public import Tensors

/// Calibration or evaluation data: arrays named after the graph's inputs, samples along the first axis, with labels and
/// object masks where the file has them.
public struct SampleSet: Sendable {
  public var inputs: [String: Tensor]
  /// The inputs that are the same for all samples, and have no axis of them (`SampleAxis`).
  var shared: Set<String>
  /// Class of each sample.
  public var labels: [Int]?
  /// Object masks on the pixel or patch grid.
  public var masks: Tensor?
  public var count: Int
  /// Whether arrays called `in0`, `in1`, … stood for the inputs in their order; results are then `out0`, `out1`, ….
  public private(set) var isByPosition = false

  /// Reads an `.npz`, or a folder of images (sub-folders are classes), for a graph with these inputs.
  ///
  /// Arrays with other names (expected outputs, say) are left alone.
  ///
  /// - Throws: `badRunInput` when an input has no array or counts differ; `nonFiniteSample` when an input array holds NaN or infinity.
  public static func read(_ path: String, for graph: Graph, scaling: PixelScaling = PixelScaling()) throws(Failure) -> SampleSet {
    if ImageFolder.isFolder(path) { return try readImages(path, for: graph, scaling: scaling) }
    let archive = try ArrayArchive.read(path: path)
    var inputs: [String: Tensor] = [:]
    var labels: [Int]?
    var masks: Tensor?
    let names = graph.inputs.map { graph[$0].name }
    for (name, tensor) in archive.entries {
      if names.contains(name) {
        inputs[name] = tensor
      } else if name == "labels" {
        guard tensor.dims.count == 1, let values = tensor.integers() else {
          throw Failure(.badRunInput, "'labels' must be one integer per sample, not \(tensor.type)", at: .init(file: path, element: name))
        }
        labels = values
      } else if name == "masks" {
        masks = tensor
      }
    }
    // Arrays called in0, in1, ... stand for the inputs in order where none bears an input's name.
    let isByPosition = inputs.isEmpty
    if isByPosition {
      for (index, name) in names.enumerated() { if let tensor = archive["in\(index)"] { inputs[name] = tensor } }
    }
    guard let missing = names.first(where: { inputs[$0] == nil }) else {
      var result = try SampleSet(path: path, inputs: inputs, shared: SampleAxis.shared(inputs, in: graph), labels: labels, masks: masks)
      result.isByPosition = isByPosition
      // No array of NumPy's holds bfloat16.
      let isNarrow = graph.inputs.contains { graph[$0].declaredType?.element == .bfloat16 }
      return isNarrow ? try result.typed(for: graph) : result
    }
    throw Failure(
      .badRunInput, "there is no array for the input '\(missing)'", at: .init(file: path),
      advice: "the file holds \(archive.names.joined(separator: ", "))")
  }

  /// Images resized to the one input's height and width, which must be declared.
  private static func readImages(_ path: String, for graph: Graph, scaling: PixelScaling) throws(Failure) -> SampleSet {
    let place = ModelLocation(file: path)
    guard graph.inputs.count == 1, let type = graph[graph.inputs[0]].declaredType, type.element == .float32, let shape = type.shape, shape.rank == 4 else {
      throw Failure(.badRunInput, "a folder of images needs a model with one float32 input of rank 4", at: place, advice: "give an .npz instead")
    }
    let order: ChannelOrder = shape[1].value == 3 ? .channelsFirst : .channelsLast
    let (height, width, channels) = order == .channelsFirst ? (shape[2], shape[3], shape[1]) : (shape[1], shape[2], shape[3])
    guard channels.value == 3, let height = height.value, let width = width.value else {
      throw Failure(.badRunInput, "the input \(type) does not tell three channels, a height and a width", at: place, advice: "fix them with --shape")
    }
    let folder = try ImageFolder(path)
    let tensor = try folder.tensor(height: height, width: width, order: order, scaling: scaling)
    return try SampleSet(path: path, inputs: [graph[graph.inputs[0]].name: tensor], shared: [], labels: folder.labels, masks: nil)
  }

  private init(path: String, inputs: [String: Tensor], shared: Set<String>, labels: [Int]?, masks: Tensor?) throws(Failure) {
    // What is the same for all samples, alone, is one sample.
    var count = inputs.isEmpty || inputs.keys.contains { !shared.contains($0) } ? nil : 1
    for (name, tensor) in inputs.sorted(by: { $0.key < $1.key }) {
      if !shared.contains(name) {
        guard let rows = tensor.dims.first, rows > 0 else { throw Failure(.badRunInput, "'\(name)' holds no samples", at: .init(file: path, element: name)) }
        guard count == nil || count == rows else {
          throw Failure(.badRunInput, "'\(name)' holds \(rows) samples, others \(count ?? 0)", at: .init(file: path, element: name))
        }
        count = rows
      }
      if tensor.elementType == .float32, !tensor.elements(as: Float.self).allSatisfy(\.isFinite) {
        throw Failure(.nonFiniteSample, "'\(name)' holds NaN or infinity", at: .init(file: path, element: name))
      }
    }
    guard let count else { throw Failure(.badRunInput, "the model has no inputs to give samples to", at: .init(file: path)) }
    if let labels, labels.count != count {
      throw Failure(.badRunInput, "\(labels.count) labels for \(count) samples", at: .init(file: path, element: "labels"))
    }
    if let masks, masks.dims.first != count {
      throw Failure(.badRunInput, "masks are \(masks.type) for \(count) samples", at: .init(file: path, element: "masks"))
    }
    self.inputs = inputs
    self.shared = shared
    self.labels = labels
    self.masks = masks
    self.count = count
  }

  /// Samples made here, without labels.
  init(inputs: [String: Tensor], shared: Set<String>) throws(Failure) {
    try self.init(path: "random samples", inputs: inputs, shared: shared, labels: nil, masks: nil)
  }

  private init(inputs: [String: Tensor], shared: Set<String>, labels: [Int]?, masks: Tensor?, count: Int) {
    self.inputs = inputs
    self.shared = shared
    self.labels = labels
    self.masks = masks
    self.count = count
  }

  /// The samples in the floating-point types that the graph's inputs declare.
  func typed(for graph: Graph) throws(Failure) -> SampleSet {
    var result = self
    for id in graph.inputs {
      let name = graph[id].name
      guard let type = graph[id].declaredType?.element, type.isFloatingPoint, let tensor = inputs[name], tensor.elementType.isFloatingPoint,
        tensor.elementType != type, let cast = Op.cast(to: type).semantics
      else { continue }
      result.inputs[name] = try cast.evaluate([tensor], resultCount: 1)[0]
    }
    return result
  }

  /// The samples at `indices`.
  public func selecting(_ indices: [Int]) throws(Failure) -> SampleSet {
    var picked: [String: Tensor] = [:]
    for (name, tensor) in inputs { picked[name] = shared.contains(name) ? tensor : try tensor.selecting(indices) }
    return SampleSet(
      inputs: picked, shared: shared, labels: labels.map { all in indices.map { all[$0] } }, masks: try masks?.selecting(indices), count: indices.count)
  }

  /// The first `length` samples, or all when there are fewer.
  public func prefix(_ length: Int) throws(Failure) -> SampleSet { length >= count ? self : try selecting(Array(0..<length)) }

  /// The samples in a seeded random order, so that a file sorted by class splits into like parts.
  public func shuffled(seed: UInt64) throws(Failure) -> SampleSet {
    var random = SplitMix64(state: seed)
    return try selecting(Array(0..<count).shuffled(using: &random))
  }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014); small, seeded, the same everywhere.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
