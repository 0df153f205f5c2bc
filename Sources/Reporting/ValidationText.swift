internal import Diagnostics
internal import Validation

extension ValidationReport: Report {
  public func text(_ style: TextStyle) -> String {
    var out = style.bold(model.printable) + (reference.map { " against \($0.printable)" } ?? "") + "\n\n"
    var table = TextTable([.left(""), .left("check"), .right("value"), .right("limit"), .left("what")])
    // A single model may pass hundreds of checks; what failed is always told, what passed only where it has a number.
    let shown = style.verbose ? checks : checks.filter { !$0.passed || $0.value != nil }
    for check in shown {
      table.add([
        check.passed ? "pass" : check.level.rawValue, check.id, check.value.map { Numerals.significant($0) } ?? "-",
        check.limit.map { Numerals.significant($0) } ?? "-", check.at.isEmpty ? check.message : "\(check.message) ('\(check.at)')",
      ])
    }
    out += style.bold("checks") + ": \(checks.filter(\.passed).count) of \(checks.count) passed\n"
    if !shown.isEmpty { out += table.text(style) }
    out += "\n"
    if let comparison { out += comparison.text(style, title: "comparison") + "\n" }
    return out + style.bold("verdict") + ": " + (verdict == .pass ? style.green("pass") : style.red("fail")) + "\n"
  }
}

extension Comparison {
  func text(_ style: TextStyle, title: String) -> String {
    var out = style.bold(title) + ", on \(samples) sample\(samples == 1 ? "" : "s")\n"
    var figures: [(String, String)] = []
    if let maxAbs {
      figures.append(("largest difference", Numerals.significant(maxAbs) + (maxRel.map { ", \(Numerals.significant($0)) of the largest magnitude" } ?? "")))
    }
    if let nmse { figures.append(("NMSE", Numerals.significant(nmse))) }
    if let kl { figures.append(("KL divergence", Numerals.significant(kl) + " nats")) }
    if let top1Agreement { figures.append(("top-1 agreement", Numerals.percent(top1Agreement))) }
    if let top1, let top1Reference {
      let change = Numerals.fixed(100 * (top1 - top1Reference), 1)
      figures.append(("top-1 accuracy", "\(Numerals.percent(top1)), reference \(Numerals.percent(top1Reference)) (\(change) points)"))
    }
    let width = figures.map(\.0.count).max() ?? 0
    for (name, value) in figures { out += "  \(name)\(String(repeating: " ", count: width - name.count))  \(value)\n" }
    if outputs.count > 1 || outputs.contains(where: { $0.tolerance != nil }) {
      var table = TextTable([.left("output"), .right("max abs"), .right("max rel"), .right("NMSE"), .right("tolerance"), .left("derived from")])
      for output in outputs {
        table.add([
          output.name, Numerals.significant(output.maxAbs), Numerals.significant(output.maxRel), Numerals.significant(output.nmse),
          output.tolerance.map { Numerals.significant($0) } ?? "-", output.toleranceBasis ?? "-",
        ])
      }
      out += table.text(style)
    }
    if !blocks.isEmpty {
      var table = TextTable([.right("#"), .left("block"), .right("NMSE")])
      for block in blocks { table.add([String(block.index), block.name, Numerals.significant(block.nmse)]) }
      out += table.text(style)
    }
    if let first = firstDifference {
      let place = first.block.map { " in \($0.printable)" } ?? ""
      out += "  the models part first at '\(first.node.printable)'\(place): "
      out += "\(Numerals.significant(first.maxAbs)), where rounding explains \(Numerals.significant(first.tolerance))\n"
    }
    return out
  }
}
