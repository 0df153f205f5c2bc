import ArgumentParser
import Pipeline

/// Runs test cases for another process of this program: paths come by standard input, outcomes go to standard output.
struct CasesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "answer-cases", abstract: "Runs test cases for 'validate'.", shouldDisplay: false)

  @Option var timeLimit: Double
  @Option var threads: Int?

  func run() throws {
    var request = CommonRequest()
    request.threads = threads
    try SuiteValidation.answerCases(timeLimit: timeLimit, request: request)
  }

  /// The arguments that lead here.
  static func arguments(timeLimit: Double, threads: Int?) -> [String] {
    ["answer-cases", "--time-limit", String(timeLimit)] + (threads.map { ["--threads", String($0)] } ?? [])
  }
}
