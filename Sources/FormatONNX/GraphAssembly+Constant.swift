internal import Diagnostics
internal import Tensors

extension GraphAssembly {
  /// The tensor of a Constant node.
  func constant(_ message: NodeMessage) throws(Failure) -> Tensor {
    var view = NodeView(
      message, version: 0, operands: [], wanted: [], constant: { _ in nil }, declaredType: { _ in nil },
      decode: { [decoder] (tensor) throws(Failure) in try decoder.tensor(tensor, name: message.outputs.first) })
    guard let attribute = message.attributes.first(where: { $0.name.hasPrefix("value") || $0.name == "sparse_value" }) else {
      throw view.bad("value", "is missing")
    }
    switch attribute.name {
    case "value":
      guard let tensor = try view.tensor("value") else { throw view.bad("value", "is missing") }
      return tensor
    case "value_float": return try Tensor(float32: [view.float("value_float") ?? 0], dims: [])
    case "value_floats":
      let values = try view.floats("value_floats") ?? []
      return try Tensor(float32: values, dims: [values.count])
    case "value_int": return try Tensor(int64: [Int64(view.int("value_int") ?? 0)], dims: [])
    case "value_ints": return try Tensor.vector(view.ints("value_ints") ?? [])
    case "value_string": return try Tensor(.string, dims: [], storage: .strings([view.bytes("value_string") ?? []]))
    case "value_strings":
      let values = try view.strings("value_strings") ?? []
      return try Tensor(.string, dims: [values.count], storage: .strings(values))
    case "sparse_value":
      guard let sparse = attribute.sparse else { throw view.bad("sparse_value", "holds no tensor") }
      return try decoder.dense(sparse, name: message.outputs.first ?? message.name)
    default: throw view.bad(attribute.name, "is not known")
    }
  }
}
