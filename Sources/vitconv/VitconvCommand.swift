import ArgumentParser
import Bytes
import Diagnostics
import Glibc
import Reporting

/// The program: its commands, and how their outcome becomes an exit code.
struct VitconvCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vitconv",
    abstract: "Reads, rewrites, runs and proves vision transformers.",
    discussion: """
      Examples:
        vitconv inspect vit.onnx
        vitconv convert vit.onnx -o small.onnx --rewrite fcvit --blocks auto --budget top1-drop=0.01 --samples images.npz
        vitconv validate small.onnx --against vit.onnx --samples test.npz

      Exit codes: 0 done, nothing found; 1 done, and what was checked failed; 2 wrong usage; 3 the input cannot be read; \
      4 an internal error.
      """,
    version: "vitconv 0.1.0",
    subcommands: [InspectCommand.self, ConvertCommand.self, ValidateCommand.self, RunCommand.self, BenchCommand.self, CasesCommand.self])

  /// What a command throws to say that what it checked failed, after it has printed its report.
  static let checkFailed = ExitCode(1)

  /// Parses the arguments, runs the command and exits.
  static func start() -> Never {
    AbnormalEnd.install()
    do {
      var command = try parseAsRoot()
      try command.run()
      Glibc.exit(0)
    } catch let failure as Failure {
      Console.report(failure)
      Glibc.exit(failure.code.exitCode)
    } catch let code as ExitCode {
      Glibc.exit(code.rawValue)
    } catch {
      finish(parsing: error)
    }
  }

  /// Help, version and completion scripts are no errors; everything else is wrong usage.
  private static func finish(parsing error: any Error) -> Never {
    let text = fullMessage(for: error)
    if exitCode(for: error).isSuccess {
      do throws(Failure) {
        try StandardStream.output.write(text + "\n")
      } catch {
        Glibc.exit(error.code.exitCode)
      }
      Glibc.exit(0)
    }
    // The parser's text: "Error: what is wrong", then usage and where help is.
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if let first = lines.first {
      let message = first.hasPrefix("Error: ") ? String(first.dropFirst(7)) : first
      lines[0] = "vitconv: error: \(message.printable) (\(DiagnosticCode.usage.id))"
    }
    try? StandardStream.error.write(lines.joined(separator: "\n") + "\n")
    Glibc.exit(DiagnosticCode.usage.exitCode)
  }
}
