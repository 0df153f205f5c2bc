internal import Diagnostics
internal import Tensors

extension InspectReport: Report {
  public func text(_ style: TextStyle) -> String {
    [
      model.text(style, outputs: hasGraph ? "output" : "weight"), hasGraph ? operatorText(style) : nil, hasGraph ? costText(style) : nil,
      architecture.text(style), attentionText(style), sharedText(style), nearMissText(style), findingText(style), explanation?.text(style),
    ]
    .compactMap { $0 }.joined(separator: "\n")
  }

  /// Whether there is something to compute, and not weights alone.
  private var hasGraph: Bool { !model.inputs.isEmpty || !operators.isEmpty || model.outputs.isEmpty }

  private func operatorText(_ style: TextStyle) -> String? {
    let total = operators.reduce(0) { $0 + $1.count }
    let shown = style.verbose ? operators.count : Swift.min(operators.count, 12)
    var words = operators.prefix(shown).map { "\($0.name.printable) \($0.count)" }
    if operators.count > shown { words.append("and \(operators.count - shown) more kinds") }
    return style.bold("operators") + ": \(total) of \(operators.count) kinds\n" + wrapped(words)
  }

  private func costText(_ style: TextStyle) -> String {
    guard let macs = cost.macs, let elementwise = cost.elementwise else {
      return style.bold("cost") + ": not known, since not all shapes are; fix symbolic ones with --shape NAME=D0,D1,...\n"
    }
    var out = style.bold("cost") + " of one sample\n"
    out += "  \(Numerals.quantity(macs)) multiply-adds in matrix products and convolutions, those inside attention included\n"
    out += "  \(Numerals.quantity(elementwise)) other arithmetic results, not part of the above\n"
    if let peak = cost.activationBytesPeak { out += "  \(Numerals.bytes(peak)) of activations alive at once\n" }
    return out
  }

  private func attentionText(_ style: TextStyle) -> String {
    guard !attention.isEmpty else { return style.bold("attention") + ": none found\n" }
    let parameters = attention.reduce(0) { $0 + $1.parameters }
    var out = style.bold("attention") + ": \(attention.count) block\(attention.count == 1 ? "" : "s"), \(Numerals.grouped(parameters)) parameters"
    out += hasGraph ? "\n" : ", told by names and shapes of weights alone\n"
    // Columns in which every block says the same ordinary thing are left out.
    let showsMechanism = attention.contains { $0.mechanism != "softmax" }
    let showsNorm = attention.contains { $0.qkNorm != "none" }
    var columns: [TextTable.Column] = [.right("#"), .left("name"), .left("family")]
    if showsMechanism { columns.append(.left("mechanism")) }
    columns += [.right("heads"), .right("dim"), .left("tokens"), .right("scale"), .left("bias")]
    let showsGeometry = attention.contains { $0.geometry.text != nil }
    if showsGeometry { columns.append(.left("geometry")) }
    if showsNorm { columns.append(.left("qk norm")) }
    columns += [.right("parameters"), .right("MACs"), .right("nodes"), .left("rewrites")]
    var table = TextTable(columns)
    for block in attention {
      var row = [String(block.index), block.name, block.causal && block.family != "causal" ? block.family + " (causal)" : block.family]
      if showsMechanism { row.append(block.mechanism) }
      row += [block.heads.map(String.init) ?? "-", block.dimensions, block.tokens, block.scale.map { Numerals.significant($0) } ?? "-", block.bias]
      if showsGeometry { row.append(block.geometry.text ?? "-") }
      if showsNorm { row.append(block.qkNorm) }
      row += [
        Numerals.grouped(block.parameters), block.macs.map(Numerals.quantity) ?? "-", String(block.nodes.count),
        block.rewrites.isEmpty ? "-" : block.rewrites.joined(separator: ", "),
      ]
      table.add(row)
    }
    out += table.text(style)
    if let line = confirmationText { out += "  \(line)\n" }
    return out
  }

