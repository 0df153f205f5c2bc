import Diagnostics
import FormatKeras
import GraphText
import Testing

/// Operators that read and write at places, which Keras tells by indices of rows.
extension KerasWriterTests {
  @Test(arguments: [
    "%y = grid_sample(%x, %g)", "%y = grid_sample(%x, %g) {mode = nearest, align_corners = 1}",
    "%y = grid_sample(%x, %g) {padding_mode = border}", "%y = grid_sample(%x, %g) {padding_mode = reflection}",
    "%y = grid_sample(%x, %g) {mode = nearest, padding_mode = reflection, align_corners = 1}",
  ])
  func gridsAreSampledByRows(_ statement: String) throws {
    try Self.survives("graph %g(%x: f32[batch, 3, 4, 5], %g: f32[batch, 2, 3, 2]) -> (%y) {\n\(statement)\n}")
  }

  @Test(arguments: [
    "strides = [1, 1], pads = [1, 1, 1, 1]", "strides = [2, 1], pads = [0, 1, 0, 1]", "strides = [1, 2], pads = [1, 2, 1, 2], dilations = [2, 2]",
  ])
  func overlappingBlocksAreATransposedConvolution(_ windows: String) throws {
    let counts = ["strides = [1, 1], pads = [1, 1, 1, 1]": 30, "strides = [2, 1], pads = [0, 1, 0, 1]": 12]
    try Self.survives(
      """
      graph %g(%x: f32[batch, 18, \(counts[windows] ?? 9)]) -> (%y) {
        %image = constant [5, 6] : i64[2]
        %block = constant [3, 3] : i64[2]
        %y = col2im(%x, %image, %block) {\(windows)}
      }
      """)
  }

  @Test(arguments: [
    // Positions along an axis in the middle, an operand that reaches less far than the data, and sums.
    "graph %g(%x: f32[batch, 3, 4], %i: i32[batch, 1, 4], %u: f32[batch, 1, 4]) -> (%y) {\n%y = scatter_elements(%x, %i, %u) {axis = 1}\n}",
    "graph %g(%x: f32[batch, 5, 4], %i: i32[batch, 1, 2], %u: f32[batch, 1, 2]) -> (%y) {\n%y = scatter_elements(%x, %i, %u) {axis = 1, reduction = add}\n}",
    "graph %g(%x: f32[batch, 5, 3], %i: i32[batch, 2, 2]) -> (%y) {\n%y = gather_elements(%x, %i) {axis = 1}\n}",
    "graph %g(%x: f32[batch, 4, 5, 3], %i: i32[batch, 6, 2]) -> (%y) {\n%l = cast(%i) {to = i64}\n%y = gather_nd(%x, %l) {batch_dims = 1}\n}",
    "graph %g(%x: f32[batch, 3, 4], %i: i32[1, 2], %u: f32[1, 4]) -> (%y) {\n%l = cast(%i) {to = i64}\n%y = scatter_nd(%x, %l, %u)\n}",
    // Tables that are constants.
    "graph %g(%i: i32[batch, 4]) -> (%y) {\n%t = constant [5, 7, 9] : i64[3]\n%y = gather(%t, %i) {axis = 0}\n}",
    "graph %g(%i: i32[batch, 4]) -> (%y) {\n%t = weight : f32[3, 2, 5]\n%y = gather(%t, %i) {axis = 0}\n}",
    "graph %g(%i: i32[1, 4]) -> (%y) {\n%t = constant [1, 2, 3] : f32[1, 3]\n%y = gather_elements(%t, %i) {axis = 1}\n}",
    // The smallest, and along another axis than the last; borders repeated and cut off.
    "graph %g(%x: f32[batch, 5, 3]) -> (%y, %i) {\n%k = constant [2] : i64[1]\n%y, %i = top_k(%x, %k) {axis = 1, smallest = true}\n}",
    "graph %g(%x: f32[batch, 5, 6]) -> (%y) {\n%w = constant [0, 2, 0, 0, 1, 3] : i64[6]\n%y = pad(%x, %w) {mode = edge}\n}",
    "graph %g(%x: f32[batch, 5, 6]) -> (%y) {\n%w = constant [0, -1, 2, 0, 1, -2] : i64[6]\n%y = pad(%x, %w)\n}",
    // Whole numbers joined to what comes in.
    "graph %g(%x: i32[batch, 3]) -> (%y) {\n%c = constant [7] : i32[1]\n%s = shape(%x) {end = 1}\n%one = constant [1] : i64[1]\n"
      + "%d = concat(%s, %one) {axis = 0}\n%e = expand(%c, %d)\n%y = concat(%e, %x) {axis = 1}\n}",
  ])
  func placesBecomeIndicesOfRows(_ text: String) throws { try Self.survives(text) }

  @Test func cubicSamplingIsRefusedByName() throws {
    let graph = try GraphParser.parse(
      "graph %g(%x: f32[batch, 3, 4, 5], %g: f32[batch, 2, 3, 2]) -> (%y) {\n%y = grid_sample(%x, %g) {mode = cubic} @\"warp\"\n}")
    let failure = #expect(throws: Failure.self) { try Self.written(graph, as: .archive) { _ in } }
    #expect(failure?.code == .notExpressible && failure?.at.element == "warp")
  }

  private static func survives(_ text: String) throws {
    let graph = try GraphParser.parse(text)
    try written(graph, as: .archive) { path in try agrees(path, with: graph) }
  }
}
