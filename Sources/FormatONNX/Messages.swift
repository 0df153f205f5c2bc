internal import Bytes

// The messages of `schemas/onnx.proto` as Swift values: what the reader works with once libprotobuf-c has decoded them.

struct ModelMessage {
  var irVersion: Int64?
  var producerName = ""
  var producerVersion = ""
  var domain = ""
  var modelVersion: Int64 = 0
  var docString = ""
  var graph: GraphMessage?
  var opsets: [(domain: String, version: Int64)] = []
  var metadata: [(key: String, value: String)] = []
  var functions: [FunctionMessage] = []
}

/// What identifies a model-local function.
struct FunctionName: Hashable {
  var domain: String
  var name: String
  var overload: String
}

struct FunctionMessage {
  var name: FunctionName
  var inputs: [String]
  var outputs: [String]
  /// Attributes that a call gives, and those that have a default.
  var attributes: [String]
  var defaults: [AttributeMessage]
  var opsets: [(domain: String, version: Int64)]
  var nodes: [NodeMessage]
}

struct GraphMessage {
  var name = ""
  var nodes: [NodeMessage] = []
  var initializers: [TensorMessage] = []
  var sparse: [SparseTensorMessage] = []
  var inputs: [ValueInfoMessage] = []
  var outputs: [ValueInfoMessage] = []
  var valueInfo: [ValueInfoMessage] = []
}

struct NodeMessage {
  var inputs: [String] = []
  var outputs: [String] = []
  var name = ""
  var opType = ""
  var domain = ""
  var overload = ""
  var attributes: [AttributeMessage] = []

  /// What messages call the node: its name, or that of its first result where it has none.
  var label: String { name.isEmpty ? outputs.first { !$0.isEmpty } ?? "" : name }
}

struct AttributeMessage {
  /// AttributeProto.AttributeType of the standard.
  enum Kind: Int32 {
    case undefined = 0, float = 1, int = 2, string = 3, tensor = 4, graph = 5, floats = 6, ints = 7, strings = 8, tensors = 9, graphs = 10
    case sparseTensor = 11, sparseTensors = 12, typeProto = 13, typeProtos = 14
  }
  var name = ""
  var kind: Kind?
  var float: Float?
  var int: Int64?
  var string: [UInt8]?
  var tensor: TensorMessage?
  var floats: [Float] = []
  var ints: [Int64] = []
  var strings: [[UInt8]] = []
  /// The one subgraph, or the list of them.
  var graphs: [GraphMessage] = []
  var sparse: SparseTensorMessage?
  var type: TypeMessage?
  /// In a function: the attribute of the call that gives the value.
  var reference: String?
}

struct TensorMessage {
  var dims: [Int64] = []
  var dataType: Int32 = 0
  var name = ""
  var external: [(key: String, value: String)] = []
  var isExternal = false
  var payload: [PayloadReference] = []
}

/// Where elements of a tensor lie in the file; see `schemas/onnx.proto`.
struct PayloadReference {
  var field: UInt32
  var packed: Bool
  var range: Range<Int>
}

struct SparseTensorMessage {
  var values: TensorMessage?
  var indices: TensorMessage?
  var dims: [Int64] = []

  var name: String { values?.name ?? "" }
}

struct ValueInfoMessage {
  var name = ""
  /// nil where it is left out.
  var type: TypeMessage?
}

indirect enum TypeMessage {
  struct Dimension {
    var value: Int64?
    var symbol: String?
  }
  /// `dims` is nil where not even the rank is declared.
  case tensor(element: Int32?, dims: [Dimension]?)
  case sequence(TypeMessage?)
  case optional(TypeMessage?)
  case map(key: Int32, value: TypeMessage?)
}

/// Values outside a model.
indirect enum ValueMessage {
  case tensor(TensorMessage)
  case sequence([ValueMessage])
  case optional(ValueMessage?)
  case map(keys: [Int64], stringKeys: [[UInt8]], keyType: Int32, values: [ValueMessage])
}
