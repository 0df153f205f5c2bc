extension RunReport: Report {
  public func text(_ style: TextStyle) -> String {
    var table = TextTable([.left("output"), .left("type")])
    for output in outputs { table.add([output.name, output.typeText]) }
    let time = "\(Numerals.fixed(runMilliseconds, 1)) ms on \(threads) thread\(threads == 1 ? "" : "s"), loaded in \(Numerals.fixed(loadMilliseconds, 1)) ms"
    let memory = style.verbose ? "peak memory \(Numerals.bytes(peakResidentBytes))\n" : ""
    return "\(samples) sample\(samples == 1 ? "" : "s") in \(time)\n" + table.text(style) + memory + (error?.text ?? "")
  }
}

extension BenchReport: Report {
  public func text(_ style: TextStyle) -> String {
    var table = TextTable([
      .right("runs"), .right("threads"), .right("batch"), .right("min ms"), .right("median ms"), .right("p95 ms"), .right("load ms"), .right("peak memory"),
    ])
    table.add([
      String(runs), String(threads), String(batch), Numerals.fixed(minMilliseconds, 3), Numerals.fixed(medianMilliseconds, 3),
      Numerals.fixed(p95Milliseconds, 3), Numerals.fixed(loadMilliseconds, 1), Numerals.bytes(peakResidentBytes),
    ])
    return table.text(style, indent: "") + (error?.text ?? "") + (profile?.text(style) ?? "")
  }
}
