import Bytes
import Diagnostics
import Reporting

/// How a command speaks: its result on standard output, all else on standard error.
struct Console: Sendable {
  private let options: CommonOptions

  init(_ options: CommonOptions) { self.options = options }

  /// Prints the result as asked for.
  func print(_ report: some Report) throws(Failure) {
    if options.json {
      try StandardStream.output.write(report.json.text + "\n")
    } else {
      try StandardStream.output.write(report.text(TextStyle(colors: StandardStream.output.allowsColors, verbose: options.verbose)))
    }
  }

  /// Draws a bar on one line of a terminal; nil where there is nobody to look at it.
  var progress: ProgressHandler? {
    guard StandardStream.error.isTerminal, !options.quiet else { return nil }
    return { update in
      let width = 30
      let filled = update.total > 0 ? min(width, width * update.completed / update.total) : 0
      let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: width - filled)
      let line = "\r\u{1B}[K" + (update.completed < update.total ? "[\(bar)] \(update.stage) \(update.completed)/\(update.total)" : "")
      try? StandardStream.error.write(line)
    }
  }

  /// What a reader found; notes are for those who ask for more.
  func finding(_ finding: Diagnostic) {
    guard !options.quiet, options.verbose || finding.level >= .warning else { return }
    let place = finding.at.description.printable
    let word = finding.level.rawValue
    let shown = StandardStream.error.allowsColors && finding.level >= .warning ? "\u{1B}[33m\(word):\u{1B}[0m" : "\(word):"
    try? StandardStream.error.write("vitconv: \(shown) \(finding.message.printable)\(place.isEmpty ? "" : " (\(place))") (\(finding.code.id))\n")
  }

  /// A remark, in verbose mode.
  func remark(_ text: String) {
    if options.verbose { try? StandardStream.error.write("vitconv: \(text.printable)\n") }
  }

  /// `vitconv: error: FILE: what is wrong (VCnnnn)` and, where something can be done about it, what.
  static func report(_ failure: Failure) {
    var line = failure.at.file.map { "\($0.printable): " } ?? ""
    line += failure.message.printable
    let place = failure.at.description
    if !place.isEmpty { line += " (\(place.printable))" }
    line += " (\(failure.code.id))"
    let word = StandardStream.error.allowsColors ? "\u{1B}[31merror:\u{1B}[0m" : "error:"
    try? StandardStream.error.write("vitconv: \(word) \(line)\n\((failure.advice ?? failure.code.help).printable)\n")
  }
}
