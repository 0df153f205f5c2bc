internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that run bodies: how their attributes are read, and written.
enum ControlRules {
  static func reads(domain: String, opType: String) -> Bool {
    switch domain {
    case "": ["If", "Loop", "Scan", "SequenceMap"].contains(opType)
    case preview: opType == "FlexAttention"
    default: false
    }
  }

  static let preview = "ai.onnx.preview"

  /// - Parameter bodies: the graphs among the attributes, by name.
  static func read(_ view: inout NodeView, _ bodies: [String: Subgraph]) throws(Failure) -> Translation {
    let (inputs, outputs) = (view.message.inputs.count, view.message.outputs.count)
    func body(_ name: String) throws(Failure) -> Subgraph {
      guard let body = bodies[name] else { throw view.bad(name, "is missing") }
      return body
    }
    switch view.message.opType {
    case "If":
      view.ignore("then_branch", "else_branch")
      let (then, otherwise) = (try body("then_branch"), try body("else_branch"))
      for branch in [then, otherwise] where !branch.formals.isEmpty || branch.graph.outputs.count < outputs {
        return .unsupported("a branch of \(branch.formals.count) inputs and \(branch.graph.outputs.count) outputs")
      }
      return .steps([.init(.control(.branch(then: then, otherwise: otherwise)), [])])
    case "Loop":
      view.ignore("body")
      let body = try body("body")
      let carried = max(inputs - 2, 0)
      guard body.formals.count == carried + 2, body.graph.outputs.count >= carried + 1, body.graph.outputs.count - 1 >= outputs else {
        return .unsupported("a body of \(body.formals.count) inputs and \(body.graph.outputs.count) outputs for \(carried) carried values")
      }
      return .steps([.init(.control(.loop(body)), [])])
    case "Scan": return try scan(&view, try body("body"))
    case "SequenceMap":
      view.ignore("body")
      let body = try body("body")
      guard body.formals.count == inputs, body.graph.outputs.count >= outputs else {
        return .unsupported("a body of \(body.formals.count) inputs for \(inputs) operands")
      }
      return .steps([.init(.control(.map(body)), [])])
    case "FlexAttention":
      view.ignore("score_mod", "prob_mod")
      guard inputs == 3, outputs == 1, bodies.values.allSatisfy({ $0.formals.count == 1 && $0.graph.outputs.count == 1 }) else {
        return .unsupported("\(inputs) operands, or a modifier that does not map one value to one")
      }
      var precision: ElementType?
      if let number = try view.int("softmax_precision") {
        guard let raw = UInt8(exactly: number), let element = ElementType(rawValue: raw), element.isFloatingPoint else {
          throw view.bad("softmax_precision", "is no floating-point type")
        }
        precision = element
      }
      let op = FlexAttentionOp(
        scoreModifier: bodies["score_mod"], probabilityModifier: bodies["prob_mod"], scale: try view.float("scale"), precision: precision)
      return .steps([.init(.control(.flexAttention(op)), [])])
    default: return .unsupported("it carries subgraphs")
    }
  }

  private static func scan(_ view: inout NodeView, _ body: Subgraph) throws(Failure) -> Translation {
    view.ignore("body")
    let isBatched = view.version < 9
    guard let scanned = try view.int("num_scan_inputs"), scanned >= 1 else { throw view.bad("num_scan_inputs", "is missing or not positive") }
    let states = view.message.inputs.count - (isBatched ? 1 : 0) - scanned
    let made = body.graph.outputs.count - states
    guard states >= 0, made >= 0, body.formals.count == states + scanned, body.graph.outputs.count >= view.message.outputs.count else {
      return .unsupported("a body of \(body.formals.count) inputs and \(body.graph.outputs.count) outputs for \(states) states and \(scanned) scanned values")
    }
    func list(_ name: String, _ count: Int) throws(Failure) -> [Int] {
      guard let given = try view.ints(name), !given.isEmpty else { return [Int](repeating: 0, count: count) }
      guard given.count == count else { throw view.bad(name, "has \(given.count) entries for \(count)") }
      return given
    }
    let result: ScanOp
    if isBatched {
      result = ScanOp(
        body: body, inputAxes: [Int](repeating: 0, count: scanned), outputAxes: [Int](repeating: 0, count: made),
        inputsReversed: try list("directions", scanned).map { $0 != 0 }, outputsReversed: [Bool](repeating: false, count: made), isBatched: true)
    } else {
      result = ScanOp(
        body: body, inputAxes: try list("scan_input_axes", scanned), outputAxes: try list("scan_output_axes", made),
        inputsReversed: try list("scan_input_directions", scanned).map { $0 != 0 },
        outputsReversed: try list("scan_output_directions", made).map { $0 != 0 })
    }
    return .steps([.init(.control(.scan(result)), [])])
  }
}

extension SpellingRequest {
  /// Bodies are written by `GraphEmission`, which knows the names of captured values; here stand the other attributes.
  func spelling(of op: ControlOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .branch(let then, let otherwise): return try plain("If", [("then_branch", .graph(then)), ("else_branch", .graph(otherwise))])
    case .loop(let body): return try plain("Loop", [("body", .graph(body))])
    case .map(let body): return try plain("SequenceMap", since: 17, [("body", .graph(body))])
    case .flexAttention(let op):
      var attributes: [(name: String, value: OperatorSpelling.Attribute)] = []
      if let body = op.scoreModifier { attributes.append(("score_mod", .graph(body))) }
      if let body = op.probabilityModifier { attributes.append(("prob_mod", .graph(body))) }
      if let scale = op.scale { attributes.append(("scale", .float(scale))) }
      if let precision = op.precision { attributes.append(("softmax_precision", .int(Int(precision.rawValue)))) }
      return OperatorSpelling("FlexAttention", domain: ControlRules.preview, attributes, operands: node.inputs)
    case .scan(let scan):
      var attributes: [(name: String, value: OperatorSpelling.Attribute)] = [("body", .graph(scan.body)), ("num_scan_inputs", .int(scan.inputAxes.count))]
      func put(_ name: String, _ list: [Int]) { if list.contains(where: { $0 != 0 }) { attributes.append((name, .ints(list))) } }
      if scan.isBatched {
        guard version == 8 else {
          throw Failure(.notExpressible, "Scan over batches is of operator set 8, and the model imports \(version)", at: .element(node.name))
        }
        put("directions", scan.inputsReversed.map { $0 ? 1 : 0 })
        return OperatorSpelling("Scan", attributes, operands: node.inputs)
      }
      put("scan_input_axes", scan.inputAxes)
      put("scan_output_axes", scan.outputAxes)
      put("scan_input_directions", scan.inputsReversed.map { $0 ? 1 : 0 })
      put("scan_output_directions", scan.outputsReversed.map { $0 ? 1 : 0 })
      return try plain("Scan", since: 9, attributes)
    }
  }
}
