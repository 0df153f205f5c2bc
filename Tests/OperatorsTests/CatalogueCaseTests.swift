import Bytes
import Diagnostics
import FormatONNX
import Foundation
import GraphIR
import GraphText
import Operators
import Tensors
import TestSupport
import Testing

/// The operators of the table, and those of com.microsoft that are read as several, against results of independent
/// implementations: the nodes of fixtures/models/catalogue_*.onnx, made by fixtures/make/catalogue_cases.py. Operands and
/// expected results are initializers.
@Suite struct CatalogueCaseTests {
  struct Model: Sendable {
    let graph: Graph
    /// What is made, by name; a failure in the place of what could not be.
    let made: [String: Result<Tensor, Failure>]
    let unknown: [String]

    init(_ file: String) {
      var sink = DiagnosticSink()
      let path = Fixtures.path(file)
      let graph: Graph
      do { graph = try ONNXReader.read(try ByteSource(mapping: path), path: path, sink: &sink).graph } catch { fatalError("\(error)") }
      unknown = sink.diagnostics.map(\.message)
      var values: [ValueID: Tensor] = [:]
      var made: [String: Result<Tensor, Failure>] = [:]
      for (_, node) in graph.liveNodes {
        do throws(Failure) {
          guard let op = node.op.semantics else { throw Failure(.operatorNotRunnable, "foreign") }
          var operands: [Tensor?] = []
          for input in node.inputs { operands.append(input.flatMap { values[$0] ?? graph.constant($0) }) }
          let results = try op.evaluate(operands, resultCount: node.outputs.count)
          for (output, result) in zip(node.outputs, results) {
            guard let output else { continue }
            values[output] = result
            made[graph[output].name] = .success(result)
          }
        } catch {
          for output in node.outputs.compactMap({ $0 }) { made[graph[output].name] = .failure(error) }
        }
      }
      self.graph = graph
      self.made = made
    }
  }

  /// The last two of com.microsoft's other operators, and of normalizations of older versions and other precisions
  /// (fixtures/make/contributed_cases.py).
  static let models =
    ["catalogue_15", "catalogue_17", "catalogue_21", "contributed_21", "contributed_28", "normalizations_17", "normalizations_21", "normalizations_23"].map {
      Model("models/\($0).onnx")
    } + [Model("data/normalizations_7.onnx"), Model("data/normalizations_9.onnx")]

  struct Case: CustomStringConvertible, Sendable {
    let model: Int
    /// CASE=i
    let result: String
    let expected: Tensor
    var description: String { result }
  }

  static let cases: [Case] = models.enumerated().flatMap { index, model in
    model.graph.values.handles.compactMap { id -> Case? in
      let name = model.graph[id].name
      guard name.contains("!"), let tensor = model.graph.constant(id) else { return nil }
      return Case(model: index, result: name.replacingOccurrences(of: "!", with: "="), expected: tensor)
    }
  }

