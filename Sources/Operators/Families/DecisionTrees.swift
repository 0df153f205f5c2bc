internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Trees as one array of nodes. A leaf holds what it adds to targets.
struct DecisionForest {
  enum Comparison: UInt8 { case lessOrEqual = 0, less, greaterOrEqual, greater, equal, notEqual, member }
  struct Branch {
    var feature: Int
    var comparison: Comparison
    var threshold: Double
    var members: Set<Double> = []
    var missingIsTrue: Bool
    /// Places of nodes.
    var whenTrue, whenFalse: Int

    func holds(_ x: Double) -> Bool {
      if x.isNaN, missingIsTrue { return true }
      return switch comparison {
      case .lessOrEqual: x <= threshold
      case .less: x < threshold
      case .greaterOrEqual: x >= threshold
      case .greater: x > threshold
      case .equal: x == threshold
      case .notEqual: x != threshold
      case .member: members.contains(x)
      }
    }
  }
  enum Node {
    case branch(Branch)
    case leaf([(target: Int, weight: Double)])
  }
  var nodes: [Node]
  var roots: [Int]

  /// The leaf that a sample ends in; nil where the way goes in a circle.
  func leaf(_ root: Int, _ sample: ArraySlice<Double>) -> [(target: Int, weight: Double)]? {
    var place = root
    for _ in 0...nodes.count {
      switch nodes[place] {
      case .leaf(let votes): return votes
      case .branch(let branch): place = branch.holds(sample[sample.startIndex + branch.feature]) ? branch.whenTrue : branch.whenFalse
      }
    }
    return nil
  }

  /// The largest feature that is looked at.
  var featureCount: Int {
    nodes.reduce(0) { count, node in if case .branch(let branch) = node { max(count, branch.feature + 1) } else { count } }
  }
}

/// TreeEnsemble (ai.onnx.ml 5), TreeEnsembleClassifier and TreeEnsembleRegressor (ai.onnx.ml 3): samples (N, F); sums,
/// means, least or largest of what the leaves say, or the class that it speaks for, and the scores.
struct TreeEnsemble: CataloguedOperator {
  let op: CataloguedOp
  private var classifies: Bool { op.kind == .treeEnsembleClassifier }
  var arity: Arity { Arity(1...1, results: 1...(classifies ? 2 : 1)) }

  private func labels() throws(Failure) -> ClassLabels { try labels("classlabels_int64s", "classlabels_strings") }

  private func targets() throws(Failure) -> Int {
    let count = classifies ? try labels().count : op.optionalInt("n_targets") ?? 1
    guard 1...1 << 24 ~= count else { throw badAttribute("\(count) targets") }
    return count
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let (count, _) = try checkSamples(x)
    let targets = try targets()
    switch op.kind {
    case .treeEnsemble: return [Fact(TensorType(x.type.element, Shape([count, Dim(targets)])))]
    case .treeEnsembleRegressor: return [Fact(TensorType(.float32, Shape([count, Dim(targets)])))]
    default:
      let labels = try labels()
      return Array(
        [Fact(TensorType(labels.element, Shape([count]))), Fact(TensorType(.float32, Shape([count, Dim(isBinary ? 2 : targets)])))].prefix(resultCount))
    }
  }

