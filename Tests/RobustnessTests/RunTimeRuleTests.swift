import Diagnostics
import Execution
import GraphIR
import GraphText
import TestSupport
import Tensors
import Testing

/// Operands that break a rule: the error has the rule's code, names node and operator, and says which numbers broke it.
/// Each is tried twice: with integers known before the run, and with all of them computed while it goes.
@Suite struct RunTimeRuleTests {
  struct Operand: Sendable {
    let element: String
    let dims: [Int]
    let values: [Double]
  }

  struct Rule: CustomStringConvertible, Sendable {
    let description: String
    /// The node, without its name; operands are %a, %b, ...
    let node: String
    let operands: [Operand]
    let code: String
    /// What the message must hold beside the node's name.
    let words: [String]

    init(_ description: String, _ node: String, _ operands: [Operand], _ code: String, _ words: String...) {
      self.description = description
      self.node = node
      self.operands = operands
      self.code = code
      self.words = words
    }
  }

  private static func f(_ dims: Int..., value: Double = 1) -> Operand {
    Operand(element: "f32", dims: dims, values: [Double](repeating: value, count: dims.reduce(1, *)))
  }
  private static func reals(_ values: Double...) -> Operand { Operand(element: "f32", dims: [values.count], values: values) }
  private static func i(_ values: Int...) -> Operand { Operand(element: "i64", dims: [values.count], values: values.map(Double.init)) }
  private static func i(_ values: [Int], _ dims: [Int]) -> Operand { Operand(element: "i64", dims: dims, values: values.map(Double.init)) }
  private static func one(_ value: Int) -> Operand { Operand(element: "i64", dims: [], values: [Double(value)]) }
  private static func real(_ value: Double) -> Operand { Operand(element: "f32", dims: [], values: [value]) }
  private static func truths(_ values: Double...) -> Operand { Operand(element: "bool", dims: [values.count], values: values) }

  private static let huge = 1 << 40
  private static let window = "kernel = [2, 2], strides = [2, 2], dilations = [1, 1], pads = [0, 0, 0, 0]"