  @Test func everyCaseIsUnderstood() {
    for model in CatalogueCaseTests.models { #expect(model.unknown == []) }
    #expect(CatalogueCaseTests.cases.count > 300)
  }

  @Test(arguments: cases) func evaluateGivesTheOraclesResult(_ item: Case) throws {
    let made = try #require(CatalogueCaseTests.models[item.model].made[item.result]).get()
    let expected = item.expected
    #expect(made.elementType == expected.elementType)
    #expect(made.dims == expected.dims)
    if case .strings(let strings) = expected.storage {
      guard case .strings(let own) = made.storage else { throw Failure(.typeMismatch, "no strings") }
      #expect(own == strings)
    } else if expected.elementType.isFloatingPoint {
      // Runtimes compute in single precision; narrower results were rounded on the way as well.
      let allowed = expected.elementType == .float16 ? 2e-3 : expected.elementType == .bfloat16 ? 1e-2 : 2e-5
      let error = relativeError(made, expected)
      #expect(error <= allowed, "\(error): \(made.doubles()?.prefix(12) ?? []) instead of \(expected.doubles()?.prefix(12) ?? [])")
    } else {
      #expect(made.doubles() == expected.doubles())
    }
  }

  static let nodes: [(model: Int, node: NodeID)] = models.enumerated().flatMap { index, model in
    model.graph.order.filter { if case .catalogued = model.graph[$0].op { true } else { false } }.map { (index, $0) }
  }

  private func facts(_ model: Model, _ node: Node, known: Bool) -> [Fact?] {
    node.inputs.map { id in
      id.flatMap { model.graph.constant($0) }.map { tensor in known ? Fact(tensor.type, value: .tensor(tensor)) : Fact(TensorType(tensor.elementType, nil)) }
    }
  }

  @Test(arguments: 0..<nodes.count) func inferredTypesAreTheTypesMade(_ index: Int) throws {
    let (place, id) = CatalogueCaseTests.nodes[index]
    let model = CatalogueCaseTests.models[place]
    let node = model.graph[id]
    guard node.inputs.allSatisfy({ $0.map { model.graph.constant($0) != nil } ?? true }) else { return }
    let op = try #require(node.op.semantics)
    try op.checkArity(node)
    let inferred = try op.infer(facts(model, node, known: true), resultCount: node.outputs.count)
    for (output, fact) in zip(node.outputs, inferred) {
      guard let output else { continue }
      let made = try #require(model.made[model.graph[output].name]).get()
      #expect(fact.type.element == made.elementType)
      let shape = try #require(fact.type.shape)
      #expect(shape.rank == made.dims.count)
      for (dim, size) in zip(shape.dims, made.dims) { if let value = dim.value { #expect(value == size) } }
    }
    let open = try op.infer(facts(model, node, known: false), resultCount: node.outputs.count)
    for (before, after) in zip(inferred, open) {
      #expect(after.type.element == before.type.element)
      if let shape = after.type.shape { #expect(shape.rank == before.type.shape?.rank) }
    }
    let cost = op.cost(operands: facts(model, node, known: true).map { $0?.type }, results: inferred.map(\.type))
    #expect(cost.macs >= 0 && cost.elementwise >= 0)
  }

  /// Operands that no valid model has: a `Failure` or a result, never a trap.
  @Test(arguments: 0..<nodes.count) func noOperandTraps(_ index: Int) throws {
    let (place, id) = CatalogueCaseTests.nodes[index]
    let model = CatalogueCaseTests.models[place]
    let node = model.graph[id]
    let op = try #require(node.op.semantics)
    let operands = node.inputs.map { $0.flatMap { model.graph.constant($0) } }
    var random = SeededRandom(UInt64(index))
    for _ in 0..<40 {
      var changed = operands
      for _ in 0..<Int.random(in: 1...2, using: &random) {
        guard let at = changed.indices.randomElement(using: &random), let tensor = changed[at] else { continue }
        changed[at] = hostile(tensor, &random)
      }
      do throws(Failure) {
        let results = try op.evaluate(changed, resultCount: node.outputs.count)
        #expect(results.count >= node.outputs.count)
      } catch {
        #expect(error.code != .internalError, "\(error)")
        #expect(!error.message.isEmpty)
      }
      let facts = changed.map { tensor -> Fact? in
        guard let tensor else { return nil }
        let dims = tensor.dims.map { Bool.random(using: &random) ? Dim(symbol: "s\($0)") : Dim($0) }
        return Fact(
          TensorType(tensor.elementType, Int.random(in: 0..<6, using: &random) == 0 ? nil : Shape(dims)),
          value: Bool.random(using: &random) ? .tensor(tensor) : nil)
      }
      do throws(Failure) { _ = try op.infer(facts, resultCount: node.outputs.count) } catch { #expect(error.code != .internalError, "\(error)") }
    }
  }

  /// Attributes that no valid model has.
  @Test(arguments: 0..<nodes.count) func noAttributeTraps(_ index: Int) throws {
    let (place, id) = CatalogueCaseTests.nodes[index]
    let model = CatalogueCaseTests.models[place]
    let node = model.graph[id]
    guard case .catalogued(let op) = node.op else { return }
    let operands = node.inputs.map { $0.flatMap { model.graph.constant($0) } }
    let facts = operands.map { $0.map { Fact($0.type, value: .tensor($0)) } }
    var random = SeededRandom(UInt64(index) &+ 1_000_000)
    for _ in 0..<40 {
      var attributes = Dictionary(op.attributes.map { ($0.name, $0.value) }) { first, _ in first }
      for _ in 0..<Int.random(in: 1...2, using: &random) {
        guard let schema = op.kind.entry.attributes.randomElement(using: &random) else { continue }
        attributes[schema.name] = hostile(schema.form, attributes[schema.name], &random)
      }
      guard let changed = try? CataloguedOp(op.kind, attributes), let semantics = Op.catalogued(changed).semantics else { continue }
      do throws(Failure) {
        let inferred = try semantics.infer(facts, resultCount: node.outputs.count)
        // What would take long is another matter than what is wrong.
        let cost = semantics.cost(operands: facts.map { $0?.type }, results: inferred.map(\.type))
        let sizes = inferred.map { $0.type.shape?.concrete?.checkedProduct ?? 0 }
        guard cost.macs < 1 << 24, cost.elementwise < 1 << 24, sizes.allSatisfy({ $0 < 1 << 22 }) else { continue }
        _ = try semantics.evaluate(operands, resultCount: node.outputs.count)
      } catch {
        #expect(error.code != .internalError, "\(error)")
        #expect(!error.message.isEmpty)
      }
    }
  }

  private func hostile(_ form: AttributeSchema.Form, _ old: AttributeData?, _ random: inout SeededRandom) -> AttributeData? {
    if Int.random(in: 0..<6, using: &random) == 0 { return nil }
    let integer = Int(HostileOperandTests.extremes.randomElement(using: &random) ?? 0)
    let number = ([.nan, .infinity, -.infinity, 1e30, -1, 0, 0.5, 3] as [Float]).randomElement(using: &random) ?? 0
    /// One element changed, or the list cut, doubled or emptied.
    func changed<T>(_ list: [T], _ element: T) -> [T] {
      var list = list
      switch Int.random(in: 0..<5, using: &random) {
      case 0: return []
      case 1: return list + list
      case 2: return Array(list.dropLast())
      case 3: return list + [element]
      default:
        if let place = list.indices.randomElement(using: &random) { list[place] = element }
        return list
      }
    }
    switch form {
    case .int: return .int(integer)
    case .float: return .float(number)
    case .string: return .string([[], [255, 0], Array("(a*)*".utf8), Array("[".utf8)].randomElement(using: &random) ?? [])
    case .choice(let words): return .string(Array((words.randomElement(using: &random) ?? "").utf8))
    case .ints:
      guard case .ints(let list)? = old else { return .ints([integer, 1]) }
      return .ints(changed(list, integer))
    case .floats:
      guard case .floats(let list)? = old else { return .floats([number, 1]) }
      return .floats(changed(list, number))
    case .strings:
      guard case .strings(let list)? = old else { return .strings([[97]]) }
      return .strings(changed(list, [255]))
    case .numbers:
      guard case .numbers(let element, let list)? = old else { return .numbers(.float32, [1]) }
      return .numbers(element, changed(list, Double(number)))
    }
  }

  private func hostile(_ tensor: Tensor, _ random: inout SeededRandom) -> Tensor? {
    switch Int.random(in: 0..<9, using: &random) {
    case 0: return nil
    case 1, 2:
      guard tensor.elementType == .int64 || tensor.elementType == .int32, tensor.count > 0 else { fallthrough }
      let value = HostileOperandTests.extremes.randomElement(using: &random) ?? 0
      if tensor.elementType == .int32 {
        return try? Tensor(.int32, dims: tensor.dims, values: [Int32](repeating: Int32(truncatingIfNeeded: value), count: tensor.count))
      }
      var values = tensor.elements(as: Int64.self)
      values[Int.random(in: 0..<values.count, using: &random)] = value
      return try? Tensor(.int64, dims: tensor.dims, values: values)
    case 3:
      guard tensor.elementType == .float32 else { fallthrough }
      let extremes: [Float] = [.nan, .infinity, -.infinity, .greatestFiniteMagnitude, -1e30, 0, -0.0, .leastNonzeroMagnitude, 1e9]
      return try? Tensor(float32: (0..<tensor.count).map { _ in extremes.randomElement(using: &random) ?? 0 }, dims: tensor.dims)
    case 4:
      var dims = tensor.dims
      guard !dims.isEmpty else { return try? Tensor(float32: [1, 2], dims: [2]) }
      let axis = Int.random(in: 0..<dims.count, using: &random)
      dims[axis] = [0, 1, 2, dims[axis] + 1].randomElement(using: &random) ?? 0
      if tensor.elementType == .string {
        return try? Tensor(.string, dims: dims, storage: .strings([[UInt8]](repeating: [255, 97], count: dims.reduce(1, *))))
      }
      return try? Tensor(tensor.elementType, dims: dims, values: [UInt8](repeating: 1, count: tensor.elementType.byteCount(of: dims.reduce(1, *)) ?? 0))
    case 5: return try? tensor.reshaped(tensor.dims + [1])
    case 6: return try? tensor.reshaped([tensor.count])
    case 7: return try? tensor.reshaped(tensor.count == 1 ? [] : [1] + tensor.dims)
    default:
      let types: [ElementType] = [.float32, .float64, .int64, .int32, .bool, .uint8, .int8, .float16, .bfloat16, .uint64, .int4, .float8e4m3fn, .complex64]
      let type = types.randomElement(using: &random) ?? .float32
      return try? Tensor(type, dims: tensor.dims, values: [UInt8](repeating: 1, count: type.byteCount(of: tensor.count) ?? 0))
    }
  }

  @Test func everyRowHasAKindAndEveryKindARowAndACase() {
    #expect(Set(OperatorEntry.all.map(\.kind)) == Set(CataloguedOp.Kind.allCases))
    #expect(Set(OperatorEntry.all.map { "\($0.domain).\($0.name)" }).count == OperatorEntry.all.count)
    let covered = Set(
      CatalogueCaseTests.nodes.compactMap { place, id -> CataloguedOp.Kind? in
        if case .catalogued(let op) = CatalogueCaseTests.models[place].graph[id].op { op.kind } else { nil }
      })
    // Pictures and maps are tested below.
    #expect(Set(CataloguedOp.Kind.allCases).subtracting(covered) == [.imageDecoder, .zipMap, .castMap, .dictVectorizer])
  }

  /// Every operator's attributes through the text form and back.
  @Test(arguments: 0..<nodes.count) func textGivesTheOperatorBack(_ index: Int) throws {
    let (place, id) = CatalogueCaseTests.nodes[index]
    let node = CatalogueCaseTests.models[place].graph[id]
    var builder = GraphBuilder(name: "g", opsets: ["": 21])
    let x = builder.input("x", TensorType(.float32, nil))
    let y = builder.node(node.op, node.inputs.map { $0 == nil ? nil : x }, result: "y")
    builder.outputs([y])
    let graph = try builder.finish()
    let text = GraphPrinter.print(graph)
    let again = try GraphParser.parse(text)
    #expect(again[again.order[0]].op == node.op, "\(text)")
    #expect(GraphPrinter.print(again) == text)
  }

  @Test func attributesAreChecked() throws {
    let cases: [(CataloguedOp.Kind, [String: AttributeData])] = [
      (.quantizeLinear, ["axes": .int(1)]), (.quantizeLinear, ["axis": .floats([1])]), (.gridSample, ["mode": .string(Array("octic".utf8))]),
      (.maxRoiPool, [:]), (.matMulNBits, ["K": .int(32)]),
    ]
    for (kind, attributes) in cases {
      do throws(Failure) {
        _ = try CataloguedOp(kind, attributes)
        Issue.record("\(kind) takes \(attributes)")
      } catch {
        #expect(error.code == .badAttribute)
        #expect(error.message.contains(kind.entry.name))
      }
    }
    #expect(try CataloguedOp(.quantizeLinear, ["axis": .int(1)]) == CataloguedOp(.quantizeLinear))
  }

  private func evaluate(_ kind: CataloguedOp.Kind, _ attributes: [String: AttributeData] = [:], _ operands: [Tensor?]) throws(Failure) -> [Tensor] {
    guard let op = Op.catalogued(try CataloguedOp(kind, attributes)).semantics else { throw Failure(.internalError, "no meaning") }
    return try op.evaluate(operands, resultCount: 1)
  }

  @Test func regionsArePooledByTheirLargestPixel() throws {
    let x = try Tensor(float32: (0..<16).map { Float($0) }, dims: [1, 1, 4, 4])
    let region = try Tensor(float32: [0, 0, 0, 3, 3, 0, 1, 1, 2, 2, 0, 9, 9, 12, 12], dims: [3, 5])
    let pooled = try evaluate(.maxRoiPool, ["pooled_shape": .ints([2, 2])], [x, region])[0]
    #expect(pooled.dims == [3, 1, 2, 2])
    #expect(pooled.floats() == [5, 7, 13, 15, 5, 6, 9, 10, 0, 0, 0, 0])
    let elsewhere = try Tensor(float32: [1, 0, 0, 3, 3], dims: [1, 5])
    expect(.indexOutOfRange) { () throws(Failure) in _ = try self.evaluate(.maxRoiPool, ["pooled_shape": .ints([2, 2])], [x, elsewhere]) }
  }

  private func expect(_ code: DiagnosticCode, _ body: () throws(Failure) -> Void) {
    do throws(Failure) {
      try body()
      Issue.record("nothing was thrown")
    } catch {
      #expect(error.code == code, "\(error)")
    }
  }

  private func linked(whenFalse: [Int], leaves: [Int], features: [Int] = [0, 0]) -> [String: AttributeData] {
    [
      "n_targets": .int(1), "tree_roots": .ints([0]), "nodes_featureids": .ints(features), "nodes_splits": .numbers(.float32, [0, 0]),
      "nodes_modes": .numbers(.uint8, [0, 0]), "nodes_truenodeids": .ints([0, 0]), "nodes_falsenodeids": .ints(whenFalse), "nodes_trueleafs": .ints([1, 1]),
      "nodes_falseleafs": .ints(leaves), "leaf_targetids": .ints([0]), "leaf_weights": .numbers(.float32, [2]),
    ]
  }

  @Test func treesThatAreNoneAreRefused() throws {
    let x = try Tensor(float32: [1], dims: [1, 1])
    #expect(try evaluate(.treeEnsemble, linked(whenFalse: [1, 0], leaves: [0, 1]), [x])[0].floats() == [2])
    // Two nodes that lead to each other.
    expect(.badAttribute) { () throws(Failure) in _ = try self.evaluate(.treeEnsemble, self.linked(whenFalse: [1, 0], leaves: [0, 0]), [x]) }
    expect(.indexOutOfRange) { () throws(Failure) in _ = try self.evaluate(.treeEnsemble, self.linked(whenFalse: [7, 0], leaves: [0, 1]), [x]) }
    expect(.indexOutOfRange) { () throws(Failure) in
      _ = try self.evaluate(.treeEnsemble, self.linked(whenFalse: [1, 0], leaves: [0, 1], features: [0, 5]), [x])
    }
  }

  /// A line of 50,000 nodes: depth costs time and no stack.
  @Test func deepTreesAreWalked() throws {
    let depth = 50_000
    let attributes: [String: AttributeData] = [
      "n_targets": .int(1), "tree_roots": .ints([0]), "nodes_featureids": .ints([Int](repeating: 0, count: depth)),
      "nodes_splits": .numbers(.float32, [Double](repeating: 0, count: depth)), "nodes_modes": .numbers(.uint8, [Double](repeating: 0, count: depth)),
      "nodes_truenodeids": .ints([Int](repeating: 0, count: depth)), "nodes_falsenodeids": .ints((0..<depth).map { $0 + 1 < depth ? $0 + 1 : 0 }),
      "nodes_trueleafs": .ints([Int](repeating: 1, count: depth)), "nodes_falseleafs": .ints((0..<depth).map { $0 + 1 < depth ? 0 : 1 }),
      "leaf_targetids": .ints([0]), "leaf_weights": .numbers(.float32, [3]),
    ]
    #expect(try evaluate(.treeEnsemble, attributes, [try Tensor(float32: [1], dims: [1, 1])])[0].floats() == [3])
  }

  private func matches(_ pattern: String, _ text: String) throws(Failure) -> Bool {
    let x = try Tensor(.string, dims: [1], storage: .strings([Array(text.utf8)]))
    return try evaluate(.regexFullMatch, ["pattern": .string(Array(pattern.utf8))], [x])[0].elements(as: UInt8.self) == [1]
  }

  @Test func patternsThatAreNoneAreRefused() {
    for pattern in [
      "(", ")", "[a", "a**", "*a", "a{2,1}", "a{1001}", "\\1", "(?=a)", "(?<!a)", "\\p{Greek}", "\\", "[b-a]", "(?P<", "\\x{110000}", "[[:nope:]]", "(?z)",
      String(repeating: "(", count: 5000), String(repeating: "(a{1000}", count: 3) + "){1000}){1000}){1000}",
    ] {
      expect(.badAttribute) { () throws(Failure) in _ = try self.matches(pattern, "a") }
    }
  }

  /// Patterns on which matchers that go back take a time exponential in the text.
  @Test func noPatternTakesExponentialTime() throws {
    let text = String(repeating: "a", count: 2000)
    #expect(try !matches("(a*)*b", text))
    #expect(try !matches("(a|aa)+$b", text))
    #expect(try matches("(a?){100}a{100}(a*)*", text))
    #expect(try matches("(x+x+)+y|(a+)+", text))
  }

  @Test func sizesBeyondReasonAreRefused() throws {
    let huge = try Tensor(int64: [1 << 40], dims: [])
    expect(.outOfMemory) { () throws(Failure) in _ = try self.evaluate(.hannWindow, [:], [huge]) }
    expect(.shapeMismatch) { () throws(Failure) in
      _ = try self.evaluate(.dft, [:], [try Tensor(float32: [1, 2], dims: [1, 2, 1]), huge])
    }
    let rois = try Tensor(float32: [0, 0, 1e30, 1e30], dims: [1, 4])
    let x = try Tensor(float32: [1], dims: [1, 1, 1, 1])
    expect(.outOfMemory) { () throws(Failure) in _ = try self.evaluate(.roiAlign, [:], [x, rois, try Tensor(int64: [0], dims: [1])]) }
    expect(.badAttribute) { () throws(Failure) in
      _ = try self.evaluate(.maxRoiPool, ["pooled_shape": .ints([1 << 60, 1])], [x, try Tensor(float32: [0, 0, 0, 1, 1], dims: [1, 5])])
    }
  }

  private func container(_ kind: CataloguedOp.Kind, _ attributes: [String: AttributeData], _ operand: RuntimeValue) throws(Failure) -> RuntimeValue {
    guard let op = try CataloguedOp(kind, attributes).containerSemantics else { throw Failure(.internalError, "no meaning") }
    return try op.evaluate([operand], resultCount: 1)[0]
  }

  @Test func rowsBecomeMapsAndMapsRows() throws {
    let x = try Tensor(float32: [1, 2, 3, 4], dims: [2, 2])
    let classes: [String: AttributeData] = ["classlabels_int64s": .ints([7, 3])]
    guard case .sequence(let rows) = try container(.zipMap, classes, .tensor(x)) else { throw Failure(.typeMismatch, "no sequence") }
    #expect(rows.count == 2)
    // Dense: by rising key.
    #expect(try container(.castMap, [:], rows[0]).tensor?.floats() == [2, 1])
    #expect(
      try container(.castMap, ["map_form": .string(Array("SPARSE".utf8)), "max_map": .int(9), "cast_to": .string(Array("TO_INT64".utf8))], rows[1])
        .tensor?.integers() == [0, 0, 0, 4, 0, 0, 0, 3, 0])
    #expect(try container(.dictVectorizer, ["int64_vocabulary": .ints([3, 5, 7])], rows[0]).tensor?.floats() == [2, 0, 1])
    expect(.shapeMismatch) { () throws(Failure) in _ = try self.container(.zipMap, ["classlabels_int64s": .ints([1])], .tensor(x)) }
    expect(.typeMismatch) { () throws(Failure) in _ = try self.container(.castMap, [:], .tensor(x)) }
    expect(.indexOutOfRange) { () throws(Failure) in
      _ = try self.container(.castMap, ["map_form": .string(Array("SPARSE".utf8)), "max_map": .int(2)], rows[0])
    }
  }

  @Test func picturesAreDecoded() throws {
    func decoded(_ bytes: [UInt8], _ format: String = "RGB") throws(Failure) -> Tensor {
      try evaluate(.imageDecoder, ["pixel_format": .string(Array(format.utf8))], [try Tensor(.uint8, dims: [bytes.count], values: bytes)])[0]
    }
    let map = Array("P6 # a comment\n2 1\n255\n".utf8) + [255, 0, 10, 1, 2, 3]
    #expect(try decoded(map).dims == [1, 2, 3])
    #expect(try decoded(map).elements(as: UInt8.self) == [255, 0, 10, 1, 2, 3])
    #expect(try decoded(map, "BGR").elements(as: UInt8.self) == [10, 0, 255, 3, 2, 1])
    #expect(try decoded(map, "Grayscale").elements(as: UInt8.self) == [77, 2])
    #expect(try decoded(Array("P2 2 1 4 0 4".utf8)).elements(as: UInt8.self) == [0, 0, 0, 255, 255, 255])
    #expect(try decoded(Array("P1 2 1 10".utf8)).elements(as: UInt8.self) == [0, 0, 0, 255, 255, 255])
    // Damaged files give no pixels.
    for broken in [
      Array("P6 2 1 255 x".utf8), Array("P6 99999999 99999999 255 ".utf8), [0x89, 0x50, 0x4E, 0x47], Array("BM".utf8), [0x49, 0x49, 42, 0], [], [1, 2, 3],
    ] as [[UInt8]] {
      #expect(try decoded(broken).dims == [0, 0, 3])
    }
    expect(.operatorNotRunnable) { () throws(Failure) in _ = try decoded(Array("RIFF....WEBPVP8 ".utf8)) }
  }
}
