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

  /// A remark, in verbose mode.
  func remark(_ text: String) {
    if options.verbose { try? StandardStream.error.write("vitconv: \(text.printable)\n") }
  }

  /// `vitconv: note: FILE: what is to be known (VCnnnn)`, for each; nothing when quiet.
  func report(_ findings: [Diagnostic], of file: String) {
    guard !options.quiet else { return }
    for finding in findings {
      let place = finding.at.description.isEmpty ? "" : " (\(finding.at.description.printable))"
      try? StandardStream.error.write(
        "vitconv: \(finding.level.rawValue): \(file.printable): \(finding.message.printable)\(place) (\(finding.code.id))\n\(finding.code.help)\n")
    }
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
