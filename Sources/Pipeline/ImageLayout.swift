internal import Diagnostics
internal import GraphIR
internal import Inference
internal import Tensors

/// The order of axes of images at a model's inputs and outputs.
public enum ImageLayout: String, Sendable, CaseIterable {
  /// As the model has it.
  case keep
  /// Channels first: (batch, channel, height, width).
  case nchw

  /// The graph with images in this layout. Which inputs and outputs of rank 4 are images with channels last is told by what
  /// is done to them: whether they are brought to channels first for an operator that wants them so, or come from one. An
  /// input of few channels behind larger axes counts as one in any case.
  func applied(to graph: Graph, shapes: [String: [Int]] = [:]) throws(Failure) -> Graph {
    guard self == .nchw else { return graph }
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, inputShapes: shapes, sink: &sink)
    let change = LayoutChange(graph: graph, typed: typed, uses: Uses(graph))
    let inputs = graph.inputs.filter(change.isImage(input:))
    let outputs = graph.outputs.filter(change.isImage(output:))
    if inputs.isEmpty, outputs.isEmpty { return graph }
    return try change.applied(inputs, outputs)
  }
}

private struct LayoutChange {
  let graph: Graph
  let typed: TypedGraph
  let uses: Uses

  private static let toFirst = [0, 3, 1, 2]
  private static let toLast = [0, 2, 3, 1]
  /// More channels than a picture has.
  private static let pictureChannels = 4
  private static let stepLimit = 64

  private func order(of id: NodeID) -> [Int]? { if case .layout(.transpose(let order)) = graph[id].op { order } else { nil } }

  /// Whether a node changes elements and nothing about where they lie, or moves them along the image's own axes.
  private func keepsAxes(_ id: NodeID) -> Bool {
    switch graph[id].op {
    case .unary, .clip, .cast, .layout(.pad), .layout(.slice): true
    case .binary: graph[id].inputs.compactMap { $0 }.contains { graph.constant($0) != nil }
    default: false
    }
  }

  func isImage(input: ValueID) -> Bool {
    guard let dims = typed.shape(of: input)?.dims, dims.count == 4, typed.type(of: input)?.element != .bool else { return false }
    var stack = [input]
    for _ in 0..<LayoutChange.stepLimit {
      guard let value = stack.popLast() else { break }
      for reader in uses.readers(of: value) {
        if order(of: reader) == LayoutChange.toFirst { return true }
        if case .convolution = graph[reader].op { return false }
        if keepsAxes(reader), let result = graph[reader].output(0) { stack.append(result) }
      }
    }
    guard let channels = dims[3].value, channels <= LayoutChange.pictureChannels else { return false }
    return dims[1...2].allSatisfy { $0.value.map { $0 > LayoutChange.pictureChannels } ?? true }
  }

  func isImage(output: ValueID) -> Bool {
    guard typed.shape(of: output)?.rank == 4 else { return false }
    var value = output
    for _ in 0..<LayoutChange.stepLimit {
      guard let producer = graph.producer(of: value) else { return false }
      if order(of: producer) == LayoutChange.toLast { return true }
      let isSum = if case .binary = graph[producer].op { true } else { false }
      guard keepsAxes(producer) || isSum,
        let next = graph[producer].inputs.compactMap({ $0 }).first(where: { graph.constant($0) == nil && typed.shape(of: $0)?.rank == 4 })
      else { return false }
      value = next
    }
    return false
  }

  func applied(_ inputs: [ValueID], _ outputs: [ValueID]) throws(Failure) -> Graph {
    var patch = Patch(graph)
    for old in inputs {
      guard let type = typed.type(of: old), let dims = type.shape?.dims else { continue }
      let new = try patch.retypeInput(old, TensorType(type.element, Shape(LayoutChange.toFirst.map { dims[$0] })))
      patch.replace(old, with: patch.add(.layout(.transpose(LayoutChange.toLast)), [new], name: "\(graph[old].name)/ChannelsLast"))
      // There and back again is nothing.
      for reader in uses.readers(of: old) where order(of: reader) == LayoutChange.toFirst {
        if let result = graph[reader].output(0), !uses.isOutput(result) { patch.replace(result, with: new) }
      }
    }
    for old in Set(outputs).sorted() {
      guard let type = typed.type(of: old), let dims = type.shape?.dims else { continue }
      let declared = TensorType(type.element, Shape(LayoutChange.toFirst.map { dims[$0] }))
      let new: ValueID
      if let source = channelsFirstSource(of: old) {
        new = patch.add(.unary(.identity), [source], name: "\(graph[old].name)/ChannelsFirst")
      } else {
        new = patch.add(.layout(.transpose(LayoutChange.toFirst)), [old], name: "\(graph[old].name)/ChannelsFirst")
      }
      patch.declare(new, declared)
      patch.replaceOutput(old, with: new)
    }
    return try patch.commit()
  }

  /// The value that an output is with its channels moved to the end.
  private func channelsFirstSource(of output: ValueID) -> ValueID? {
    var value = output
    while let producer = graph.producer(of: value) {
      if graph[producer].op == .unary(.identity), let next = graph[producer].input(0) {
        value = next
      } else {
        return order(of: producer) == LayoutChange.toLast ? graph[producer].input(0) : nil
      }
    }
    return nil
  }
}
