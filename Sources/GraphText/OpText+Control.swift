internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators that run bodies, and those on sequences. The bodies themselves stand behind the node: see `GraphPrinter`.
extension OpSpelling {
  mutating func spell(_ control: ControlOp) {
    switch control {
    case .branch: mnemonic = "if"
    case .loop: mnemonic = "loop"
    case .map: mnemonic = "sequence_map"
    case .flexAttention(let op):
      mnemonic = "flex_attention"
      flag("score_modifier", op.scoreModifier != nil)
      flag("probability_modifier", op.probabilityModifier != nil)
      number("scale", op.scale)
      if let precision = op.precision { put("precision", .word(TypeText.spelled(precision))) }
    case .scan(let scan):
      mnemonic = "scan"
      list("input_axes", scan.inputAxes)
      list("output_axes", scan.outputAxes)
      if scan.inputsReversed.contains(true) { list("inputs_reversed", scan.inputsReversed.map { $0 ? 1 : 0 }) }
      if scan.outputsReversed.contains(true) { list("outputs_reversed", scan.outputsReversed.map { $0 ? 1 : 0 }) }
      flag("batched", scan.isBatched)
    }
  }

  mutating func spell(_ call: CallOp) {
    mnemonic = "call"
    put("domain", .string(call.domain))
    put("name", .string(call.name))
    if !call.overload.isEmpty { put("overload", .string(call.overload)) }
  }

  mutating func spell(_ sequence: SequenceOp) {
    switch sequence {
    case .empty(let element):
      mnemonic = "sequence_empty"
      put("type", .word(TypeText.spelled(element)))
    case .construct: mnemonic = "sequence_construct"
    case .at: mnemonic = "sequence_at"
    case .insert: mnemonic = "sequence_insert"
    case .erase: mnemonic = "sequence_erase"
    case .length: mnemonic = "sequence_length"
    case .split(let axis, let keepsAxis):
      mnemonic = "split_to_sequence"
      integer("axis", axis, unless: 0)
      flag("drop_axis", !keepsAxis)
    case .concat(let axis, let newAxis):
      mnemonic = "concat_from_sequence"
      integer("axis", axis)
      flag("new_axis", newAxis)
    case .optional: mnemonic = "optional"
    case .hasElement: mnemonic = "optional_has_element"
    case .getElement: mnemonic = "optional_get_element"
    }
  }
}

extension OpReading {
  static func sequence(_ mnemonic: String, _ attributes: inout AttributeReader) throws(Failure) -> Op? {
    switch mnemonic {
    case "sequence_empty": .sequence(.empty(try elementType("type", &attributes)))
    case "sequence_construct": .sequence(.construct)
    case "sequence_at": .sequence(.at)
    case "sequence_insert": .sequence(.insert)
    case "sequence_erase": .sequence(.erase)
    case "sequence_length": .sequence(.length)
    case "split_to_sequence": .sequence(.split(axis: try attributes.int("axis", default: 0), keepsAxis: !(try attributes.flag("drop_axis"))))
    case "concat_from_sequence": .sequence(.concat(axis: try attributes.int("axis"), newAxis: try attributes.flag("new_axis")))
    case "optional": .sequence(.optional)
    case "optional_has_element": .sequence(.hasElement)
    case "optional_get_element": .sequence(.getElement)
    default: nil
    }
  }

  static func control(_ mnemonic: String, _ attributes: inout AttributeReader, _ bodies: [Subgraph]) throws(Failure) -> Op? {
    func expect(_ count: Int) throws(Failure) {
      guard bodies.count == count else { throw Failure(.graphText, "'\(mnemonic)' has \(bodies.count) bodies and takes \(count)") }
    }
    switch mnemonic {
    case "if":
      try expect(2)
      return .control(.branch(then: bodies[0], otherwise: bodies[1]))
    case "loop":
      try expect(1)
      return .control(.loop(bodies[0]))
    case "sequence_map":
      try expect(1)
      return .control(.map(bodies[0]))
    case "flex_attention":
      let (score, probability) = (try attributes.flag("score_modifier"), try attributes.flag("probability_modifier"))
      try expect((score ? 1 : 0) + (probability ? 1 : 0))
      let scale = try attributes.optionalFloat("scale")
      var precision: ElementType?
      if let word = try attributes.word("precision") {
        guard let element = TypeText.element(word) else { throw Failure(.graphText, "the attribute 'precision' is no element type") }
        precision = element
      }
      return .control(
        .flexAttention(
          FlexAttentionOp(scoreModifier: score ? bodies[0] : nil, probabilityModifier: probability ? bodies.last : nil, scale: scale, precision: precision)))
    case "call":
      try expect(1)
      let (domain, name) = (try attributes.string("domain"), try attributes.string("name"))
      return .call(CallOp(domain: domain, name: name, overload: try attributes.optionalString("overload") ?? "", body: bodies[0]))
    case "scan":
      try expect(1)
      let (inputs, outputs) = (try attributes.integers("input_axes"), try attributes.integers("output_axes"))
      func flags(_ name: String, _ count: Int) throws(Failure) -> [Bool] {
        let given = try attributes.integers(name)
        guard given.isEmpty || given.count == count else { throw Failure(.graphText, "the attribute '\(name)' has \(given.count) entries for \(count)") }
        return given.isEmpty ? [Bool](repeating: false, count: count) : given.map { $0 != 0 }
      }
      return .control(
        .scan(
          ScanOp(
            body: bodies[0], inputAxes: inputs, outputAxes: outputs, inputsReversed: try flags("inputs_reversed", inputs.count),
            outputsReversed: try flags("outputs_reversed", outputs.count), isBatched: try attributes.flag("batched"))))
    default: return nil
    }
  }
}
