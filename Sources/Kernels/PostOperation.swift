internal import COneDNN
internal import Diagnostics

/// What a matrix product or convolution does to each result before it is stored.
public enum PostOperation: Hashable, Sendable {
  case function(Pointwise.Function)
  /// With an operand of its own, broadcast to the result (axes of one element repeat).
  case binary(Pointwise.Operation, Strided)

  /// Whether the kernels can do the whole chain to results of `channels` channels while storing them.
  public static func supports(_ operations: [PostOperation], channels: Int) -> Bool { Finish.split(operations, channels: channels) != nil }
}

extension Pointwise.Function {
  /// oneDNN's algorithm with its two parameters; nil where it has none or loses a NaN (ReLU and clip are maxima there).
  var fused: (dnnl_alg_kind_t, Float, Float)? {
    switch self {
    case .gelu: (dnnl_eltwise_gelu_erf, 0, 0)
    case .geluTanh: (dnnl_eltwise_gelu_tanh, 0, 0)
    case .tanh: (dnnl_eltwise_tanh, 0, 0)
    case .sigmoid: (dnnl_eltwise_logistic, 0, 0)
    case .swish(let a): (dnnl_eltwise_swish, a, 0)
    case .affine(let a, let b): (dnnl_eltwise_linear, a, b)
    case .abs: (dnnl_eltwise_abs, 0, 0)
    case .square: (dnnl_eltwise_square, 0, 0)
    default: nil
    }
  }
}

extension Pointwise.Operation {
  var fused: dnnl_alg_kind_t? {
    switch self {
    case .add: dnnl_binary_add
    case .subtract: dnnl_binary_sub
    case .multiply: dnnl_binary_mul
    case .divide: dnnl_binary_div
    case .maximum: dnnl_binary_max
    case .minimum: dnnl_binary_min
    }
  }
}

/// The attributes of a primitive: scale, post-operations, scratch memory from outside.
@safe final class Attributes {
  private(set) var handle: dnnl_primitive_attr_t?
  /// The operands that post-operations read, in the order their pointers are to be given.
  private(set) var operands: [(index: Int32, description: dnnl_memory_desc_t)] = []

  init(scale: Float = 1, _ operations: [PostOperation]) throws(Failure) {
    unsafe handle = nil
    var attributes: dnnl_primitive_attr_t?
    try OneDNN.check(unsafe dnnl_primitive_attr_create(&attributes), "attributes")
    unsafe handle = attributes
    try OneDNN.check(unsafe dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user), "a scratchpad")
    if scale != 1 { try OneDNN.check(unsafe dnnl_primitive_attr_set_output_scales(attributes, 1, 0, [scale]), "an output scale") }
    guard !operations.isEmpty else { return }
    var chain: dnnl_post_ops_t?
    try OneDNN.check(unsafe dnnl_post_ops_create(&chain), "post-operations")
    defer { _ = unsafe dnnl_post_ops_destroy(chain) }
    for (place, operation) in operations.enumerated() {
      switch operation {
      case .function(let function):
        guard let (algorithm, a, b) = function.fused else { throw Failure(.kernelFailure, "\(function) cannot be fused") }
        try OneDNN.check(unsafe dnnl_post_ops_append_eltwise(chain, 1, algorithm, a, b), "an element-wise post-operation")
      case .binary(let binary, let layout):
        guard let algorithm = binary.fused else { throw Failure(.kernelFailure, "\(binary) cannot be fused") }
        var description = try OneDNN.describe(layout)
        try OneDNN.check(unsafe dnnl_post_ops_append_binary(chain, algorithm, &description), "a binary post-operation")
        operands.append((DNNL_ARG_ATTR_MULTIPLE_POST_OP_BASE * Int32(place + 1) | DNNL_ARG_SRC_1, description))
      }
    }
    try OneDNN.check(unsafe dnnl_primitive_attr_set_post_ops(attributes, chain), "post-operations")
  }

  deinit { _ = unsafe dnnl_primitive_attr_destroy(handle) }
}
