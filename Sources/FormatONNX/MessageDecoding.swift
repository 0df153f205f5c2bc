internal import CONNX
internal import Diagnostics

// From libprotobuf-c's structures to Swift values. Everything is copied, so no pointer outlives `decode`. The skim has
// checked the bytes before: text is UTF-8 without NUL, and nesting is bounded.

extension ModelMessage {
  static func decode(_ structure: [UInt8]) throws(Failure) -> ModelMessage {
    let unpacked = unsafe structure.withUnsafeBufferPointer { unsafe vconnx__model_proto__unpack(nil, $0.count, $0.baseAddress) }
    guard let message = unsafe unpacked else { throw Failure(.malformed, "the model's structure cannot be decoded") }
    defer { unsafe vconnx__model_proto__free_unpacked(message, nil) }
    return unsafe ModelMessage(message.pointee)
  }

  private init(_ raw: Vconnx__ModelProto) {
    unsafe irVersion = raw.has_ir_version != 0 ? raw.ir_version : nil
    unsafe producerName = text(raw.producer_name)
    unsafe producerVersion = text(raw.producer_version)
    unsafe domain = text(raw.domain)
    unsafe modelVersion = raw.model_version
    unsafe docString = text(raw.doc_string)
    graph = unsafe raw.graph.map { unsafe GraphMessage($0.pointee) }
    opsets = unsafe operatorSets(raw.opset_import, raw.n_opset_import)
    metadata = unsafe list(raw.metadata_props, raw.n_metadata_props) { unsafe (text($0.key), text($0.value)) }
    functions = unsafe list(raw.functions, raw.n_functions) {
      unsafe FunctionMessage(
        name: FunctionName(domain: text($0.domain), name: text($0.name), overload: text($0.overload)),
        inputs: texts($0.input, $0.n_input), outputs: texts($0.output, $0.n_output), attributes: texts($0.attribute, $0.n_attribute),
        defaults: list($0.attribute_proto, $0.n_attribute_proto) { unsafe AttributeMessage($0) },
        opsets: operatorSets($0.opset_import, $0.n_opset_import),
        nodes: list($0.node, $0.n_node) { unsafe NodeMessage($0) })
    }
  }
}

extension GraphMessage {
  fileprivate init(_ raw: Vconnx__GraphProto) {
    unsafe name = text(raw.name)
    nodes = unsafe list(raw.node, raw.n_node) { unsafe NodeMessage($0) }
    initializers = unsafe list(raw.initializer, raw.n_initializer) { unsafe TensorMessage($0) }
    sparse = unsafe list(raw.sparse_initializer, raw.n_sparse_initializer) { unsafe SparseTensorMessage($0) }
    inputs = unsafe list(raw.input, raw.n_input) { unsafe ValueInfoMessage($0) }
    outputs = unsafe list(raw.output, raw.n_output) { unsafe ValueInfoMessage($0) }
    valueInfo = unsafe list(raw.value_info, raw.n_value_info) { unsafe ValueInfoMessage($0) }
  }
}

extension NodeMessage {
  fileprivate init(_ raw: Vconnx__NodeProto) {
    inputs = unsafe texts(raw.input, raw.n_input)
    outputs = unsafe texts(raw.output, raw.n_output)
    unsafe name = text(raw.name)
    unsafe opType = text(raw.op_type)
    unsafe domain = text(raw.domain)
    unsafe overload = text(raw.overload)
    attributes = unsafe list(raw.attribute, raw.n_attribute) { unsafe AttributeMessage($0) }
  }
}

