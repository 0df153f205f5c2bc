internal import GraphIR
internal import Tensors

/// What inference has folded stands as a constant.
enum ConstantForm {
  static let rules: [Rule] = [folded]

  /// A node all of whose results are known before anything runs is its results.
  static let folded = Rule(.exact) { site, sweep in
    guard !site.results.isEmpty else { return nil }
    var tensors: [Tensor?] = []
    for result in site.results {
      guard let result else {
        tensors.append(nil)
        continue
      }
      guard let tensor = sweep.constant(result) else { return nil }
      tensors.append(tensor)
    }
    return tensors.map { $0.map { sweep.constant($0, for: site) } }
  }
}
