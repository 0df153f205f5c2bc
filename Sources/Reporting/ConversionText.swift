internal import Validation

extension ConversionReport: Report {
  public func text(_ style: TextStyle) -> String {
    var parts: [String] = []
    if !repairs.isEmpty {
      var table = TextTable([.left("repair"), .left("at"), .left("because")])
      for repair in repairs { table.add([repair.id, repair.at, repair.fault]) }
      parts.append(style.bold("repairs") + ": \(repairs.count)\n" + table.text(style))
    }
    if !blocks.isEmpty { parts.append(blockText(style)) }
    parts.append(costText(style))
    if let comparison { parts.append(comparison.text(style, title: "converted against original")) }
    if let budget {
      let word = budget.isKept ? style.green("kept") : style.red("broken")
      parts.append(
        style.bold("budget") + " \(word): \(budget.metric) \(Numerals.significant(budget.value)), at most \(Numerals.significant(budget.limit)), "
          + "on \(budget.samples) held-out samples\n")
    }
    parts.append("wrote \(output.printable)\n")
    return parts.joined(separator: "\n")
  }

  private func blockText(_ style: TextStyle) -> String {
    let applied = blocks.filter(\.applied).count
    var table = TextTable([
      .right("#"), .left("name"), .left("rewrite"), .left(""), .right("NMSE"), .right("MACs before"), .right("after"), .left("settings, or why not"),
    ])
    for block in blocks {
      // Lists, one number for each head or so, would fill the line.
      let shown = block.parameters.filter { style.verbose || !$0.value.isArray }
      let settings = shown.map { "\($0.key)=\($0.value.shortText)" }.joined(separator: " ")
      table.add([
        String(block.index), block.name, block.rewrite, block.applied ? "applied" : "refused", block.nmse.map { Numerals.significant($0, 3) } ?? "-",
        block.macsBefore.map(Numerals.quantity) ?? "-", block.applied ? block.macsAfter.map(Numerals.quantity) ?? "-" : "-",
        block.applied ? settings : block.reason,
      ])
    }
    return style.bold("rewrites") + ": \(applied) applied, \(blocks.count - applied) refused\n" + table.text(style)
  }

  private func costText(_ style: TextStyle) -> String {
    var table = TextTable([.left("model"), .right("before"), .right("after"), .right("ratio")])
    func row(_ name: String, _ before: Int?, _ after: Int?, _ text: (Int) -> String) {
      guard let before, let after else { return }
      table.add([name, text(before), text(after), before > 0 ? Numerals.fixed(Double(after) / Double(before), 3) : "-"])
    }
    row("multiply-adds", model.macsBefore, model.macsAfter, Numerals.quantity)
    row("parameters", model.parametersBefore, model.parametersAfter, Numerals.grouped)
    row("bytes", model.bytesBefore, model.bytesAfter, Numerals.grouped)
    return style.bold("cost") + " of one sample\n" + table.text(style)
  }
}

extension JSONValue {
  fileprivate var isArray: Bool { if case .array = self { true } else { false } }

  /// For settings in a table: short numbers, strings without quotes.
  fileprivate var shortText: String {
    switch self {
    case .string(let text): text
    case .number(let value): Numerals.significant(value)
    case .array(let elements): elements.map(\.shortText).joined(separator: ",")
    default: text
    }
  }
}