  /// One score for two classes.
  private var isBinary: Bool {
    classifies && Set(op.ints("class_ids")).count == 1 && max(op.ints("classlabels_int64s").count, op.strings("classlabels_strings").count) <= 2
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    let depth = 16
    return Cost(elementwise: (results.last?.elementCount ?? 0) &* depth &* max(op.ints("tree_roots").count, Set(op.ints("nodes_treeids")).count))
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let facts = try infer([Fact(x.type)], resultCount: resultCount)
    let (values, count, features) = try samples(x)
    let forest = op.kind == .treeEnsemble ? try linkedForest() : try numberedForest()
    let targets = try targets()
    try checkRunnable([count, targets])
    guard forest.featureCount <= features else { throw Failure(.indexOutOfRange, "\(mnemonic) looks at feature \(forest.featureCount - 1) of \(features)") }
    let base = op.numbers("base_values_as_tensor")?.values ?? op.floats("base_values")
    guard base.isEmpty || base.count == targets || isBinary && base.count <= 2 else { throw badAttribute("\(base.count) base values for \(targets) targets") }
    let aggregate =
      op.kind == .treeEnsemble ? ["AVERAGE", "SUM", "MIN", "MAX"][safe: op.int("aggregate_function")] : classifies ? "SUM" : op.word("aggregate_function")
    guard let aggregate else { throw badAttribute("aggregate function \(op.int("aggregate_function"))") }
    var rows: [[Double]] = []
    for sample in 0..<count {
      var sums = [Double?](repeating: nil, count: targets)
      for root in forest.roots {
        guard let votes = forest.leaf(root, values[sample * features..<(sample + 1) * features]) else {
          throw Failure(.badAttribute, "\(mnemonic): the nodes of a tree form a circle")
        }
        for vote in votes {
          guard sums.indices.contains(vote.target) else { throw Failure(.indexOutOfRange, "\(mnemonic) has a weight for target \(vote.target) of \(targets)") }
          let old = sums[vote.target]
          sums[vote.target] =
            switch aggregate {
            case "MIN": min(old ?? vote.weight, vote.weight)
            case "MAX": max(old ?? vote.weight, vote.weight)
            default: (old ?? 0) + vote.weight
            }
        }
      }
      rows.append(
        sums.enumerated().map { target, sum in
          (aggregate == "AVERAGE" ? (sum ?? 0) / Double(max(forest.roots.count, 1)) : sum ?? 0) + (target < base.count ? base[target] : 0)
        })
    }
    guard classifies else {
      guard let element = facts.first?.type.element else { return [] }
      let names = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
      let transform = op.kind == .treeEnsemble ? names[safe: op.int("post_transform")].flatMap { ScoreTransform(rawValue: $0) } : transform
      guard let transform else { throw badAttribute("post transform \(op.int("post_transform"))") }
      return [try Tensor(element, dims: [count, targets], reals: rows.flatMap { transform($0) })]
    }
    return try classified(rows, resultCount)
  }

  private func classified(_ rows: [[Double]], _ resultCount: Int) throws(Failure) -> [Tensor] {
    let labels = try labels()
    var places: [Int] = []
    var scores: [Double] = []
    if isBinary {
      let weights = op.numbers("class_weights_as_tensor")?.values ?? op.floats("class_weights")
      let probabilities = weights.allSatisfy { $0 >= 0 }
      let target = op.ints("class_ids").first ?? 0
      for row in rows {
        let score = row[safe: target] ?? 0
        places.append(score > (probabilities ? 0.5 : 0) ? 1 : 0)
        scores += (probabilities ? BinaryScores.complement : .opposite)(score, transform)
      }
    } else {
      for row in rows {
        var best = 0
        for place in row.indices where row[place] > row[best] { best = place }
        places.append(best)
        scores += transform(row)
      }
    }
    let dims = [rows.count, isBinary ? 2 : labels.count]
    return Array([try labels.tensor(places), try Tensor(.float32, dims: dims, reals: scores)].prefix(resultCount))
  }

  // MARK: Trees

  /// Version 5: branches and leaves in lists of their own, branches name places.
  private func linkedForest() throws(Failure) -> DecisionForest {
    let features = op.ints("nodes_featureids")
    let count = features.count
    let (whenTrue, whenFalse) = (op.ints("nodes_truenodeids"), op.ints("nodes_falsenodeids"))
    let (trueLeaves, falseLeaves) = (op.ints("nodes_trueleafs"), op.ints("nodes_falseleafs"))
    let splits = op.numbers("nodes_splits")?.values ?? []
    let modes = op.numbers("nodes_modes")?.values ?? []
    let missing = op.ints("nodes_missing_value_tracks_true")
    let weights = op.numbers("leaf_weights")?.values ?? []
    let targets = op.ints("leaf_targetids")
    guard [whenTrue.count, whenFalse.count, trueLeaves.count, falseLeaves.count, splits.count, modes.count].allSatisfy({ $0 == count }),
      missing.isEmpty || missing.count == count, weights.count == targets.count
    else { throw badAttribute("its lists of nodes or of leaves have different lengths") }
    var members = (op.numbers("membership_values")?.values ?? [])[...]
    func place(_ id: Int, isLeaf: Bool) throws(Failure) -> Int {
      guard 0..<(isLeaf ? weights.count : count) ~= id else {
        throw Failure(.indexOutOfRange, "\(mnemonic) has a branch to \(isLeaf ? "leaf" : "node") \(id), which there is not")
      }
      return isLeaf ? count + id : id
    }
    var nodes: [DecisionForest.Node] = []
    for index in 0..<count {
      guard let mode = UInt8(exactly: modes[index]), let comparison = DecisionForest.Comparison(rawValue: mode), 0..<1 << 32 ~= features[index] else {
        throw badAttribute("a node of mode \(modes[index]) looks at feature \(features[index])")
      }
      var branch = DecisionForest.Branch(
        feature: features[index], comparison: comparison, threshold: splits[index], missingIsTrue: !missing.isEmpty && missing[index] != 0,
        whenTrue: try place(whenTrue[index], isLeaf: trueLeaves[index] != 0), whenFalse: try place(whenFalse[index], isLeaf: falseLeaves[index] != 0))
      if comparison == .member {
        // Sets stand one after the other, each closed by a NaN.
        while let member = members.popFirst(), !member.isNaN { branch.members.insert(member) }
      }
      nodes.append(.branch(branch))
    }
    for (target, weight) in zip(targets, weights) { nodes.append(.leaf([(target, weight)])) }
    let roots = op.ints("tree_roots")
    guard roots.allSatisfy({ 0..<count ~= $0 }) else { throw Failure(.indexOutOfRange, "\(mnemonic) has a root that is no node") }
    return DecisionForest(nodes: nodes, roots: roots)
  }

