internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators on sequences and optionals.
enum SequenceRules {
  static let standard: [String: ReadingRule] = [
    "SequenceEmpty": { view throws(Failure) in
      let number = try view.int("dtype", default: 1)
      guard let raw = UInt8(exactly: number), let element = ElementType(rawValue: raw) else { throw view.bad("dtype", "is no element type") }
      return .op(.sequence(.empty(element)), of: view)
    },
    "SequenceConstruct": plain(.construct), "SequenceAt": plain(.at), "SequenceInsert": plain(.insert), "SequenceErase": plain(.erase),
    "SequenceLength": plain(.length), "OptionalHasElement": plain(.hasElement), "OptionalGetElement": plain(.getElement),
    "SplitToSequence": { view throws(Failure) in
      .op(.sequence(.split(axis: try view.int("axis", default: 0), keepsAxis: try view.flag("keepdims", default: true))), of: view)
    },
    "ConcatFromSequence": { view throws(Failure) in
      guard let axis = try view.int("axis") else { throw view.bad("axis", "is missing") }
      return .op(.sequence(.concat(axis: axis, newAxis: try view.flag("new_axis"))), of: view)
    },
    "Optional": { view throws(Failure) in
      // The type of what is not there; nothing is computed from it.
      view.ignore("type")
      return .op(.sequence(.optional), of: view)
    },
  ]

  private static func plain(_ op: SequenceOp) -> ReadingRule { { view throws(Failure) in .op(.sequence(op), of: view) } }
}

extension SpellingRequest {
  func spelling(of op: SequenceOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .empty(let element): try plain("SequenceEmpty", since: 11, [("dtype", .int(Int(element.rawValue)))])
    case .construct: try plain("SequenceConstruct", since: 11)
    case .at: try plain("SequenceAt", since: 11)
    case .insert: try plain("SequenceInsert", since: 11)
    case .erase: try plain("SequenceErase", since: 11)
    case .length: try plain("SequenceLength", since: 11)
    case .split(let axis, let keepsAxis): try plain("SplitToSequence", since: 11, [("axis", .int(axis)), ("keepdims", keepsAxis.spelled)])
    case .concat(let axis, let newAxis): try plain("ConcatFromSequence", since: 11, [("axis", .int(axis)), ("new_axis", newAxis.spelled)])
    case .optional:
      // Without an operand the type has to be said, and the IR does not keep it.
      if node.inputs.isEmpty {
        throw Failure(.notExpressible, "an empty Optional is known by its record in a file only", at: .element(node.name))
      } else {
        try plain("Optional", since: 15)
      }
    case .hasElement: try plain("OptionalHasElement", since: 15)
    case .getElement: try plain("OptionalGetElement", since: 15)
    }
  }
}
