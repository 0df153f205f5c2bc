internal import Diagnostics
internal import GraphIR
internal import Tensors

// Messages made from parts of the IR.

extension WireEncoder {
  /// ValueInfoProto.
  static func valueInfo(_ name: String, _ type: TensorType) -> WireEncoder {
    var tensor = WireEncoder()
    tensor.field(1, integer: Int64(type.element.rawValue))
    if let shape = type.shape {
      var dims = WireEncoder()
      for dim in shape.dims {
        var dimension = WireEncoder()
        if let value = dim.value {
          dimension.field(1, integer: Int64(value))
        } else {
          dimension.field(2, string: dim.description)
        }
        dims.field(1, message: dimension)
      }
      tensor.field(2, message: dims)
    }
    var kind = WireEncoder()
    kind.field(1, message: tensor)
    var info = WireEncoder()
    info.field(1, string: name)
    info.field(2, message: kind)
    return info
  }

  /// NodeProto, without the bodies among its attributes.
  static func node(_ spelling: OperatorSpelling, name: String, inputs: [String], outputs: [String]) -> WireEncoder {
    var node = WireEncoder()
    for input in inputs { node.field(1, string: input) }
    for output in outputs { node.field(2, string: output) }
    if !name.isEmpty { node.field(3, string: name) }
    node.field(4, string: spelling.name)
    for attribute in spelling.attributes where !attribute.value.isGraph { node.field(5, message: .attribute(attribute.name, attribute.value)) }
    if !spelling.domain.isEmpty { node.field(7, string: spelling.domain) }
    return node
  }

  /// The fields of an AttributeProto before and after its value.
  static func attributeHead(_ name: String) -> WireEncoder {
    var head = WireEncoder()
    head.field(1, string: name)
    return head
  }
  static func attributeTail(_ kind: AttributeMessage.Kind) -> WireEncoder {
    var tail = WireEncoder()
    tail.field(20, integer: Int64(kind.rawValue))
    return tail
  }

  /// AttributeProto.
  private static func attribute(_ name: String, _ value: OperatorSpelling.Attribute) -> WireEncoder {
    var attribute = WireEncoder()
    attribute.field(1, string: name)
    let kind: AttributeMessage.Kind
    switch value {
    case .float(let number):
      attribute.field(2, float: number)
      kind = .float
    case .int(let number):
      attribute.field(3, integer: Int64(number))
      kind = .int
    case .string(let text):
      attribute.field(4, string: text)
      kind = .string
    case .tensor(let tensor):
      attribute.tag(5, .lengthDelimited)
      let start = attribute.openLength()
      attribute.raw(WireEncoder.tensorHead(nil, tensor).bytes)
      attribute.raw(WireEncoder.tensorElements(tensor).bytes)
      attribute.closeLength(start)
      kind = .tensor
    case .ints(let numbers):
      for number in numbers { attribute.field(8, integer: Int64(number)) }
      kind = .ints
    case .graph: kind = .graph
    case .bytes(let bytes):
      attribute.field(4, bytes: bytes)
      kind = .string
    case .floats(let numbers):
      for number in numbers { attribute.field(7, float: number) }
      kind = .floats
    case .strings(let strings):
      for string in strings { attribute.field(9, bytes: string) }
      kind = .strings
    }
    attribute.field(20, integer: Int64(kind.rawValue))
    return attribute
  }

  /// TensorProto up to its elements.
  static func tensorHead(_ name: String?, _ tensor: Tensor) -> WireEncoder {
    var head = WireEncoder()
    for dim in tensor.dims { head.field(TensorField.dims, integer: Int64(dim)) }
    head.field(TensorField.dataType, integer: Int64(tensor.elementType.rawValue))
    if let name { head.field(TensorField.name, string: name) }
    return head
  }

  /// The elements of a small tensor, as raw data.
  static func tensorElements(_ tensor: Tensor) -> WireEncoder {
    var elements = WireEncoder()
    if case .strings(let strings) = tensor.storage {
      for string in strings { elements.field(TensorField.stringData, bytes: string) }
    } else {
      elements.field(TensorField.rawData, bytes: tensor.elements(as: UInt8.self))
    }
    return elements
  }

  /// OperatorSetIdProto.
  static func operatorSet(_ domain: String, _ version: Int) -> WireEncoder {
    var set = WireEncoder()
    if !domain.isEmpty { set.field(1, string: domain) }
    set.field(2, integer: Int64(version))
    return set
  }
}

extension SegmentedMessage {
  /// TensorProto with its elements inside; those of a mapped file are spliced in.
  static func tensor(_ name: String, _ tensor: Tensor) -> SegmentedMessage {
    var result = SegmentedMessage()
    result.append(WireEncoder.tensorHead(name, tensor))
    guard case .mapped(let source, let range) = tensor.storage else {
      result.append(WireEncoder.tensorElements(tensor))
      return result
    }
    var elements = SegmentedMessage()
    elements.append(source, range)
    result.field(TensorField.rawData, elements)
    return result
  }

  /// TensorProto whose elements go to the file of external data.
  static func tensor(_ name: String, _ tensor: Tensor, in file: inout ExternalDataFile) -> SegmentedMessage {
    let offset =
      if case .mapped(let source, let range) = tensor.storage { file.place(source, range) } else { file.place(tensor.elements(as: UInt8.self)) }
    var head = WireEncoder.tensorHead(name, tensor)
    for entry in file.entries(offset: offset, length: tensor.byteCount) {
      var encoder = WireEncoder()
      encoder.field(1, string: entry.key)
      encoder.field(2, string: entry.value)
      head.field(TensorField.externalData, message: encoder)
    }
    head.field(TensorField.dataLocation, integer: 1)
    var result = SegmentedMessage()
    result.append(head)
    return result
  }
}