  static let shapes: [Rule] = [
    Rule("shapes that do not broadcast", "add(%a, %b)", [f(2, 3), f(4)], "VC3005", "Add", "[2, 3]", "[4]"),
    Rule("an empty axis and a longer one", "mul(%a, %b)", [f(2, 0), f(2, 3)], "VC3005", "Mul", "[2, 0]"),
    Rule("inner sizes of a product", "matmul(%a, %b)", [f(2, 3), f(4, 5)], "VC3005", "MatMul", "3", "4"),
    Rule("inner sizes of Gemm", "gemm(%a, %b)", [f(2, 3), f(4, 5)], "VC3005", "Gemm", "3", "4"),
    Rule("labels of two sizes", "einsum(%a, %b) {equation = \"ij,jk->ik\"}", [f(2, 3), f(4, 5)], "VC3005", "Einsum"),
    Rule("channels of a convolution", "conv(%a, %b) {strides = [1], dilations = [1], pads = [0, 0]}", [f(1, 3, 8), f(4, 2, 3)], "VC3005", "Conv", "3", "2"),
    Rule("a kernel larger than its image", "conv(%a, %b) {strides = [1], dilations = [1], pads = [0, 0]}", [f(1, 3, 2), f(4, 3, 5)], "VC3005", "Conv"),
    Rule("pooling of no room", "average_pool(%a) {\(window)}", [f(1, 1, 1, 1)], "VC3005", "AveragePool"),
    Rule("scales of other channels", "layer_norm(%a, %b)", [f(2, 3), f(4)], "VC3005", "LayerNormalization", "4", "3"),
    Rule("statistics of other channels", "batch_norm(%a, %b, %b, %b, %b)", [f(2, 3, 4), f(4)], "VC3005", "BatchNormalization", "4", "3"),
    Rule("reshape to another count", "reshape(%a, %b)", [f(2, 3), i(4, 2)], "VC3005", "Reshape", "4"),
    Rule("reshape with two open sizes", "reshape(%a, %b)", [f(2, 3), i(-1, -1)], "VC3005", "Reshape"),
    Rule("reshape that does not divide", "reshape(%a, %b)", [f(2, 3), i(4, -1)], "VC3005", "Reshape"),
    Rule("reshape that divides by an empty axis", "reshape(%a, %b) {allow_zero = true}", [f(0, 3), i(0, -1)], "VC3005", "Reshape"),
    Rule("reshape to a negative size", "reshape(%a, %b)", [f(6), i(-6)], "VC3005", "Reshape", "-6"),
    Rule("expand of a longer axis", "expand(%a, %b)", [f(2, 3), i(4, 3)], "VC3005", "Expand", "[2, 3]"),
    Rule("tiles for another rank", "tile(%a, %b)", [f(2, 3), i(2)], "VC3005", "Tile"),
    Rule("negative tiles", "tile(%a, %b)", [f(2, 3), i(2, -1)], "VC3005", "Tile", "-1"),
    Rule("pads that take more than there is", "pad(%a, %b) {mode = constant}", [f(3), i(-2, -2)], "VC3005", "Pad"),
    Rule("a reflection longer than its axis", "pad(%a, %b) {mode = reflect}", [f(0), i(1, 1)], "VC3005", "Pad"),
    Rule("parts that do not add up", "split(%a, %b) {axis = 0}", [f(5), i(2, 2)], "VC3005", "Split"),
    Rule("squeeze of a longer axis", "squeeze(%a, %b)", [f(2, 1), i(0)], "VC3005", "Squeeze"),
    Rule("an axis twice", "unsqueeze(%a, %b)", [f(2), i(1, -2)], "VC3005", "Unsqueeze"),
    Rule("steps of 0", "slice(%a, %b, %b, %b, %b)", [f(5), i(0)], "VC3005", "Slice", "0"),
    Rule("an axis that a slice's tensor has not", "slice(%a, %b, %c, %d)", [f(5), i(0), i(2), i(3)], "VC3005", "Slice", "3"),
    Rule("sums along no axis", "reduce_sum(%a, %b)", [f(2, 3), i(4)], "VC3005", "ReduceSum", "4"),
    Rule("a running sum along no axis", "cum_sum(%a, %b)", [f(2, 3), one(-3)], "VC3005", "CumSum", "-3"),
    Rule("the largest of nothing", "arg_max(%a, %b)", [f(2, 0), i(1)], "VC3005", "ArgMax"),
    Rule("more than there are", "top_k(%a, %b)", [f(2, 3), i(4)], "VC3005", "TopK", "4"),
    Rule("less than none", "top_k(%a, %b)", [f(2, 3), i(-1)], "VC3005", "TopK", "-1"),
    Rule("a negative depth", "one_hot(%a, %b, %c)", [f(3), one(-4), f(2)], "VC3005", "OneHot", "-4"),
    Rule("a tensor of negative size", "constant_of_shape(%a) {type = f32, value = 1}", [i(2, -1)], "VC3005", "ConstantOfShape", "-1"),
    Rule(
      "sequences longer than their axis", "reverse_sequence(%a, %b) {time_axis = 0, batch_axis = 1}", [f(2, 3), i(1, 2, 3)], "VC6007", "ReverseSequence", "3"),
    Rule("a range that stands still", "range(%a, %b, %c)", [one(1), one(5), one(0)], "VC3005", "Range"),
    Rule(
      "a ratio of dropout beyond 1", "dropout(%a, %b, %c) {seed = 1}", [f(3), real(1.5), Operand(element: "bool", dims: [], values: [1])], "VC3005", "Dropout",
      "1.5"),
    Rule("heads that do not divide", "multi_head_attention(%a, %b, %b) {heads = 5}", [f(1, 4, 12), f(1, 4, 12)], "VC3005", "MultiHeadAttention", "12", "5"),
    Rule(
      "scales of 0", "resize(%a, _, %b) {mode = nearest, coordinates = asymmetric, nearest = floor}", [f(1, 1, 2, 2), reals(1, 1, 0, 1)], "VC3005", "Resize"),
    Rule("updates of another shape", "scatter_nd(%a, %b, %c)", [f(4, 3), i([0, 1], [2, 1]), f(2, 4)], "VC3005", "ScatterND"),
    Rule("an image that is one number", "col2im(%a, %b, %c)", [f(1, 4, 6), one(6), i(2, 2)], "VC3005", "Col2Im"),
    Rule("sizes that are one number", "resize(%a, _, _, %b) {mode = linear, coordinates = half_pixel}", [f(1, 1, 2, 2), one(4)], "VC3005", "Resize"),
    Rule("an affine grid of one number", "affine_grid(%a, %b)", [f(1, 2, 3), one(4)], "VC3005", "AffineGrid"),
    Rule("a target that is one number", "constant_of_shape(%a) {type = f32, value = 1}", [one(4)], "VC3005", "ConstantOfShape"),
    Rule("bounds that are numbers", "slice(%a, %b, %b)", [f(5), one(0)], "VC3005", "Slice"),
    Rule("blocks that do not divide", "depth_to_space(%a) {block_size = 2}", [f(1, 6, 2, 2)], "VC3005", "DepthToSpace", "6"),
  ]

