internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Casts.
enum ConversionRules {
  static let standard: [String: ReadingRule] = [
    "Cast": { view throws(Failure) in
      let rule = try narrowing(&view)
      let type: ElementType?
      if view.version < 6 {
        let name = try view.string("to", default: "")
        type = name.uppercased() == "FLOAT" ? .float32 : name.uppercased() == "DOUBLE" ? .float64 : ElementType(name: name.lowercased())
      } else {
        type = try elementType("to", &view)
      }
      guard let type else { throw view.bad("to", "names no element type") }
      return .op(cast(to: type, rule), of: view)
    },
    "CastLike": { view throws(Failure) in
      let rule = try narrowing(&view)
      // A cast to a type that is known reads nothing of the second operand.
      guard let type = view.type(at: 1) else { return .op(.conversion(.like(rule)), of: view) }
      return .op(cast(to: type.element, rule), of: view, first: 1, then: [])
    },
    "BitCast": { view throws(Failure) in
      guard let type = try elementType("to", &view) else { throw view.bad("to", "names no element type") }
      return .op(.conversion(.bits(to: type)), of: view)
    },
  ]

  /// An attribute that holds a number of `TensorProto.DataType`; nil where it is missing or names no type.
  static func elementType(_ name: String, _ view: inout NodeView) throws(Failure) -> ElementType? {
    try view.int(name).flatMap { UInt8(exactly: $0) }.flatMap { ElementType(rawValue: $0) }
  }

  private static func cast(to type: ElementType, _ rule: NarrowingRule) -> Op {
    let matters = type.isFloatingPoint && type.bitWidth == 8 && (!rule.saturates || type == .float8e8m0 && rule.rounding != .up)
    return matters ? .conversion(.narrowing(to: type, rule)) : .cast(to: type)
  }

  private static func narrowing(_ view: inout NodeView) throws(Failure) -> NarrowingRule {
    let saturates = try view.flag("saturate", default: true)
    switch try view.string("round_mode", default: "up") {
    case "up": return NarrowingRule(saturates: saturates, rounding: .up)
    case "down": return NarrowingRule(saturates: saturates, rounding: .down)
    case "nearest": return NarrowingRule(saturates: saturates, rounding: .nearest)
    default: throw view.bad("round_mode", "has an unknown value")
    }
  }
}

extension SpellingRequest {
  func spelling(of op: ConversionOp) throws(Failure) -> OperatorSpelling {
    switch op {
    case .narrowing(let type, let rule):
      return try plain("Cast", since: rule.rounding == .up ? 19 : 24, [("to", .int(Int(type.rawValue)))] + (try attributes(of: rule)))
    case .like(let rule): return try plain("CastLike", since: 15, try attributes(of: rule))
    case .bits(let type): return try plain("BitCast", since: 26, [("to", .int(Int(type.rawValue)))])
    }
  }

  private func attributes(of rule: NarrowingRule) throws(Failure) -> [(name: String, value: OperatorSpelling.Attribute)] {
    var result: [(name: String, value: OperatorSpelling.Attribute)] = []
    if !rule.saturates {
      try require(19, "a cast that does not saturate")
      result.append(("saturate", .int(0)))
    }
    if rule.rounding != .up {
      try require(24, "a cast that rounds otherwise than up")
      result.append(("round_mode", .string(rule.rounding == .down ? "down" : "nearest")))
    }
    return result
  }
}
