/// Which fields of which message the skim hands on, and how: the same as `schemas/onnx.proto`, seen from the wire.
enum MessageKind {
  /// `elementType` is the content of a sequence's or an optional's type.
  case model, operatorSet, entry, function, graph, node, attribute, tensor, sparseTensor, valueInfo, type, tensorType, elementType, mapType, shape, dimension
  /// Values outside a model.
  case sequence, map, optional

  enum Rule {
    /// A number given once or often; `packed` lists may come in one field.
    case varint, fixed32, packedVarint, packedFixed32
    /// Text without NUL, and bytes as they are.
    case string, bytes
    /// A message given at most once, or a list of them.
    case message(MessageKind), messages(MessageKind)
    /// Elements of a tensor: their place is noted and nothing is copied.
    case payload
  }

  /// nil for fields that stay in the file.
  func rule(for field: Int) -> Rule? {
    switch (self, field) {
    case (.model, 1), (.model, 5): .varint
    case (.model, 2), (.model, 3), (.model, 4), (.model, 6): .string
    case (.model, 7): .message(.graph)
    case (.model, 8): .messages(.operatorSet)
    case (.model, 14): .messages(.entry)
    case (.model, 25): .messages(.function)
    case (.operatorSet, 1): .string
    case (.operatorSet, 2): .varint
    case (.entry, 1), (.entry, 2): .string
    case (.function, 1), (.function, 4), (.function, 5), (.function, 6), (.function, 10), (.function, 13): .string
    case (.function, 7): .messages(.node)
    case (.function, 9): .messages(.operatorSet)
    case (.function, 11): .messages(.attribute)
    case (.graph, 1): .messages(.node)
    case (.graph, 2): .string
    case (.graph, 5): .messages(.tensor)
    case (.graph, 11), (.graph, 12), (.graph, 13): .messages(.valueInfo)
    case (.graph, 15): .messages(.sparseTensor)
    case (.node, 1), (.node, 2), (.node, 3), (.node, 4), (.node, 7), (.node, 8): .string
    case (.node, 5): .messages(.attribute)
    case (.attribute, 1), (.attribute, 21): .string
    case (.attribute, 2): .fixed32
    case (.attribute, 3), (.attribute, 20): .varint
    case (.attribute, 4), (.attribute, 9): .bytes
    case (.attribute, 5): .message(.tensor)
    case (.attribute, 6): .message(.graph)
    case (.attribute, 7): .packedFixed32
    case (.attribute, 8): .packedVarint
    case (.attribute, 11): .messages(.graph)
    case (.attribute, 14): .message(.type)
    case (.attribute, 22): .message(.sparseTensor)
    case (.tensor, 1): .packedVarint
    case (.tensor, 2), (.tensor, 14): .varint
    case (.tensor, 8): .string
    case (.tensor, 13): .messages(.entry)
    case (.tensor, 4), (.tensor, 5), (.tensor, 6), (.tensor, 7), (.tensor, 9), (.tensor, 10), (.tensor, 11): .payload
    case (.sparseTensor, 1), (.sparseTensor, 2): .message(.tensor)
    case (.sparseTensor, 3): .packedVarint
    case (.sequence, 1), (.map, 1), (.optional, 1): .string
    case (.sequence, 2), (.map, 2), (.optional, 2): .varint
    case (.sequence, 3): .messages(.tensor)
    case (.sequence, 5): .messages(.sequence)
    case (.sequence, 6): .messages(.map)
    case (.sequence, 7): .messages(.optional)
    case (.map, 3): .packedVarint
    case (.map, 4): .bytes
    case (.map, 5), (.optional, 5): .message(.sequence)
    case (.optional, 3): .message(.tensor)
    case (.optional, 6): .message(.map)
    case (.optional, 7): .message(.optional)
    case (.valueInfo, 1): .string
    case (.valueInfo, 2): .message(.type)
    case (.type, 1): .message(.tensorType)
    case (.type, 4), (.type, 9): .message(.elementType)
    case (.type, 5): .message(.mapType)
    case (.elementType, 1), (.mapType, 2): .message(.type)
    case (.tensorType, 1), (.mapType, 1): .varint
    case (.tensorType, 2): .message(.shape)
    case (.shape, 1): .messages(.dimension)
    case (.dimension, 1): .varint
    case (.dimension, 2): .string
    default: nil
    }
  }
}
