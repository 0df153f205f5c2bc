internal import COneDNN
internal import CVector
internal import Diagnostics
internal import Glibc

/// Constant weights in the layout a kernel chose, made once from the bytes where they lie.
@safe final class PackedWeights {
  let byteCount: Int
  let memory: UnsafeMutableRawPointer
  fileprivate let layout: dnnl_memory_desc_t

  private let pool: LargePages

  fileprivate init(_ source: UnsafeRawPointer, _ from: dnnl_memory_desc_t, as to: dnnl_memory_desc_t, in pool: LargePages) throws(Failure) {
    var (from, to) = (from, to)
    layout = to
    self.pool = pool
    byteCount = unsafe dnnl_memory_desc_get_size(&to)
    unsafe memory = try pool.allocate(byteCount)
    var descriptor: dnnl_primitive_desc_t?
    try OneDNN.check(unsafe dnnl_reorder_primitive_desc_create(&descriptor, &from, OneDNN.engine, &to, OneDNN.engine, nil), "a reorder")
    guard let descriptor = unsafe descriptor else { throw Failure(.kernelFailure, "oneDNN made no reorder") }
    let workspace = Workspace()
    let reorder = try unsafe Primitive(consuming: descriptor, arguments: [(DNNL_ARG_FROM, from), (DNNL_ARG_TO, to)], workspace: workspace)
    try unsafe reorder.run([source, UnsafeRawPointer(memory)])
  }
}

/// Constant weights in panels of columns for `PackedProduct`.
@safe final class PackedPanels {
  let memory: UnsafeMutablePointer<Float>
  let byteCount: Int
  fileprivate let layout: Strided
  private let pool: LargePages

  fileprivate init(_ source: UnsafePointer<Float>, _ layout: Strided, in pool: LargePages) throws(Failure) {
    let (depth, columns) = (layout.dims[0], layout.dims[1])
    let lanes = 16
    byteCount = depth * ((columns + lanes - 1) / lanes * lanes) * MemoryLayout<Float>.size
    self.layout = layout
    self.pool = pool
    unsafe memory = try pool.allocate(byteCount).assumingMemoryBound(to: Float.self)
    let (target, panel) = unsafe (memory, Int(VC_PANEL))
    // Panels by themselves, so that the threads share the work.
    let parts = byteCount > 1 << 20 ? (columns + panel - 1) / panel : 1
    let wide = parts == 1 ? columns : panel
    Parallel.forEach(parts) { part, _ in
      let start = part * wide
      unsafe vc_pack_weights(
        source + start * layout.strides[1], layout.strides[0], layout.strides[1], depth, Swift.min(wide, columns - start), target + start * depth)
    }
  }
}

/// Memory that is given out and freed as one, from chunks that the kernel may back by large pages: fewer faults while
/// weights are packed, fewer translations to look up while they are read.
@safe final class LargePages {
  private var chunks: [(base: UnsafeMutableRawPointer, byteCount: Int)] = unsafe []
  private var used = 0

  /// `byteCount` bytes at a multiple of 64.
  func allocate(_ byteCount: Int) throws(Failure) -> UnsafeMutableRawPointer {
    let needed = Swift.max((byteCount + 63) & ~63, 64)
    if unsafe chunks.last == nil || used + needed > (chunks.last?.byteCount ?? 0) {
      let size = Swift.max(needed, 32 << 20)
      let address = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
      guard let address = unsafe address, unsafe address != MAP_FAILED else {
        throw Failure(.outOfMemory, "no memory for \(byteCount >> 20) MiB of packed weights")
      }
      unsafe madvise(address, size, MADV_HUGEPAGE)
      unsafe chunks.append((address, size))
      used = 0
    }
    guard let chunk = unsafe chunks.last else { throw Failure(.outOfMemory, "no memory for packed weights") }
    defer { used += needed }
    return unsafe chunk.base + used
  }

  deinit { for index in unsafe chunks.indices { unsafe munmap(chunks[index].base, chunks[index].byteCount) } }
}

/// Packed weights by what they were packed from, so that plans for several shapes of one model share them.
@safe public final class WeightCache {
  private struct Entry {
    let from: dnnl_memory_desc_t
    let packed: PackedWeights
  }
  private var entries: [Int: [Entry]] = [:]
  private var panels: [Int: [PackedPanels]] = [:]
  private let pool = LargePages()

  public init() {}

  /// Bytes held in packed form.
  public var byteCount: Int { entries.values.joined().reduce(0) { $0 + $1.packed.byteCount } + panels.values.joined().reduce(0) { $0 + $1.byteCount } }

  /// - Parameter source: must stay valid and unchanged as long as the cache lives.
  func packed(_ source: UnsafeRawPointer, _ from: dnnl_memory_desc_t, as to: dnnl_memory_desc_t) throws(Failure) -> PackedWeights {
    var (from, to) = (from, to)
    let key = Int(bitPattern: source)
    for entry in entries[key] ?? [] {
      var (known, layout) = (entry.from, entry.packed.layout)
      if unsafe dnnl_memory_desc_equal(&known, &from) != 0, unsafe dnnl_memory_desc_equal(&layout, &to) != 0 { return entry.packed }
    }
    let packed = try unsafe PackedWeights(source, from, as: to, in: pool)
    entries[key, default: []].append(Entry(from: from, packed: packed))
    return packed
  }

  /// - Parameters:
  ///   - source: must stay valid and unchanged as long as the cache lives.
  ///   - layout: `[depth, columns]`.
  func panels(_ source: UnsafePointer<Float>, _ layout: Strided) throws(Failure) -> PackedPanels {
    let key = Int(bitPattern: source)
    if let known = panels[key]?.first(where: { $0.layout == layout }) { return known }
    let packed = try unsafe PackedPanels(source, layout, in: pool)
    panels[key, default: []].append(packed)
    return packed
  }
}