extension AttributeMessage {
  fileprivate init(_ raw: Vconnx__AttributeProto) {
    unsafe name = text(raw.name)
    unsafe kind = Kind(rawValue: raw.has_type != 0 ? raw.type : 0)
    unsafe float = raw.has_f != 0 ? raw.f : nil
    unsafe int = raw.has_i != 0 ? raw.i : nil
    string = unsafe raw.has_s != 0 ? octets(raw.s) : nil
    tensor = unsafe raw.t.map { unsafe TensorMessage($0.pointee) }
    floats = unsafe numbers(raw.floats, raw.n_floats)
    ints = unsafe numbers(raw.ints, raw.n_ints)
    strings = unsafe numbers(raw.strings, raw.n_strings).map { unsafe octets($0) }
    graphs = unsafe raw.g.map { unsafe [GraphMessage($0.pointee)] } ?? list(raw.graphs, raw.n_graphs) { unsafe GraphMessage($0) }
    sparse = unsafe raw.sparse_tensor.map { unsafe SparseTensorMessage($0.pointee) }
    type = unsafe raw.tp.flatMap { unsafe TypeMessage($0.pointee) }
    let referred = unsafe text(raw.ref_attr_name)
    reference = referred.isEmpty ? nil : referred
  }
}

extension TensorMessage {
  fileprivate init(_ raw: Vconnx__TensorProto) {
    dims = unsafe numbers(raw.dims, raw.n_dims)
    unsafe dataType = raw.data_type
    unsafe name = text(raw.name)
    external = unsafe list(raw.external_data, raw.n_external_data) { unsafe (text($0.key), text($0.value)) }
    unsafe isExternal = raw.data_location == 1
    payload = unsafe list(raw.payload, raw.n_payload) {
      let start = unsafe Int($0.offset)
      return unsafe PayloadReference(field: $0.field, packed: $0.packed != 0, range: start..<start + Int($0.length))
    }
  }
}

extension SparseTensorMessage {
  fileprivate init(_ raw: Vconnx__SparseTensorProto) {
    values = unsafe raw.values.map { unsafe TensorMessage($0.pointee) }
    indices = unsafe raw.indices.map { unsafe TensorMessage($0.pointee) }
    dims = unsafe numbers(raw.dims, raw.n_dims)
  }
}

extension ValueInfoMessage {
  fileprivate init(_ raw: Vconnx__ValueInfoProto) {
    unsafe name = text(raw.name)
    type = unsafe raw.type.flatMap { unsafe TypeMessage($0.pointee) }
  }
}

extension TypeMessage {
  /// nil for a kind that is not known, or none.
  fileprivate init?(_ raw: Vconnx__TypeProto) {
    if let tensor = unsafe raw.tensor_type {
      let shape = unsafe tensor.pointee.shape
      self = .tensor(
        element: unsafe tensor.pointee.has_elem_type != 0 ? tensor.pointee.elem_type : nil,
        dims: unsafe shape.map { shape in
          unsafe list(shape.pointee.dim, shape.pointee.n_dim) {
            unsafe Dimension(value: $0.has_dim_value != 0 ? $0.dim_value : nil, symbol: $0.dim_param.map { unsafe String(cString: $0) })
          }
        })
    } else if let sequence = unsafe raw.sequence_type {
      self = .sequence(unsafe sequence.pointee.elem_type.flatMap { unsafe TypeMessage($0.pointee) })
    } else if let optional = unsafe raw.optional_type {
      self = .optional(unsafe optional.pointee.elem_type.flatMap { unsafe TypeMessage($0.pointee) })
    } else if let map = unsafe raw.map_type {
      self = .map(key: unsafe map.pointee.key_type, value: unsafe map.pointee.value_type.flatMap { unsafe TypeMessage($0.pointee) })
    } else {
      return nil
    }
  }
}

extension ValueMessage {
  /// What kind of message a file outside a model holds; the file itself does not tell.
  enum Kind { case tensor, sequence, optional, map }

