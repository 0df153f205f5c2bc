internal import Diagnostics
internal import GraphIR

/// The functions that a model defines, and their instances: a body for each way they are called.
///
/// Functions do not call themselves (the reader has seen to it), so instances nest no deeper than there are functions.
final class FunctionLibrary {
  private struct Key: Hashable {
    var name: FunctionName
    var given: [Bool]
  }

  private let functions: [FunctionName: FunctionMessage]
  /// Instances of calls without attributes: most calls, and all that a file can multiply cheaply.
  private var instances: [Key: Subgraph] = [:]
  private var nodeCount = 0
  private var sizes: [Subgraph: Int] = [:]
  /// Nodes of all instances together: a file of a few functions could ask for any number.
  private static let nodeLimit = 1 << 20

  init(_ functions: [FunctionMessage]) {
    self.functions = Dictionary(functions.map { ($0.name, $0) }) { first, _ in first }
  }

  func defines(_ node: NodeMessage) -> Bool { functions[FunctionName(node)] != nil }

  /// The body of one call: attributes that it refers to are filled in, operands that are left out are left out inside.
  func instance(for call: NodeMessage, assembling: (GraphMessage, _ opsets: [String: Int]?) throws(Failure) -> Graph) throws(Failure) -> Subgraph {
    let name = FunctionName(call)
    guard let function = functions[name] else { throw Failure(.internalError, "there is no function '\(name.name)'") }
    guard call.inputs.count <= function.inputs.count, call.outputs.count <= function.outputs.count else {
      throw Failure(.operandCount, "the function '\(name.name)' takes \(function.inputs.count) operands and gives \(function.outputs.count) results")
    }
    let given = function.inputs.indices.map { $0 < call.inputs.count && !call.inputs[$0].isEmpty }
    let key = Key(name: name, given: given)
    if call.attributes.isEmpty, let known = instances[key] { return known }
    var attributes = Dictionary(function.defaults.map { ($0.name, $0) }) { first, _ in first }
    for attribute in call.attributes { attributes[attribute.name] = attribute }
    let absent = Set(zip(function.inputs, given).filter { !$0.1 }.map(\.0))
    let nodes = try function.nodes.map { (node) throws(Failure) in try instantiated(node, attributes, absent) }
    let message = GraphMessage(
      name: name.name, nodes: nodes, inputs: zip(function.inputs, given).filter(\.1).map { ValueInfoMessage(name: $0.0) },
      outputs: function.outputs.map { ValueInfoMessage(name: $0) })
    var opsets: [String: Int] = [:]
    for (domain, version) in function.opsets where version > 0 { opsets[domain == "ai.onnx" ? "" : domain] = Int(version) }
    let body = Subgraph(try assembling(message, opsets.isEmpty ? nil : opsets))
    guard size(of: body) <= FunctionLibrary.nodeLimit else { throw tooLarge() }
    if call.attributes.isEmpty { instances[key] = body }
    return body
  }

  private func tooLarge() -> Failure { Failure(.limitExceeded, "the calls of functions stand for more than \(FunctionLibrary.nodeLimit) nodes") }

  /// The nodes that a body stands for, those of the bodies inside included: functions that share instances may stand for
  /// far more than are held.
  private func size(of body: Subgraph) -> Int {
    if let known = sizes[body] { return known }
    var sum = 0
    for (_, node) in body.graph.liveNodes {
      sum += 1
      for inner in node.op.bodies { sum = min(sum + size(of: inner), FunctionLibrary.nodeLimit + 1) }
    }
    sizes[body] = sum
    return sum
  }

  private func instantiated(_ node: NodeMessage, _ attributes: [String: AttributeMessage], _ absent: Set<String>) throws(Failure) -> NodeMessage {
    nodeCount += 1
    guard nodeCount <= FunctionLibrary.nodeLimit else { throw tooLarge() }
    var node = node
    node.inputs = node.inputs.map { absent.contains($0) ? "" : $0 }
    var filled: [AttributeMessage] = []
    for var attribute in node.attributes {
      if let reference = attribute.reference {
        // An attribute that the call does not give, and that has no default, is left out inside, too.
        guard var value = attributes[reference] else { continue }
        value.name = attribute.name
        filled.append(value)
        continue
      }
      for index in attribute.graphs.indices {
        attribute.graphs[index].nodes = try attribute.graphs[index].nodes.map { (node) throws(Failure) in try instantiated(node, attributes, absent) }
      }
      filled.append(attribute)
    }
    node.attributes = filled
    return node
  }
}

extension FunctionName {
  init(_ call: NodeMessage) { self.init(domain: call.domain, name: call.opType, overload: call.overload) }
}
