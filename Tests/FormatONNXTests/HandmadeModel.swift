import Bytes
import Diagnostics
import Foundation
import GraphIR
import Tensors
import Testing

@testable import FormatONNX

/// A ModelProto put together field by field, so that tests can say exactly what stands in a file.
struct HandmadeModel {
  var irVersion: Int64? = 8
  var opsets: [(String, Int)] = [("", 17)]
  /// GraphProto fields by number.
  var graph: [(Int, WireEncoder)] = []
  /// Further ModelProto fields.
  var extras: [(Int, WireEncoder)] = []

  static func message(_ build: (inout WireEncoder) -> Void) -> WireEncoder {
    var encoder = WireEncoder()
    build(&encoder)
    return encoder
  }

  static func node(
    _ op: String, _ inputs: [String], _ outputs: [String], name: String = "", domain: String = "", attributes: [WireEncoder] = [], unknown: Bool = false
  ) -> WireEncoder {
    message { node in
      for input in inputs { node.field(1, string: input) }
      for output in outputs { node.field(2, string: output) }
      if !name.isEmpty { node.field(3, string: name) }
      node.field(4, string: op)
      for attribute in attributes { node.field(5, message: attribute) }
      if !domain.isEmpty { node.field(7, string: domain) }
      if unknown { node.field(777, string: "from the future") }
    }
  }

  static func attribute(_ name: String, ints: [Int]) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      for i in ints { a.field(8, integer: Int64(i)) }
      a.field(20, integer: 7)
    }
  }
  static func attribute(_ name: String, int: Int) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      a.field(3, integer: Int64(int))
      a.field(20, integer: 2)
    }
  }
  static func attribute(_ name: String, float: Float) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      a.field(2, float: float)
      a.field(20, integer: 1)
    }
  }
  static func attribute(_ name: String, string: String) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      a.field(4, string: string)
      a.field(20, integer: 3)
    }
  }
  static func attribute(_ name: String, tensor: WireEncoder) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      a.field(5, message: tensor)
      a.field(20, integer: 4)
    }
  }
  static func attribute(_ name: String, graph: [(Int, WireEncoder)]) -> WireEncoder {
    message { a in
      a.field(1, string: name)
      a.field(6, message: message { g in for (field, content) in graph { g.field(field, message: content) } })
      a.field(20, integer: 5)
    }
  }

  static func info(_ name: String, _ type: ElementType = .float32, _ dims: [Int] = [2, 3]) -> WireEncoder {
    .valueInfo(name, TensorType(type, Shape(dims)))
  }

  static func tensor(_ name: String, _ type: ElementType, _ dims: [Int], _ payload: (inout WireEncoder) -> Void) -> WireEncoder {
    message { t in
      for dim in dims { t.field(1, integer: Int64(dim)) }
      t.field(2, integer: Int64(type.rawValue))
      t.field(8, string: name)
      payload(&t)
    }
  }
  static func floats(_ name: String, _ dims: [Int], _ values: [Float]) -> WireEncoder {
    tensor(name, .float32, dims) {
      $0.field(9, bytes: values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) } })
    }
  }
  static func external(_ name: String, _ dims: [Int], _ entries: [(String, String)]) -> WireEncoder {
    tensor(name, .float32, dims) { t in
      for (key, value) in entries {
        t.field(
          13,
          message: message {
            $0.field(1, string: key); $0.field(2, string: value)
          })
      }
      t.field(14, integer: 1)
    }
  }

  mutating func add(_ field: Int, _ content: WireEncoder) { graph.append((field, content)) }
  mutating func node(_ content: WireEncoder) { add(1, content) }
  mutating func initializer(_ content: WireEncoder) { add(5, content) }
  mutating func input(_ name: String, _ type: ElementType = .float32, _ dims: [Int] = [2, 3]) { add(11, HandmadeModel.info(name, type, dims)) }
  mutating func output(_ name: String, _ type: ElementType = .float32, _ dims: [Int] = [2, 3]) { add(12, HandmadeModel.info(name, type, dims)) }

  var bytes: [UInt8] {
    HandmadeModel.message { model in
      if let irVersion { model.field(1, integer: irVersion) }
      model.field(7, message: HandmadeModel.message { g in for (field, content) in graph { g.field(field, message: content) } })
      for (domain, version) in opsets { model.field(8, message: .operatorSet(domain, version)) }
      for (field, content) in extras { model.field(field, message: content) }
    }.bytes
  }

  func read(path: String? = nil) throws(Failure) -> ONNXModel { try readReporting(path: path).model }

  func readReporting(path: String? = nil) throws(Failure) -> (model: ONNXModel, sink: DiagnosticSink) {
    var sink = DiagnosticSink()
    let model = try ONNXReader.read(ByteSource(bytes, name: path ?? "handmade"), path: path, sink: &sink)
    return (model, sink)
  }

  /// One node between an input `x` and an output `y`.
  static func single(_ op: String, inputs: [String] = ["x"], version: Int = 17, domain: String = "", attributes: [WireEncoder] = []) -> HandmadeModel {
    var model = HandmadeModel()
    model.opsets = domain.isEmpty ? [("", version)] : [("", 17), (domain, version)]
    model.input("x")
    model.node(node(op, inputs, ["y"], name: "n", domain: domain, attributes: attributes))
    model.output("y")
    return model
  }
}

extension ONNXOutput {
  func read() throws -> Graph {
    var sink = DiagnosticSink()
    return try ONNXReader.read(ByteSource(bytes, name: "written"), path: nil, sink: &sink).graph
  }
}

/// The code of the failure that `body` throws; nil when it throws none.
func code(_ body: () throws(Failure) -> Void) -> DiagnosticCode? {
  do throws(Failure) {
    try body()
    return nil
  } catch {
    return error.code
  }
}
