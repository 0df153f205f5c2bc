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

/// Constant weights in panels of columns for `PackedProduct` and `PackedConvolution`.
@safe final class PackedPanels {
  /// What was packed: a matrix `[depth, columns]` at its strides, or filters.
  fileprivate enum Source: Hashable {
    case matrix(Strided)
    case filters(channels: Int, taps: Int, count: Int)
  }
  let memory: UnsafeMutablePointer<Float>
  let byteCount: Int
  fileprivate let source: Source
  private let pool: LargePages

  fileprivate init(_ weights: UnsafePointer<Float>, _ source: Source, threads: Int, in pool: LargePages) throws(Failure) {
    let (depth, columns) =
      switch source {
      case .matrix(let layout): (layout.dims[0], layout.dims[1])
      case .filters(let channels, let taps, let count): (channels * taps, count)
      }
    let lanes = 16
    byteCount = depth * ((columns + lanes - 1) / lanes * lanes) * MemoryLayout<Float>.size
    self.source = source
    self.pool = pool
    unsafe memory = try pool.allocate(byteCount).assumingMemoryBound(to: Float.self)
    let target = unsafe memory
    let panels = vc_panels(columns)
    // Panels by themselves, so that the threads share the work.
    let parts = byteCount > 1 << 20 ? panels : 1
    let before = Parallel.threads
    Parallel.use(threads: threads)
    defer { Parallel.use(threads: before) }
    Parallel.forEach(parts) { part, _ in
      let (first, last) = (panels * part / parts, panels * (part + 1) / parts)
      switch source {
      case .matrix(let layout): unsafe vc_pack_weights(weights, layout.strides[0], layout.strides[1], depth, columns, first, last, target)
      case .filters(let channels, let taps, _): unsafe vc_pack_filters(weights, channels, taps, columns, first, last, target)
      }
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
  /// Threads that pack, however few then run.
  private let threads: Int

  public init(threads: Int = 1) { self.threads = threads }

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
  func panels(_ source: UnsafePointer<Float>, _ layout: Strided) throws(Failure) -> PackedPanels { try unsafe panels(source, .matrix(layout)) }

  /// Filters `(count, channels, taps)`, dense.
  func filters(_ source: UnsafePointer<Float>, channels: Int, taps: Int, count: Int) throws(Failure) -> PackedPanels {
    try unsafe panels(source, .filters(channels: channels, taps: taps, count: count))
  }

  private func panels(_ weights: UnsafePointer<Float>, _ source: PackedPanels.Source) throws(Failure) -> PackedPanels {
    let key = Int(bitPattern: weights)
    if let known = panels[key]?.first(where: { $0.source == source }) { return known }
    let packed = try unsafe PackedPanels(weights, source, threads: threads, in: pool)
    panels[key, default: []].append(packed)
    return packed
  }
}
