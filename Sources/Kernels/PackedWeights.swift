internal import COneDNN
internal import Diagnostics

/// Constant weights in the layout a kernel chose, made once from the bytes where they lie.
@safe final class PackedWeights {
  let byteCount: Int
  let memory: UnsafeMutableRawPointer
  fileprivate let layout: dnnl_memory_desc_t

  fileprivate init(_ source: UnsafeRawPointer, _ from: dnnl_memory_desc_t, as to: dnnl_memory_desc_t) throws(Failure) {
    var (from, to) = (from, to)
    layout = to
    byteCount = unsafe dnnl_memory_desc_get_size(&to)
    unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: Swift.max(byteCount, 64), alignment: 64)
    var descriptor: dnnl_primitive_desc_t?
    try OneDNN.check(unsafe dnnl_reorder_primitive_desc_create(&descriptor, &from, OneDNN.engine, &to, OneDNN.engine, nil), "a reorder")
    guard let descriptor = unsafe descriptor else { throw Failure(.kernelFailure, "oneDNN made no reorder") }
    let workspace = Workspace()
    let reorder = try unsafe Primitive(consuming: descriptor, arguments: [(DNNL_ARG_FROM, from), (DNNL_ARG_TO, to)], workspace: workspace)
    try unsafe reorder.run([source, UnsafeRawPointer(memory)])
  }

  deinit { unsafe memory.deallocate() }
}

/// Packed weights by what they were packed from, so that plans for several shapes of one model share them.
@safe public final class WeightCache {
  private struct Entry {
    let from: dnnl_memory_desc_t
    let packed: PackedWeights
  }
  private var entries: [Int: [Entry]] = [:]

  public init() {}

  /// Bytes held in packed form.
  public var byteCount: Int { entries.values.joined().reduce(0) { $0 + $1.packed.byteCount } }

  /// - Parameter source: must stay valid and unchanged as long as the cache lives.
  func packed(_ source: UnsafeRawPointer, _ from: dnnl_memory_desc_t, as to: dnnl_memory_desc_t) throws(Failure) -> PackedWeights {
    var (from, to) = (from, to)
    let key = Int(bitPattern: source)
    for entry in entries[key] ?? [] {
      var (known, layout) = (entry.from, entry.packed.layout)
      if unsafe dnnl_memory_desc_equal(&known, &from) != 0, unsafe dnnl_memory_desc_equal(&layout, &to) != 0 { return entry.packed }
    }
    let packed = try unsafe PackedWeights(source, from, as: to)
    entries[key, default: []].append(Entry(from: from, packed: packed))
    return packed
  }
}