  static func decode(_ structure: [UInt8], _ kind: Kind) throws(Failure) -> ValueMessage {
    let result: ValueMessage? = unsafe structure.withUnsafeBufferPointer { bytes -> ValueMessage? in
      switch kind {
      case .tensor:
        guard let message = unsafe vconnx__tensor_proto__unpack(nil, bytes.count, bytes.baseAddress) else { return nil }
        defer { unsafe vconnx__tensor_proto__free_unpacked(message, nil) }
        return unsafe .tensor(TensorMessage(message.pointee))
      case .sequence:
        guard let message = unsafe vconnx__sequence_proto__unpack(nil, bytes.count, bytes.baseAddress) else { return nil }
        defer { unsafe vconnx__sequence_proto__free_unpacked(message, nil) }
        return unsafe ValueMessage(message.pointee)
      case .optional:
        guard let message = unsafe vconnx__optional_proto__unpack(nil, bytes.count, bytes.baseAddress) else { return nil }
        defer { unsafe vconnx__optional_proto__free_unpacked(message, nil) }
        return unsafe ValueMessage(message.pointee)
      case .map:
        guard let message = unsafe vconnx__map_proto__unpack(nil, bytes.count, bytes.baseAddress) else { return nil }
        defer { unsafe vconnx__map_proto__free_unpacked(message, nil) }
        return unsafe ValueMessage(message.pointee)
      }
    }
    guard let result else { throw Failure(.malformed, "the value cannot be decoded") }
    return result
  }

  private init(_ raw: Vconnx__SequenceProto) {
    self = .sequence(
      unsafe list(raw.tensor_values, raw.n_tensor_values) { unsafe .tensor(TensorMessage($0)) }
        + list(raw.sequence_values, raw.n_sequence_values) { unsafe ValueMessage($0) }
        + list(raw.map_values, raw.n_map_values) { unsafe ValueMessage($0) }
        + list(raw.optional_values, raw.n_optional_values) { unsafe ValueMessage($0) })
  }

  private init(_ raw: Vconnx__MapProto) {
    var values: [ValueMessage] = []
    if let sequence = unsafe raw.values, case .sequence(let elements) = unsafe ValueMessage(sequence.pointee) { values = elements }
    self = .map(
      keys: unsafe numbers(raw.keys, raw.n_keys), stringKeys: unsafe numbers(raw.string_keys, raw.n_string_keys).map { unsafe octets($0) },
      keyType: unsafe raw.key_type, values: values)
  }

  private init(_ raw: Vconnx__OptionalProto) {
    if let tensor = unsafe raw.tensor_value {
      self = .optional(unsafe .tensor(TensorMessage(tensor.pointee)))
    } else if let sequence = unsafe raw.sequence_value {
      self = .optional(unsafe ValueMessage(sequence.pointee))
    } else if let map = unsafe raw.map_value {
      self = .optional(unsafe ValueMessage(map.pointee))
    } else if let optional = unsafe raw.optional_value {
      self = .optional(unsafe ValueMessage(optional.pointee))
    } else {
      self = .optional(nil)
    }
  }
}

private func operatorSets(_ start: UnsafeMutablePointer<UnsafeMutablePointer<Vconnx__OperatorSetIdProto>?>?, _ count: Int) -> [(domain: String, version: Int64)]
{
  unsafe list(start, count) { unsafe (text($0.domain), $0.version) }
}

private func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
  guard let pointer = unsafe pointer else { return "" }
  return unsafe String(cString: pointer)
}

private func octets(_ data: ProtobufCBinaryData) -> [UInt8] {
  unsafe Array(UnsafeBufferPointer(start: data.data, count: data.len))
}

private func numbers<T>(_ start: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
  unsafe Array(UnsafeBufferPointer(start: start, count: unsafe start == nil ? 0 : count))
}

private func texts(_ start: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ count: Int) -> [String] {
  unsafe numbers(start, count).map { unsafe text($0) }
}

/// The elements of a repeated message field; libprotobuf-c never leaves a null among them.
private func list<Raw, Element>(
  _ start: UnsafeMutablePointer<UnsafeMutablePointer<Raw>?>?, _ count: Int, _ make: (Raw) -> Element
) -> [Element] {
  unsafe numbers(start, count).compactMap { unsafe $0.map { unsafe make($0.pointee) } }
}
