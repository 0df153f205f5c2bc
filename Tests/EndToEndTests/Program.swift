import Foundation
import TestSupport
import Testing

/// The built program, run as a user runs it.
enum Program {
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String
  }

  /// Beside the test bundle.
  static let path = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "vitconv").path

  static func run(_ arguments: String..., input: String? = nil, environment: [String: String] = [:]) throws -> Outcome {
    try run(arguments, input: input, environment: environment)
  }

  /// - Parameter input: a file to be standard input.
  static func run(
    _ arguments: [String], executable: String = path, input: String? = nil, environment: [String: String] = [:], seconds: Double = 300
  ) throws -> Outcome {
    let scratch = try Scratch()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files, not pipes: a full pipe that nobody empties would block the program.
    let files = try ["out", "err"].map { name in
      try Data().write(to: URL(fileURLWithPath: scratch.file(name)))
      return try #require(FileHandle(forWritingAtPath: scratch.file(name)))
    }
    process.standardOutput = files[0]
    process.standardError = files[1]
    process.standardInput = FileHandle(forReadingAtPath: input ?? "/dev/null")
    try process.run()
    let deadline = Date(timeIntervalSinceNow: seconds)
    while process.isRunning, Date() < deadline { usleep(2_000) }
    if process.isRunning {
      process.terminate()
      Issue.record("\(arguments.joined(separator: " ")) took more than \(seconds) s")
    }
    process.waitUntilExit()
    return Outcome(
      status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOfFile: scratch.file("out"), encoding: .utf8), errors: try String(contentsOfFile: scratch.file("err"), encoding: .utf8))
  }
}

extension [String: Any] {
  /// The object that a document holds.
  init(json text: String) throws {
    self = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }
}
