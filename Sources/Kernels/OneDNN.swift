internal import COneDNN
internal import Diagnostics

/// The engine and stream of oneDNN that every primitive runs on.
enum OneDNN {
  /// Nil where the library cannot start.
  nonisolated(unsafe) static let engine: dnnl_engine_t? = {
    var engine: dnnl_engine_t?
    return unsafe dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
  }()
  nonisolated(unsafe) static let stream: dnnl_stream_t? = {
    var stream: dnnl_stream_t?
    guard let engine = unsafe engine else { return nil }
    return unsafe dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue) == dnnl_success ? stream : nil
  }()

  static func check(_ status: dnnl_status_t, _ what: StaticString) throws(Failure) {
    if status == dnnl_success { return }
    if status == dnnl_out_of_memory { throw Failure(.outOfMemory, "oneDNN has no memory for \(what)") }
    throw Failure(.kernelFailure, "oneDNN refused \(what) (status \(status.rawValue))")
  }

  /// The description of a tensor at these strides.
  static func describe(_ layout: Strided, _ element: dnnl_data_type_t = dnnl_f32) throws(Failure) -> dnnl_memory_desc_t {
    guard layout.rank <= Int(DNNL_MAX_NDIMS) else { throw Failure(.kernelFailure, "more than \(DNNL_MAX_NDIMS) axes") }
    var description = dnnl_memory_desc_t()
    let (dims, strides) = (padded(layout.dims), padded(layout.strides))
    try check(unsafe dnnl_memory_desc_init_by_strides(&description, CInt(layout.rank), dims, element, strides), "a memory description")
    return description
  }

  /// The description of a tensor whose layout the primitive may choose.
  static func describe(any dims: [Int], _ element: dnnl_data_type_t = dnnl_f32) throws(Failure) -> dnnl_memory_desc_t {
    guard dims.count <= Int(DNNL_MAX_NDIMS) else { throw Failure(.kernelFailure, "more than \(DNNL_MAX_NDIMS) axes") }
    var description = dnnl_memory_desc_t()
    try check(
      unsafe dnnl_memory_desc_init_by_tag(&description, CInt(dims.count), padded(dims), element, dnnl_format_tag_any), "a memory description")
    return description
  }

  static func padded(_ values: [Int]) -> [dnnl_dim_t] {
    values.map { dnnl_dim_t($0) } + [dnnl_dim_t](repeating: 0, count: Swift.max(0, Int(DNNL_MAX_NDIMS) - values.count))
  }
}

/// Scratch memory that the primitives of one plan share, one block for each worker; it grows to the largest demand before
/// the first run.
@safe public final class Workspace {
  /// Bytes for one worker.
  private var demand = 0
  /// Bytes that all workers share.
  private var sharedDemand = 0
  private let workers: Int
  private var base: UnsafeMutableRawPointer?

  public init() {
    workers = Parallel.threads
    unsafe base = nil
  }
  deinit { unsafe base?.deallocate() }

  public var byteCount: Int { demand * workers + sharedDemand }

  func reserve(_ bytes: Int) { demand = Swift.max(demand, (bytes + 4095) & ~4095) }

  /// For what one step keeps for all its workers, such as an operand in another precision.
  func reserveShared(_ bytes: Int) { sharedDemand = Swift.max(sharedDemand, (bytes + 4095) & ~4095) }

  var shared: UnsafeMutableRawPointer? {
    prepare()
    return unsafe base.map { unsafe $0 + demand * workers }
  }

  /// Must be called once before workers ask for their memory at the same time.
  func prepare() {
    if unsafe base == nil, byteCount > 0 { unsafe base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096) }
  }

  func memory(_ worker: Int) -> UnsafeMutableRawPointer? {
    prepare()
    return unsafe base.map { unsafe $0 + Swift.min(worker, workers - 1) * demand }
  }
}

/// A prepared oneDNN operation together with the memory objects of its arguments.
@safe final class Primitive {
  private let primitive: dnnl_primitive_t
  private var arguments: [dnnl_exec_arg_t]
  private let workspace: Workspace

  /// - Parameters:
  ///   - descriptor: consumed.
  ///   - arguments: what `run` is given pointers for, in that order.
  init(consuming descriptor: dnnl_primitive_desc_t, arguments: [(index: Int32, description: dnnl_memory_desc_t)], workspace: Workspace) throws(Failure) {
    defer { _ = unsafe dnnl_primitive_desc_destroy(descriptor) }
    self.workspace = workspace
    var created: dnnl_primitive_t?
    try OneDNN.check(unsafe dnnl_primitive_create(&created, descriptor), "a primitive")
    guard let created = unsafe created else { throw Failure(.kernelFailure, "oneDNN made no primitive") }
    unsafe primitive = created
    unsafe self.arguments = []
    for (index, description) in arguments { try add(index, description) }
    if let scratch = unsafe dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0) {
      workspace.reserve(unsafe dnnl_memory_desc_get_size(scratch))
      try add(DNNL_ARG_SCRATCHPAD, unsafe scratch.pointee)
    }
  }

  private func add(_ index: Int32, _ description: dnnl_memory_desc_t) throws(Failure) {
    var memory: dnnl_memory_t?
    var description = description
    try OneDNN.check(unsafe dnnl_memory_create(&memory, &description, OneDNN.engine, nil), "a memory object")
    unsafe arguments.append(dnnl_exec_arg_t(arg: index, memory: memory))
  }

  deinit {
    for index in unsafe arguments.indices { _ = unsafe dnnl_memory_destroy(arguments[index].memory) }
    _ = unsafe dnnl_primitive_destroy(primitive)
  }

  func run(_ pointers: [UnsafeRawPointer?], worker: Int = 0) throws(Failure) {
    for place in unsafe pointers.indices {
      let pointer = unsafe pointers[place]
      try OneDNN.check(unsafe dnnl_memory_set_data_handle(arguments[place].memory, UnsafeMutableRawPointer(mutating: pointer)), "a pointer")
    }
    if unsafe arguments.count > pointers.count {
      try OneDNN.check(unsafe dnnl_memory_set_data_handle(arguments[pointers.count].memory, workspace.memory(worker)), "a pointer")
    }
    try OneDNN.check(unsafe dnnl_primitive_execute(primitive, OneDNN.stream, CInt(arguments.count), arguments), "to run")
  }
}