  static let indices: [Rule] = [
    Rule("beyond the axis", "gather(%a, %b) {axis = 0}", [f(3), i(3)], "VC6007", "Gather", "3"),
    Rule("before the axis", "gather(%a, %b) {axis = 0}", [f(3), i(-4)], "VC6007", "Gather", "-4"),
    Rule("of an empty axis", "gather(%a, %b) {axis = 0}", [f(0), i(0)], "VC6007", "Gather", "0"),
    Rule("the least number", "gather(%a, %b) {axis = 0}", [f(3), i(Int.min / 2)], "VC6007", "Gather"),
    Rule("of elements", "gather_elements(%a, %b) {axis = 1}", [f(2, 3), i([0, 3], [2, 1])], "VC6007", "GatherElements", "3"),
    Rule("tuples", "gather_nd(%a, %b)", [f(2, 3), i([1, 3], [1, 2])], "VC6007", "GatherND", "3"),
    Rule("scattered", "scatter_elements(%a, %b, %c) {axis = 0}", [f(3), i(5), f(1)], "VC6007", "ScatterElements", "5"),
    Rule("scattered tuples", "scatter_nd(%a, %b, %c)", [f(4, 3), i([4], [1, 1]), f(1, 3)], "VC6007", "ScatterND", "4"),
    Rule("of a cache", "tensor_scatter(%a, %b, %c) {axis = 1}", [f(1, 3, 2), f(1, 1, 2), i(3)], "VC6007", "TensorScatter", "3"),
    Rule("of classes", "nll_loss(%a, %b)", [f(2, 3), i(1, 7)], "VC6007", "NegativeLogLikelihoodLoss", "7"),
    Rule(
      "of an unpooled image", "max_unpool(%a, %b) {\(window)}", [f(1, 1, 1, 1), i([99], [1, 1, 1, 1])], "VC6007", "MaxUnpool", "99"),
    Rule("of images", "roi_align(%a, %b, %c) {output_height = 2, output_width = 2}", [f(1, 1, 4, 4), f(1, 4), i(7)], "VC6007", "RoiAlign", "7"),
    Rule(
      "of positions", "microsoft_rotary_embedding(%a, %b, %c, %c)", [f(1, 1, 4), i([9], [1, 1]), f(3, 2)], "VC6007", "RotaryEmbedding", "9"),
  ]

