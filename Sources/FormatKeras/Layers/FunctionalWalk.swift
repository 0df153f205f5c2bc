internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Puts the calls of a functional model in order and finds what each is called with.
struct FunctionalWalk {
  struct Step {
    var layer: Int
    var call: Int
  }
  let model: KerasModel
  let version: Int
  let index: [String: Int]
  private(set) var order: [Step] = []
  /// Results of each call, by layer.
  var results: [String: [[ValueID]?]] = [:]

  init(model: KerasModel, version: Int) {
    self.model = model
    self.version = version
    index = Dictionary(model.layers.enumerated().map { ($1.name, $0) }) { first, _ in first }
  }

  func layer(named name: String) -> KerasLayer? { index[name].map { model.layers[$0] } }

  mutating func store(_ values: [ValueID], _ step: Step) {
    let layer = model.layers[step.layer]
    var all = results[layer.name] ?? [[ValueID]?](repeating: nil, count: layer.inbound.count)
    if step.call < all.count { all[step.call] = values }
    results[layer.name] = all
  }

  /// Which call a node number means. A model as a layer has a node of its own from being built, so that its calls count
  /// from 1: everywhere in Keras 2, and for functional models in Keras 3's list of outputs.
  private func call(_ reference: KerasModel.Reference, isOutput: Bool) throws(Failure) -> Step {
    guard let position = index[reference.layer] else {
      throw Failure(.undefinedValue, "the layer '\(reference.layer)' does not exist", at: .element(reference.layer))
    }
    let layer = model.layers[position]
    let count = max(layer.inbound.count, 1)
    var node = reference.node
    if layer.isModel, version == 2 || (isOutput && !layer.isSequential) { node = max(node - 1, 0) }
    // A layer that is called once has no other call to mean.
    if count == 1, layer.isModel { node = 0 }
    guard 0..<count ~= node else {
      throw Failure(.undefinedValue, "the layer '\(reference.layer)' has no call \(reference.node)", at: .element(reference.layer))
    }
    return Step(layer: position, call: node)
  }

  func value(_ reference: KerasModel.Reference, isOutput: Bool) throws(Failure) -> ValueID {
    let step = try call(reference, isOutput: isOutput)
    guard let all = results[reference.layer], step.call < all.count, let values = all[step.call] else {
      throw Failure(.undefinedValue, "the result of '\(reference.layer)' is not made", at: .element(reference.layer))
    }
    guard values.indices.contains(reference.tensor) else {
      throw Failure(.undefinedValue, "'\(reference.layer)' has no result \(reference.tensor)", at: .element(reference.layer))
    }
    return values[reference.tensor]
  }

  /// Depth first from each call in the order of layers, so that the order given is kept where it can be.
  mutating func sort() throws(Failure) {
    enum Mark { case new, open, done }
    var marks = model.layers.map { [Mark](repeating: .new, count: $0.inbound.count) }
    for (position, layer) in model.layers.enumerated() where layer.className != "InputLayer" {
      for call in layer.inbound.indices where marks[position][call] == .new {
        var stack: [(step: Step, references: [KerasModel.Reference], next: Int)] = []
        func references(_ step: Step) throws(Failure) -> [KerasModel.Reference] {
          var found: [KerasModel.Reference] = []
          FunctionalWalk.collect(model.layers[step.layer].inbound[step.call], into: &found)
          return found
        }
        let first = Step(layer: position, call: call)
        stack.append((first, try references(first), 0))
        marks[position][call] = .open
        while var top = stack.popLast() {
          var descended = false
          while top.next < top.references.count {
            let reference = top.references[top.next]
            top.next += 1
            let step = try self.call(reference, isOutput: false)
            let target = model.layers[step.layer]
            if target.className == "InputLayer" { continue }
            guard step.call < target.inbound.count else {
              throw Failure(.undefinedValue, "the layer '\(target.name)' is read and never called", at: .element(target.name))
            }
            if marks[step.layer][step.call] == .open {
              throw Failure(.cyclicGraph, "the layer '\(target.name)' takes its own result: the model has a cycle", at: .element(target.name))
            }
            if marks[step.layer][step.call] == .new {
              marks[step.layer][step.call] = .open
              stack.append(top)
              stack.append((step, try references(step), 0))
              descended = true
              break
            }
          }
          if !descended {
            marks[top.step.layer][top.step.call] = .done
            order.append(top.step)
          }
        }
      }
    }
  }
}