  private func sharedText(_ style: TextStyle) -> String? {
    guard !sharedModules.isEmpty else { return nil }
    var out = style.bold("shared modules") + ": \(sharedModules.count)\n"
    for module in sharedModules {
      let without = (0..<module.residualBlocks).filter { !module.carriers.contains($0) }
      out += "  \(module.mechanism) #\(Self.listed(module.attention)): \(Numerals.grouped(module.parameters)) parameters"
      out += " in residual blocks \(Self.listed(module.carriers)) of \(module.residualBlocks)"
      out += without.isEmpty ? ", which is all\n" : " (bits \(module.bits)), not in \(Self.listed(without))\n"
    }
    return out
  }

  private static func listed(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ", ") }

  /// How a run bore blocks out; nil where nothing was held against one.
  private var confirmationText: String? {
    let outcomes = attention.compactMap(\.confirmation)
    guard !outcomes.isEmpty else { return nil }
    func count(_ kind: String, _ words: String) -> String? {
      let found = outcomes.count { $0.kind == kind }
      return found == 0 ? nil : "\(found) \(words)"
    }
    let kinds = [count("formula", "as the formula of what is told of them"), count("replay", "by their own nodes run apart")]
    return "confirmed by a run: \(outcomes.count) of \(attention.count), " + kinds.compactMap { $0 }.joined(separator: ", ")
  }

  private func nearMissText(_ style: TextStyle) -> String? {
    guard !nearMisses.isEmpty else { return nil }
    var table = TextTable([.left("at"), .left("looked like"), .left("refused because")])
    for miss in nearMisses { table.add([miss.at, miss.lookedLike, miss.refused]) }
    return style.bold("near misses") + ": \(nearMisses.count)\n" + table.text(style)
  }

  private func findingText(_ style: TextStyle) -> String {
    guard !findings.isEmpty else { return style.bold("findings") + ": none\n" }
    var out = style.bold("findings") + ": \(findings.count)\n"
    for finding in findings {
      out += "  \(style.level(finding.level)) \(finding.code.id) \(finding.message.printable)"
      let place = finding.at.description.printable
      out += place.isEmpty ? "\n" : " (\(place))\n"
    }
    return out
  }

  private func wrapped(_ words: [String]) -> String {
    var lines: [String] = []
    var line = "  "
    for (index, word) in words.enumerated() {
      let piece = word + (index + 1 < words.count ? ", " : "")
      if line.count + piece.count > 100 {
        lines.append(line)
        line = "  "
      }
      line += piece
    }
    lines.append(line)
    return lines.map { $0.hasSuffix(" ") ? String($0.dropLast()) : $0 }.joined(separator: "\n") + "\n"
  }
}

extension ModelSummary {
  /// - Parameter word: what stands before an output.
  fileprivate func text(_ style: TextStyle, outputs word: String) -> String {
    var out = style.bold(path.printable) + "\n"
    let sets = opset.map { $0.domain.isEmpty ? "opset \($0.version)" : "\($0.domain.printable) \($0.version)" }
    out += "  " + ([format.uppercased()] + sets + (producer.isEmpty ? [] : ["written by \(producer.printable)"])).joined(separator: ", ") + "\n"
    out += "  \(Numerals.grouped(parameters)) parameters, \(Numerals.bytes(bytes))\n"
    var table = TextTable([.left(""), .left("name"), .left("type")])
    for port in inputs { table.add(["input", port.name, port.typeText]) }
    for port in outputs { table.add([word, port.name, port.typeText]) }
    return out + table.text(style)
  }
}

extension PortSummary {
  var typeText: String { type?.description ?? container ?? "unknown" }
}

extension AttentionSummary {
  fileprivate var dimensions: String {
    guard let headDim else { return "-" }
    return valueDim == nil || valueDim == headDim ? String(headDim) : "\(headDim)/\(valueDim ?? 0)"
  }
  fileprivate var tokens: String { queryTokens == keyTokens ? queryTokens.description : "\(queryTokens) x \(keyTokens)" }
}

extension TextStyle {
  func level(_ level: Severity) -> String {
    switch level {
    case .note: dim("note   ")
    case .warning: yellow("warning")
    case .error: red("error  ")
    }
  }
}