  static let sizes: [Rule] = [
    Rule("expansion", "expand(%a, %b)", [f(1), i(huge, huge)], "VC", "Expand"),
    Rule("expansion beyond memory", "expand(%a, %b)", [f(1), i(huge)], "VC", "Expand"),
    Rule("constants", "constant_of_shape(%a) {type = f32, value = 1}", [i(huge, huge)], "VC", "ConstantOfShape"),
    Rule("constants beyond memory", "constant_of_shape(%a) {type = f32, value = 1}", [i(huge)], "VC", "ConstantOfShape"),
    Rule("tiles", "tile(%a, %b)", [f(4, 4), i(huge, huge)], "VC", "Tile"),
    Rule("tiles of the largest number", "tile(%a, %b)", [f(4), i(Int.max / 2)], "VC", "Tile"),
    Rule("pads", "pad(%a, %b) {mode = constant}", [f(3), i(huge, Int.max / 2)], "VC", "Pad"),
    Rule("pads beyond memory", "pad(%a, %b) {mode = edge}", [f(3), i(huge, 0)], "VC", "Pad"),
    Rule("a range", "range(%a, %b, %c)", [one(0), one(huge), one(1)], "VC", "Range"),
    Rule("a range of reals", "range(%a, %b, %c)", [real(0), real(1e30), real(1e-30)], "VC", "Range"),
    Rule("a depth", "one_hot(%a, %b, %c)", [f(3), one(huge), f(2)], "VC", "OneHot"),
    Rule("a picture", "resize(%a, _, _, %b) {mode = linear, coordinates = half_pixel}", [f(1, 1, 2, 2), i(1, 1, huge, huge)], "VC", "Resize"),
    Rule(
      "a picture by its scale", "resize(%a, _, %b) {mode = nearest, coordinates = asymmetric, nearest = floor}", [f(1, 1, 2, 2), reals(1, 1, 1e20, 1e20)],
      "VC", "Resize"),
    Rule("an unpooled image", "max_unpool(%a, %b, %c) {\(window)}", [f(1, 1, 1, 1), i([0], [1, 1, 1, 1]), i(1, 1, huge, huge)], "VC", "MaxUnpool"),
    Rule("columns", "col2im(%a, %b, %c)", [f(1, 4, 4), i(huge, huge), i(2, 2)], "VC", "Col2Im"),
    Rule("a crop", "center_crop_pad(%a, %b)", [f(2, 2), i(huge, huge)], "VC", "CenterCropPad"),
    Rule(
      "crops of regions", "roi_align(%a, %b, %c) {output_height = 1099511627776, output_width = 1099511627776}", [f(1, 1, 4, 4), f(1, 4), i(0)], "VC",
      "RoiAlign"),
    Rule("an affine grid", "affine_grid(%a, %b)", [f(1, 2, 3), i(1, 1, huge, huge)], "VC", "AffineGrid"),
    Rule("a window of a signal", "hann_window(%a)", [one(huge)], "VC", "HannWindow"),
    Rule("draws", "multinomial(%a) {samples = 1099511627776, type = i32, seed = 0}", [f(1, 3)], "VC", "Multinomial"),
  ]

  static let arithmetic: [Rule] = [
    Rule("division by 0", "div(%a, %b)", [i(1, 2), i(1, 0)], "VC6001", "Div", "zero"),
    Rule("a remainder by 0", "mod(%a, %b)", [i(1, 2), i(1, 0)], "VC6001", "Mod", "zero"),
  ]

  /// The graph; integers stand in it, or come in as inputs of unknown shape.
  private func run(_ rule: Rule, isKnown: Bool) throws(Failure) {
    var inputs: [String: Tensor] = [:]
    var ports: [String] = []
    var lines: [String] = []
    for (index, operand) in rule.operands.enumerated() {
      let name = ["a", "b", "c", "d"][index]
      let isInteger = operand.element != "f32"
      let tensor: Tensor
      switch operand.element {
      case "f32": tensor = try Tensor(float32: operand.values.map { Float($0) }, dims: operand.dims)
      case "bool": tensor = try Tensor(.bool, dims: operand.dims, values: operand.values.map { UInt8($0) })
      default: tensor = try Tensor(int64: operand.values.map { Int64($0) }, dims: operand.dims)
      }
      if isKnown, isInteger {
        lines.append("  %\(name) = constant [\(operand.values.map { String(Int($0)) }.joined(separator: ", "))] : \(operand.element)\(operand.dims)")
      } else {
        ports.append("%\(name): \(operand.element)[*]")
        inputs[name] = tensor
      }
    }
    let results = rule.node.hasPrefix("top_k") || rule.node.hasPrefix("split") ? "%y, %z" : "%y"
    let text = "graph %g(\(ports.joined(separator: ", "))) -> (%y) {\n\(lines.joined(separator: "\n"))\n  \(results) = \(rule.node) @\"the node\"\n}\n"
    var options = RunOptions(threads: 1)
    options.timeLimit = 10
    _ = try Executor(try GraphParser.parse(text), options: options).run(inputs)
  }

  @Test(arguments: shapes + indices + sizes + arithmetic, [true, false]) func theErrorNamesNodeOperatorAndRule(_ rule: Rule, _ isKnown: Bool) {
    do throws(Failure) {
      try run(rule, isKnown: isKnown)
      Issue.record("it ran")
    } catch {
      #expect(error.code.id.hasPrefix(rule.code), "\(error)")
      #expect(error.code != .internalError, "\(error)")
      #expect(error.code.exitCode == 3, "\(error)")
      #expect(error.at.element == "the node", "\(error)")
      for word in rule.words { #expect(error.message.contains(word), "\(error) does not say \(word)") }
    }
  }
}
