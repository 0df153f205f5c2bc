extension ModelDraft {
  /// The layers in the order in which Keras keeps those of a Functional model, and stores their weights by: by distance
  /// from the outputs, the farthest first, then in the order in which a search from the outputs meets them. What no output
  /// needs is left out, inputs excepted.
  func inKerasOrder() -> ModelDraft {
    var places: [String: Int] = [:]
    for (index, layer) in layers.enumerated() { places[layer.name] = index }
    let parents = layers.map { layer in layer.readLayers.compactMap { places[$0] } }

    var met = [Int?](repeating: nil, count: layers.count)
    var finished = [Bool](repeating: false, count: layers.count)
    var deepestLast: [Int] = []
    var count = 0
    for output in outputs {
      guard let root = places[output.layer] else { continue }
      var stack = [(layer: root, next: 0)]
      while var top = stack.popLast() {
        if finished[top.layer] { continue }
        if met[top.layer] == nil {
          met[top.layer] = count
          count += 1
        }
        if top.next < parents[top.layer].count {
          let parent = parents[top.layer][top.next]
          top.next += 1
          stack.append(top)
          if !finished[parent] { stack.append((parent, 0)) }
        } else {
          finished[top.layer] = true
          deepestLast.append(top.layer)
        }
      }
    }
    var depths = [Int](repeating: 0, count: layers.count)
    for layer in deepestLast.reversed() {
      for parent in parents[layer] { depths[parent] = max(depths[parent], depths[layer] + 1) }
    }
    let kept = layers.indices.filter { met[$0] != nil || layers[$0].className == "InputLayer" }
    var result = self
    result.layers = kept.sorted { (-depths[$0], met[$0] ?? -1, $0) < (-depths[$1], met[$1] ?? -1, $1) }.map { layers[$0] }
    return result
  }
}

extension LayerDraft {
  /// The layers whose results it is called with, in the order in which Keras flattens its arguments.
  fileprivate var readLayers: [String] {
    var result: [String] = []
    func collect(_ argument: CallArgument) {
      switch argument {
      case .tensor(let tensor): result.append(tensor.layer)
      case .list(let entries): entries.forEach(collect)
      default: break
      }
    }
    arguments.forEach(collect)
    for key in keywords.keys.sorted() { if let argument = keywords[key] { collect(argument) } }
    return result
  }
}
