internal import Diagnostics
internal import GraphIR
internal import Tensors

/// Operators of the table: a rule each, made from its row.
enum CatalogueRules {
  static func rules(domain: String) -> [String: ReadingRule] { byDomain[domain] ?? [:] }

  private static let byDomain: [String: [String: ReadingRule]] = OperatorEntry.all.reduce(into: [:]) { rules, entry in
    rules[entry.domain, default: [:]][entry.name] = older[entry.kind] ?? rule(entry)
  }

  static func rule(_ entry: OperatorEntry) -> ReadingRule {
    { view throws(Failure) in .op(.catalogued(try view.catalogued(entry)), of: view) }
  }

  /// Operators whose older versions spell something otherwise.
  private static let older: [CataloguedOp.Kind: ReadingRule] = [
    // The axis was an attribute, and counted from the front.
    .dft: { view throws(Failure) in
      let axis = view.version < 20 ? try view.int("axis", default: 1) : nil
      let op = Op.catalogued(try view.catalogued(CataloguedOp.Kind.dft.entry))
      guard let axis else { return .op(op, of: view) }
      return .steps([.init(op, [.operand(0), view.operand(1) == nil ? .absent : .operand(1), .constant(try Tensor(int64: [Int64(axis)], dims: []))])])
    },
    .gridSample: { view throws(Failure) in
      guard view.version < 20 else { return .op(.catalogued(try view.catalogued(CataloguedOp.Kind.gridSample.entry)), of: view) }
      let names = ["bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"]
      guard let mode = names[try view.string("mode", default: "bilinear")] else { throw view.bad("mode", "has an unknown value") }
      return .op(.catalogued(try view.catalogued(CataloguedOp.Kind.gridSample.entry, ["mode": .string(Array(mode.utf8))])), of: view)
    },
    // Coordinates had no shift by half a pixel, and no attribute to ask for it.
    .roiAlign: { view throws(Failure) in
      let old: [String: AttributeData] = view.version < 16 ? ["coordinate_transformation_mode": .string(Array("output_half_pixel".utf8))] : [:]
      return .op(.catalogued(try view.catalogued(CataloguedOp.Kind.roiAlign.entry, old)), of: view)
    },
    .rnn: cell(.rnn), .gru: cell(.gru), .lstm: cell(.lstm),
  ]

  /// Before version 7 an attribute said whether all hidden states are wanted, which the results say themselves.
  private static func cell(_ kind: CataloguedOp.Kind) -> ReadingRule {
    { view throws(Failure) in
      if view.version < 7 { view.ignore("output_sequence") }
      return .op(.catalogued(try view.catalogued(kind.entry)), of: view)
    }
  }
}

extension NodeView {
  /// The attributes that a row of the table names, and `given` ones that stand for what an older version did not say.
  mutating func catalogued(_ entry: OperatorEntry, _ given: [String: AttributeData] = [:]) throws(Failure) -> CataloguedOp {
    var found = given
    for schema in entry.attributes where given[schema.name] == nil {
      let name = schema.name
      switch schema.form {
      case .int: found[name] = try int(name).map { .int($0) }
      case .float: found[name] = try float(name).map { .float($0) }
      case .string, .choice: found[name] = try bytes(name).map { .string($0) }
      case .ints: if let values = try ints(name) { found[name] = .ints(values) }
      case .floats: found[name] = try floats(name).map { .floats($0) }
      case .strings: if let values = try strings(name) { found[name] = .strings(values) }
      case .numbers:
        guard let tensor = try tensor(name) else { continue }
        if case .strings(let strings) = tensor.storage {
          // LabelEncoder's tensors: strings go into the list, or the one string, that they stand for.
          let stem = String(name.prefix { $0 != "_" })
          if stem == "default" { found["default_string"] = strings.first.map { .string($0) } } else { found["\(stem)_strings"] = .strings(strings) }
        } else {
          guard let values = tensor.doubles() else { throw bad(name, "holds \(tensor.elementType.name) elements") }
          found[name] = .numbers(tensor.elementType, values)
        }
      }
    }
    do throws(Failure) { return try CataloguedOp(entry.kind, found) } catch { throw error.located(element: message.label) }
  }
}

extension SpellingRequest {
  func spelling(of op: CataloguedOp) throws(Failure) -> OperatorSpelling {
    let entry = op.kind.entry
    var attributes: [(name: String, value: OperatorSpelling.Attribute)] = []
    for attribute in op.attributes { attributes.append((attribute.name, try OperatorSpelling.Attribute(attribute.value))) }
    if !entry.domain.isEmpty { return OperatorSpelling(entry.name, domain: entry.domain, attributes, operands: node.inputs) }
    switch op.kind {
    case .dft where version >= 17 && version < 20:
      guard let axes = try constantIntegers(at: 2, "an axis of DFT", until: 20), axes.count == 1, axes[0] >= 0 else {
        throw needs(20, "DFT along an axis counted from the end")
      }
      return OperatorSpelling("DFT", attributes + [("axis", .int(axes[0]))], operands: Array(node.inputs.prefix(2)))
    case .gridSample where version >= 16 && version < 20:
      let mode = ["linear": "bilinear", "cubic": "bicubic"][op.word("mode")] ?? op.word("mode")
      return OperatorSpelling("GridSample", attributes.filter { $0.name != "mode" } + [("mode", .string(mode))], operands: node.inputs)
    case .roiAlign where version >= 10 && version < 16:
      guard op.word("coordinate_transformation_mode") == "output_half_pixel" else { throw needs(16, "RoiAlign with shifted coordinates") }
      return OperatorSpelling("RoiAlign", attributes.filter { $0.name != "coordinate_transformation_mode" }, operands: node.inputs)
    default: return try plain(entry.name, since: entry.since, attributes)
    }
  }
}

extension OperatorSpelling.Attribute {
  init(_ data: AttributeData) throws(Failure) {
    switch data {
    case .int(let value): self = .int(value)
    case .float(let value): self = .float(value)
    case .string(let bytes): self = .bytes(bytes)
    case .ints(let values): self = .ints(values)
    case .floats(let values): self = .floats(values)
    case .strings(let values): self = .strings(values)
    case .numbers(let element, let values):
      let dims = [values.count]
      self =
        switch element {
        case .float64: .tensor(try Tensor(float64: values, dims: dims))
        case .float16: .tensor(try Tensor(.float16, dims: dims, values: values.map { Float16($0) }))
        case .int64: .tensor(try Tensor(.int64, dims: dims, values: values.map { Int64(exactly: $0) ?? 0 }))
        case .int32: .tensor(try Tensor(.int32, dims: dims, values: values.map { Int32(exactly: $0) ?? 0 }))
        case .int16: .tensor(try Tensor(.int16, dims: dims, values: values.map { Int16(exactly: $0) ?? 0 }))
        case .uint8: .tensor(try Tensor(.uint8, dims: dims, values: values.map { UInt8(exactly: $0) ?? 0 }))
        default: .tensor(try Tensor(float32: values.map { Float($0) }, dims: dims))
        }
    }
  }
}
