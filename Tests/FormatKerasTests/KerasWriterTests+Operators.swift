import Diagnostics
import FormatKeras
import Foundation
import GraphText
import Testing

/// Operators that become one layer with weights of another order, or that have to stay as they are.
extension KerasWriterTests {
  @Test(arguments: [
    // Both directions, all results, states that are inputs.
    """
    graph %g(%x: f32[5, batch, 3], %h0: f32[2, batch, 4], %c0: f32[2, batch, 4]) -> (%y, %h, %c) {
      %w = weight : f32[2, 16, 3]
      %r = weight : f32[2, 16, 4]
      %b = weight : f32[2, 32]
      %y, %h, %c = lstm(%x, %w, %r, %b, _, %h0, %c0) {direction = bidirectional} @"rnn/lstm"
    }
    """,
    // Backwards and samples first; Keras gives such a sequence in the order in which it is made.
    """
    graph %g(%x: f32[batch, 4, 3]) -> (%y) {
      %w = weight : f32[1, 6, 3]
      %r = weight : f32[1, 6, 2]
      %b = weight : f32[1, 12]
      %y = gru(%x, %w, %r, %b) {direction = reverse, layout = 1, linear_before_reset = 1}
    }
    """,
    // The last state alone, from a state that is the same for each sample; the reset gate before the product.
    """
    graph %g(%x: f32[batch, 4, 3]) -> (%y) {
      %w = weight : f32[1, 6, 3]
      %r = weight : f32[1, 6, 2]
      %b = weight : f32[1, 12]
      %h0 = constant [0.5, -0.25] : f32[1, 1, 2]
      %t = transpose(%x) {perm = [1, 0, 2]}
      %s = shape(%t) {start = 1, end = 2}
      %one = constant [1] : i64[1]
      %two = constant [2] : i64[1]
      %dims = concat(%one, %s, %two) {axis = 0}
      %h = expand(%h0, %dims)
      _, %y = gru(%t, %w, %r, %b, _, %h)
    }
    """,
    // Sequences of their own lengths, without a bias.
    """
    graph %g(%x: f32[batch, 4, 3], %n: i32[batch]) -> (%y, %h) {
      %w = weight : f32[1, 2, 3]
      %r = weight : f32[1, 2, 2]
      %t = transpose(%x) {perm = [1, 0, 2]}
      %y, %h = rnn(%t, %w, %r, _, %n) {activations = ["Softsign"]}
    }
    """,
  ])
  func recurrentOperatorsAreLayers(_ text: String) throws {
    let graph = try GraphParser.parse(text)
    try Self.written(graph, as: .archive) { path in
      try Self.agrees(path, with: graph)
      let config = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: Unicode.ASCII.self)
      #expect(["\"LSTM\"", "\"GRU\"", "\"SimpleRNN\""].contains { config.contains("\"class_name\": \($0)") })
    }
  }

  @Test(arguments: [
    ("lstm(%x, %w, %r, _, _, _, _, %p)", "peepholes"), ("lstm(%x, %w, %r) {clip = 2.0}", "clips"),
    ("lstm(%x, %w, %r) {activations = [\"Sigmoid\", \"Tanh\", \"Relu\"]}", "activations of their own"),
    ("lstm(%x, %w, %r) {activations = [\"HardSigmoid\", \"Tanh\", \"Tanh\"]}", "HardSigmoid"),
  ])
  func whatNoRecurrentLayerSaysIsRefused(_ call: String, _ reason: String) throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[3, batch, 2]) -> (%y) {
        %w = weight : f32[1, 8, 2]
        %r = weight : f32[1, 8, 2]
        %p = weight : f32[1, 6]
        %y = \(call) @"the cell"
      }
      """)
    let failure = #expect(throws: Failure.self) { try Self.written(graph, as: .archive) { _ in } }
    #expect(failure?.code == .notExpressible && failure?.at.element == "the cell" && failure?.message.contains(reason) == true)
  }

  /// A row of scores that is hidden as a whole is zero, not a number that is none.
  @Test(arguments: [("1, 1, 0, 0, 0, 0, 1, 1, 1", true), ("1, 1, 0, 0, 1, 0, 1, 1, 1", false)])
  func hiddenRowsStayZero(_ mask: String, _ isGuarded: Bool) throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%q: f32[batch, 2, 3, 4], %k: f32[batch, 2, 3, 4], %v: f32[batch, 2, 3, 4]) -> (%y) opset("" 23) {
        %mask = constant [\(mask)] : bool[3, 3]
        %y = attention(%q, %k, %v, %mask)
      }
      """)
    try Self.written(graph, as: .archive) { path in
      try Self.agrees(path, with: graph)
      let config = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: Unicode.ASCII.self)
      #expect(config.contains("\"class_name\": \"Isnan\"") == isGuarded)
    }
  }

  /// Keras samples images at half pixels; other ways are products with the kernel's weights.
  @Test(arguments: [
    ("linear", "half_pixel", "floor", "Resizing"), ("nearest", "half_pixel", "round_prefer_ceil", "Resizing"),
    ("nearest", "asymmetric", "floor", "EinsumDense"), ("linear", "align_corners", "floor", "EinsumDense"), ("cubic", "half_pixel", "floor", "EinsumDense"),
  ])
  func imagesAreResizedByUnevenFactors(_ mode: String, _ coordinates: String, _ nearest: String, _ className: String) throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[batch, 2, 5, 7]) -> (%y: f32[batch, 2, 8, 3]) {
        %shape = shape(%x) {end = 2}
        %size = constant [8, 3] : i64[2]
        %sizes = concat(%shape, %size) {axis = 0}
        %y = resize(%x, _, _, %sizes) {mode = \(mode), coordinates = \(coordinates), nearest = \(nearest)}
      }
      """)
    try Self.written(graph, as: .archive) { path in
      try Self.agrees(path, with: graph)
      let config = String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: Unicode.ASCII.self)
      #expect(config.contains("\"class_name\": \"\(className)\""))
    }
  }

  /// Keras takes strides or dilation, not both.
  @Test func dilatedConvolutionsMayHaveStrides() throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[batch, 2, 9, 10]) -> (%y) {
        %w = weight : f32[4, 1, 3, 2]
        %y = conv(%x, %w) {kernel = [3, 2], strides = [2, 3], dilations = [2, 2], pads = [1, 2, 0, 1], groups = 2}
      }
      """)
    for container in [KerasWriter.Container.archive, .wholeModel] {
      try Self.written(graph, as: container) { path in try Self.agrees(path, with: graph) }
    }
  }

  /// One HDF5 file holds layers alone: products of two tensors and sums are among them.
  @Test func layersComputeAttentionInParts() throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%q: f32[batch, 2, 3, 4], %k: f32[batch, 2, 5, 4], %v: f32[batch, 2, 5, 4]) -> (%y, %s) {
        %t = transpose(%k) {perm = [0, 1, 3, 2]}
        %scores = matmul(%q, %t)
        %p = softmax(%scores)
        %y = matmul(%p, %v)
        %axes = constant [1, 3] : i64[2]
        %s = reduce_mean(%y, %axes) {keep_dims = false}
      }
      """)
    try Self.written(graph, as: .wholeModel) { path in try Self.agrees(path, with: graph) }
  }

  /// Rows that constant indices name, a tensor repeated beside an open axis, means over windows that padding is no part of.
  @Test(arguments: [
    """
    graph %g(%x: f32[2, 3, 4], %u: f32[2, 4]) -> (%y, %z) {
      %where = constant [0, 2, 1, -1, 0, 0] : i64[3, 2]
      %y = gather_nd(%x, %where)
      %places = constant [1, 0, 0, 2] : i64[2, 2]
      %z = scatter_nd(%x, %places, %u)
    }
    """,
    """
    graph %g(%x: f32[batch, 1, 3]) -> (%y) {
      %s = shape(%x) {end = 1}
      %rest = constant [4, 3] : i64[2]
      %dims = concat(%s, %rest) {axis = 0}
      %y = expand(%x, %dims)
    }
    """,
    """
    graph %g(%x: f32[batch, 2, 5, 6]) -> (%y) {
      %y = average_pool(%x) {kernel = [3, 2], strides = [2, 2], dilations = [1, 1], pads = [1, 0, 1, 1]}
    }
    """,
    """
    graph %g(%x: f32[batch, 3, 4]) -> (%v, %i, %y) {
      %k = constant [2] : i64[1]
      %v, %i = top_k(%x, %k)
      %start = constant [-1] : i64[1]
      %end = constant [-9223372036854775807] : i64[1]
      %axis = constant [1] : i64[1]
      %y = slice(%x, %start, %end, %axis, %start)
    }
    """,
    // Tokens that are the same for each sample go through a product before they meet the input.
    """
    graph %g(%x: f32[batch, 3, 2]) -> (%y) {
      %tokens = constant [1.0, -2.0, 0.5, 3.0] : f32[1, 2, 2]
      %w = constant [0.5, 1.0, -1.5, 2.0] : f32[2, 2]
      %s = shape(%x) {end = 1}
      %rest = constant [2, 2] : i64[2]
      %dims = concat(%s, %rest) {axis = 0}
      %all = expand(%tokens, %dims)
      %p = matmul(%all, %w)
      %y = concat(%p, %x) {axis = 1}
    }
    """,
  ])
  func partsAndRepetitionsFindTheirLayers(_ text: String) throws {
    let graph = try GraphParser.parse(text)
    try Self.written(graph, as: .archive) { path in try Self.agrees(path, with: graph) }
  }

  /// A factor that leads to no whole size: 5 * 1.5 = 7 elements, sampled as 1.5 says.
  @Test func axesAreResizedByFactors() throws {
    let graph = try GraphParser.parse(
      """
      graph %g(%x: f32[batch, 5, 2]) -> (%y) {
        %factors = constant [1.0, 1.5, 1.0] : f32[3]
        %y = resize(%x, _, %factors) {mode = linear, coordinates = half_pixel}
      }
      """)
    try Self.written(graph, as: .archive) { path in try Self.agrees(path, with: graph) }
  }
}
