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
  var nodes: [NodeMessage]
}

struct GraphMessage {
  var name = ""
  var nodes: [NodeMessage] = []
  var initializers: [TensorMessage] = []
  /// Names of the sparse initializers.
  var sparse: [String] = []
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
  var isReference = false
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

struct ValueInfoMessage {
  struct Dimension {
    var value: Int64?
    var symbol: String?
  }
  var name = ""
  /// nil for values that are no tensors, or whose type is left out.
  var elementType: Int32?
  /// nil where not even the rank is declared.
  var dims: [Dimension]?
}
