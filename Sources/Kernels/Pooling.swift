internal import COneDNN
public import Diagnostics

/// Maximum and average pooling in one to three spatial axes by oneDNN.
@safe public final class Pooling {
  public enum Kind: Hashable, Sendable { case maximum, average, averageIncludingPadding }
  private var pieces: [(primitive: Primitive, place: WindowPiece)] = []
  private let workspace: Workspace

  /// - Parameters: `x` `(N, C, …)` and `y` `(N, C, …)`, channels-last without gaps.
  public init(_ kind: Kind, x: Strided, y: Strided, window: WindowGeometry, workspace: Workspace) throws(Failure) {
    guard x.rank >= 3, x.rank == y.rank else { throw Failure(.kernelFailure, "pooling of rank \(x.rank)") }
    self.workspace = workspace
    for place in WindowPiece.cut(x, y, window) { pieces.append((try Pooling.prepare(kind, place, workspace), place)) }
  }

  private static func prepare(_ kind: Kind, _ place: WindowPiece, _ workspace: Workspace) throws(Failure) -> Primitive {
    let window = place.window
    let attributes = try Attributes([])
    var (source, target) = (try OneDNN.describe(place.x), try OneDNN.describe(place.y))
    let algorithm =
      switch kind {
      case .maximum: dnnl_pooling_max
      case .average: dnnl_pooling_avg_exclude_padding
      case .averageIncludingPadding: dnnl_pooling_avg_include_padding
      }
    var operation = dnnl_pooling_v2_desc_t()
    try OneDNN.check(
      unsafe dnnl_pooling_v2_forward_desc_init(
        &operation, dnnl_forward_inference, algorithm, &source, &target, OneDNN.padded(window.strides), OneDNN.padded(window.kernel),
        OneDNN.padded(window.dilations.map { $0 - 1 }), OneDNN.padded(window.padBegin), OneDNN.padded(window.padEnd)), "a pooling")
    var created: dnnl_primitive_desc_t?
    try OneDNN.check(unsafe dnnl_primitive_desc_create(&created, &operation, attributes.handle, OneDNN.engine, nil), "a pooling")
    guard let descriptor = unsafe created else { throw Failure(.kernelFailure, "oneDNN made no pooling") }
    return try unsafe Primitive(consuming: descriptor, arguments: [(DNNL_ARG_SRC, source), (DNNL_ARG_DST, target)], workspace: workspace)
  }

  public func run(x: UnsafeRawPointer, y: UnsafeMutableRawPointer) throws(Failure) {
    workspace.prepare()
    let size = MemoryLayout<Float>.size
    try Parallel.tryForEach(pieces.count) { (index, worker) throws(Failure) in
      let (primitive, place) = pieces[index]
      try unsafe primitive.run([x + place.xStart * size, UnsafeRawPointer(y + place.yStart * size)], worker: worker)
    }
  }
}
