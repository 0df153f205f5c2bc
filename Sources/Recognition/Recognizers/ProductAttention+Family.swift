internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// Which family a softmax over a product is of, and what sets it apart within it.
extension ProductAttention {
  func family(_ grouping: TokenGrouping, _ bias: ScoreBiasReading.Reading) -> AttentionFamily {
    if contractsTokens { return .crossCovariance }
    if mixesHeads { return .talkingHeads }
    if isGrouped { return .gqa }
    if bias.causal { return .causal }
    if view.isSampled(key.source, limit: 8), view.isSampled(value.source, limit: 8) { return .deformable }
    let selection = selection
    if queryTokens == 1, keyTokens != 1, grouping.form == .all, selection != .thinned {
      return view.isActivation(queryValue) ? .classAttention : .cross
    }
    switch grouping.form {
    case .window: return .window
    case .grid: return .grid
    // Lines that see other lines as well are windows.
    case .axial: return queryTokens == keyTokens ? .axial : .window
    case .all, .units: break
    }
    if !hasOneSource { return .cross }
    if learnedKeys > 0 { return .selfAttention }
    if bias.isBanded { return .window }
    if seesBeyondWindow { return .window }
    if isNonLocal { return .nonLocal }
    if queryTokens != keyTokens {
      switch selection {
      case .thinned where query.spatial.isEmpty && key.spatial.isEmpty: return .selfAttention
      case .part: return .selfAttention
      case .apart: return .cross
      default: break
      }
      if !query.spatial.isEmpty || !key.spatial.isEmpty { return .pooled }
      if reduces(key, otherThan: query), !reduces(query, otherThan: key) { return .spatialReduction }
      if let n = queryTokens.value, let m = keyTokens.value, n < m { return .pooled }
      return .spatialReduction
    }
    return key.spatial.isEmpty || query.spatial.isEmpty ? .selfAttention : .pooled
  }

  /// Constant keys that stand beside those of the tokens, where these are all the keys that no query has its place at:
  /// learned prefixes, bias keys, a column of zeros.
  private var learnedKeys: Int {
    guard let n = queryTokens.value, let m = keyTokens.value, n < m else { return 0 }
    var count = 0
    for id in key.nodes {
      guard case .layout(.concat(let axis)) = view.graph[id].op else { continue }
      for case let part? in view.graph[id].inputs where !view.isActivation(part) {
        guard let dims = view.shape(part)?.dims else { continue }
        count &+= dims.indices.contains(axis < 0 ? axis + dims.count : axis) ? dims[axis < 0 ? axis + dims.count : axis].value ?? 0 : 0
      }
    }
    return count == m - n ? count : 0
  }

  /// Keys are the queries' places and some around them: one window with a halo (Vaswani et al. 2021).
  private var seesBeyondWindow: Bool {
    guard let n = queryTokens.value, let m = keyTokens.value, n < m else { return false }
    return (key.nodes + query.nodes).contains { if case .layout(.pad) = view.graph[$0].op { true } else { false } }
  }

  /// A dilated grid of which the residual stream itself is made, and no table that knows places: sequences of unfolded
  /// patches (Mehta and Rastegari 2022).
  func isUnfolded(_ grouping: TokenGrouping, _ bias: ScoreBias) -> Bool {
    guard grouping.form == .grid, case .none = bias, let start = outputStart else { return false }
    let branch = view.branch(from: start, own: Set([query.linear, key.linear, value.linear].compactMap { $0 }))
    guard branch.residualAdd != nil, let first = view.labels.layout(branch.output)?.axes.first else { return false }
    return first.contains { view.labels.kind($0) == .token }
  }

  /// One head, convolutions as projections, no scale by the size of the head: Wang et al. 2018.
  private var isNonLocal: Bool {
    guard heads == 1, chain.biases.isEmpty, let scale, scale == 1 || abs(scale * Double(headDim ?? 1).squareRoot() - 1) > 1e-3 else { return false }
    func isConvolution(_ id: NodeID?) -> Bool { if let id, case .convolution = view.graph[id].op { true } else { false } }
    return isConvolution(query.linear) && isConvolution(key.linear)
  }

  func traits(_ grouping: TokenGrouping) -> [String] {
    var result: [String] = []
    if contractsTokens, query.norm?.axis == .token { result.append("queries and keys of length 1 along tokens") }
    if chain.hasTemperature { result.append("a temperature for each head") }
    if chain.isCapped { result.append("scores capped by a tanh") }
    if chain.hasSink { result.append("a sink beside the keys") }
    if takesDifference { result.append("the difference of two maps") }
    if selection == .thinned || selection == .part, queryTokens != keyTokens, queryTokens != 1 { result.append("a part of the tokens asks") }
    if !view.isActivation(queryValue) { result.append("learned queries") }
    if learnedKeys > 0, queryTokens != keyTokens { result.append("\(learnedKeys) learned keys beside those of the tokens") }
    if !chain.factors.isEmpty { result.append("scores multiplied by an activation") }
    if meeting.gates.contains(where: { !view.isActivation($0) && (view.shape($0)?.rank ?? 0) >= 2 }) {
      result.append("a positional map joins the probabilities")
    }
    if isGrouped { result.append("\(keyHeads) heads of keys") }
    if queryValue == keyValue || view.isSameProjection(queryValue, keyValue) {
      result.append("one projection for queries and keys")
    } else if view.isSameProjection(keyValue, valueValue) {
      result.append("one projection for keys and values")
    }
    if seesBeyondWindow || grouping.form == .window, queryTokens != keyTokens { result.append("keys beyond the window") }
    return result
  }
}
