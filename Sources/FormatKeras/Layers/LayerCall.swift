internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

/// What a layer is called with: a tensor, or anything else that a call in Python may have.
indirect enum Argument {
  case tensor(ValueID)
  case constant(Tensor)
  case none
  case bool(Bool)
  case int(Int)
  case number(Double)
  case string(String)
  case list([Argument])
  case dictionary([String: Argument])
  case slice(Int?, Int?, Int?)
  case ellipsis

  var int: Int? {
    switch self {
    case .int(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .number(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }
  var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var ints: [Int]? {
    switch self {
    case .list(let entries):
      let values = entries.compactMap(\.int)
      return values.count == entries.count ? values : nil
    case .int(let value): return [value]
    case .constant(let tensor): return tensor.integers()
    default: return nil
    }
  }
  var isNone: Bool { if case .none = self { true } else { false } }

  init(_ json: JSON?) {
    switch json {
    case nil, .null?: self = .none
    case .bool(let value)?: self = .bool(value)
    case .integer(let value)?: self = .int(value)
    case .number(let value)?: self = .number(value)
    case .string(let value)?: self = .string(value)
    case .array(let values)?: self = .list(values.map { Argument($0) })
    case .object(let entries)?: self = .dictionary(entries.mapValues { Argument($0) })
    }
  }
}

/// One call of one layer.
struct LayerCall {
  var layer: KerasLayer
  var path: LayerPath
  var positional: [Argument]
  var named: [String: Argument]

  var config: JSON { layer.config }

  /// An argument by its place or its name.
  func argument(_ index: Int, _ name: String) -> Argument? {
    if index < positional.count { return positional[index].isNone ? nil : positional[index] }
    if let value = named[name], !value.isNone { return value }
    return nil
  }

  func wrong(_ what: String) -> Failure { Failure(.badAttribute, "\(layer.className) '\(layer.name)': \(what)", at: .element(path.name)) }
  func refused(_ what: String) -> Failure { Failure(.notExpressible, "\(layer.className) '\(layer.name)': \(what)", at: .element(path.name)) }

  /// A positive number of the configuration.
  func positive(_ key: String) throws(Failure) -> Int {
    guard let value = config[key]?.int else { throw wrong("'\(key)' is missing") }
    guard value > 0 else { throw wrong("'\(key)' is \(value)") }
    return value
  }

  /// A number or a list of them, one for each spatial axis.
  func spatial(_ key: String, _ count: Int, _ standard: Int) throws(Failure) -> [Int] {
    guard let json = config[key] else { return [Int](repeating: standard, count: count) }
    if let value = json.int, (1...(1 << 20)).contains(value) { return [Int](repeating: value, count: count) }
    guard let values = json.ints, values.count == count, values.allSatisfy({ (1...(1 << 20)).contains($0) }) else { throw wrong("'\(key)' is wrong") }
    return values
  }

  func flag(_ key: String, _ standard: Bool) -> Bool { config[key]?.bool ?? standard }
  func number(_ key: String, _ standard: Double) -> Double { config[key]?.double ?? standard }
  func word(_ key: String, _ standard: String) -> String { config[key]?.string ?? standard }
  var isChannelsFirst: Bool { word("data_format", "channels_last") == "channels_first" }
}
