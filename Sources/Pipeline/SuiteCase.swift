internal import Bytes
internal import Diagnostics
internal import Execution
internal import FormatONNX
internal import GraphIR
internal import Reporting
internal import Tensors
internal import Validation

/// One test case: a folder with `model.onnx` and data sets of `input_N.pb` and `output_N.pb`.
struct SuiteCase {
  let path: String
  let name: String
  /// Seconds that one data set may take: a case that goes on without end must not stop the others.
  let timeLimit: Double

  func outcome(_ request: CommonRequest) -> SuiteReport.Case {
    let clock = ContinuousClock()
    let started = clock.now
    var result = SuiteReport.Case(name: name, outcome: .passed)
    do throws(Failure) {
      try run(request, &result)
    } catch {
      result.outcome = .refused
      result.code = error.code
      result.reason = error.message + (error.at.description.isEmpty ? "" : " (\(error.at.description))")
    }
    let (seconds, attoseconds) = started.duration(to: clock.now).components
    result.seconds = Double(seconds) + Double(attoseconds) * 1e-18
    return result
  }

  private func run(_ request: CommonRequest, _ result: inout SuiteReport.Case) throws(Failure) {
    var sink = DiagnosticSink()
    let (graph, facts) = try FormatRegistry.read("\(path)/model.onnx", sink: &sink)
    result.operators = facts.operators.keys.sorted()
    var options = request.runOptions
    options.timeLimit = timeLimit
    let executor = Executor(graph, options: options)
    let agreement = try tolerance()
    for set in try Folder.entries(of: path) where set.hasPrefix("test_data_set_") && Folder.exists("\(path)/\(set)") {
      result.dataSets += 1
      let inputs = try values("\(path)/\(set)/input_", graph.inputs, graph)
      let wanted = try values("\(path)/\(set)/output_", graph.outputs, graph)
      var named: [String: RuntimeValue] = [:]
      for (id, value) in zip(graph.inputs, inputs) { named[graph[id].name] = value }
      guard inputs.count == graph.inputs.count, wanted.count == graph.outputs.count else {
        throw Failure(
          .badRunInput, "\(set) holds \(inputs.count) inputs and \(wanted.count) outputs of \(graph.inputs.count) and \(graph.outputs.count)")
      }
      let run = try executor.run(values: named)
      for (id, want) in zip(graph.outputs, wanted) {
        guard let got = run[id] else { throw Failure(.internalError, "the run left '\(graph[id].name)' out") }
        guard let difference = agreement.difference(got, wanted: want) else { continue }
        result.outcome = .failed
        result.reason = "\(set), '\(graph[id].name)': \(difference)"
        return
      }
    }
  }

  /// The values `prefix`0.pb, 1, … for as many as there are.
  private func values(_ prefix: String, _ ids: [ValueID], _ graph: Graph) throws(Failure) -> [RuntimeValue] {
    var result: [RuntimeValue] = []
    for (index, id) in ids.enumerated() {
      let file = "\(prefix)\(index).pb"
      guard Folder.hasFile(file) else { break }
      let source = try ByteSource(mapping: file)
      result.append(try ONNXValueReader.read(source, type: graph[id].declaredContainer ?? graph[id].declaredType.map { .tensor($0) }))
    }
    return result
  }

  /// A `data.json` beside the model may give tolerances of its own: `{"rtol": 1e-3, "atol": 1e-7}`.
  private func tolerance() throws(Failure) -> ValueAgreement {
    var agreement = ValueAgreement()
    guard Folder.hasFile("\(path)/data.json") else { return agreement }
    let source = try ByteSource(mapping: "\(path)/data.json")
    let text = String(decoding: source.bytes(in: 0..<min(source.count, 1 << 16)), as: UTF8.self)
    func number(_ key: String) -> Double? {
      guard let from = text.firstRange(of: "\"\(key)\"")?.upperBound else { return nil }
      let rest = text[from...].drop { $0.isWhitespace || $0 == ":" }
      return Double(rest.prefix { $0.isNumber || "+-.eE".contains($0) })
    }
    if let given = number("rtol"), given >= 0 { agreement.relative = given }
    if let given = number("atol"), given >= 0 { agreement.absolute = given }
    return agreement
  }
}