  private struct NodeName: Hashable { var tree, node: Int }

  /// Versions 1 and 3: nodes are named by tree and number.
  private func numberedForest() throws(Failure) -> DecisionForest {
    let trees = op.ints("nodes_treeids")
    let count = trees.count
    let (numbers, features, modes) = (op.ints("nodes_nodeids"), op.ints("nodes_featureids"), op.strings("nodes_modes"))
    let (whenTrue, whenFalse) = (op.ints("nodes_truenodeids"), op.ints("nodes_falsenodeids"))
    let thresholds = op.numbers("nodes_values_as_tensor")?.values ?? op.floats("nodes_values")
    let missing = op.ints("nodes_missing_value_tracks_true")
    let prefix = classifies ? "class" : "target"
    let (voteTrees, voteNodes, voteTargets) = (op.ints("\(prefix)_treeids"), op.ints("\(prefix)_nodeids"), op.ints("\(prefix)_ids"))
    let weights = op.numbers("\(prefix)_weights_as_tensor")?.values ?? op.floats("\(prefix)_weights")
    guard [numbers.count, features.count, modes.count, whenTrue.count, whenFalse.count, thresholds.count].allSatisfy({ $0 == count }),
      missing.isEmpty || missing.count == count, [voteNodes.count, voteTargets.count, weights.count].allSatisfy({ $0 == voteTrees.count })
    else { throw badAttribute("its lists of nodes or of weights have different lengths") }
    var places: [NodeName: Int] = [:]
    for index in 0..<count {
      guard places.updateValue(index, forKey: NodeName(tree: trees[index], node: numbers[index])) == nil else {
        throw badAttribute("node \(numbers[index]) of tree \(trees[index]) stands twice")
      }
    }
    var votes: [Int: [(target: Int, weight: Double)]] = [:]
    for index in voteTrees.indices {
      guard let place = places[NodeName(tree: voteTrees[index], node: voteNodes[index])] else {
        throw badAttribute("a weight for node \(voteNodes[index]) of tree \(voteTrees[index]), which there is not")
      }
      votes[place, default: []].append((voteTargets[index], weights[index]))
    }
    let comparisons: [String: DecisionForest.Comparison] = [
      "BRANCH_LEQ": .lessOrEqual, "BRANCH_LT": .less, "BRANCH_GTE": .greaterOrEqual, "BRANCH_GT": .greater, "BRANCH_EQ": .equal, "BRANCH_NEQ": .notEqual,
    ]
    var isChild = [Bool](repeating: false, count: count)
    var nodes: [DecisionForest.Node] = []
    for index in 0..<count {
      let mode = String(decoding: modes[index], as: UTF8.self)
      if mode == "LEAF" {
        nodes.append(.leaf(votes[index] ?? []))
        continue
      }
      guard let comparison = comparisons[mode], 0..<1 << 32 ~= features[index] else {
        throw badAttribute("a node of mode '\(mode)' looks at feature \(features[index])")
      }
      guard let first = places[NodeName(tree: trees[index], node: whenTrue[index])], let second = places[NodeName(tree: trees[index], node: whenFalse[index])]
      else {
        throw Failure(.indexOutOfRange, "\(mnemonic): node \(numbers[index]) of tree \(trees[index]) branches to a node that is not there")
      }
      isChild[first] = true
      isChild[second] = true
      nodes.append(
        .branch(
          DecisionForest.Branch(
            feature: features[index], comparison: comparison, threshold: thresholds[index], missingIsTrue: !missing.isEmpty && missing[index] != 0,
            whenTrue: first, whenFalse: second)))
    }
    let roots = (0..<count).filter { !isChild[$0] }
    guard Set(roots.map { trees[$0] }).count == Set(trees).count else { throw badAttribute("a tree has no root") }
    return DecisionForest(nodes: nodes, roots: roots)
  }
}

extension Array {
  /// The element at an index that may be outside.
  subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
