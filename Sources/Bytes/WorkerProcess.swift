internal import CSystem
public import Diagnostics
internal import Glibc

/// Another process of this program that answers lines with lines: what ends it ends nobody else.
public final class WorkerProcess {
  public enum Answer: Sendable {
    case line(String)
    /// It ended instead, and this is what it said or how it ended.
    case ended(String)
    /// It took too long, and was stopped.
    case late
  }

  private var worker = vc_worker()
  private var isRunning = false
  private var answers: [UInt8] = []
  private var remarks: [UInt8] = []
  /// Of what it says on standard error, for messages.
  private static let remarkLimit = 4096

  /// - Parameter arguments: what this program is told beside its own name.
  /// - Throws: `internalError` where the system starts no process.
  public init(arguments: [String]) throws(Failure) {
    let copies = unsafe (["vitconv"] + arguments).map { unsafe strdup($0) }
    var list = unsafe copies.map { unsafe UnsafePointer($0) } + [nil]
    let problem = unsafe vc_start_worker(&list, &worker)
    unsafe copies.forEach { unsafe free($0) }
    guard problem == 0 else { throw Failure(.internalError, "no process could be started: \(unsafe String(cString: strerror(problem)))") }
    isRunning = true
  }

  deinit { if isRunning { _ = unsafe vc_end_worker(&worker, 0) } }

  /// The answer to a line. After any other answer than a line the process is no more.
  public func ask(_ line: String, within seconds: Double) -> Answer {
    guard isRunning else { return .ended("it is no more") }
    send(line + "\n")
    let deadline = Measured.now + seconds
    while true {
      if let end = answers.firstIndex(of: UInt8(ascii: "\n")) {
        let text = String(decoding: answers[..<end], as: UTF8.self)
        answers.removeSubrange(...end)
        return .line(text)
      }
      let rest = deadline - Measured.now
      guard rest > 0 else {
        _ = end(kills: true)
        return .late
      }
      switch unsafe Int(vc_wait_for_worker(&worker, Int32(min(rest, 60) * 1000) + 1)) {
      case vc_worker_answers:
        guard let bytes = read(worker.stream) else { return .ended(end(kills: false)) }
        answers += bytes
      case vc_worker_speaks:
        let bytes = read(worker.errors) ?? []
        remarks += bytes.prefix(max(0, WorkerProcess.remarkLimit - remarks.count))
      default: continue
      }
    }
  }

  private func send(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let sent = unsafe rest.withUnsafeBytes { unsafe vc_send_to_worker(&worker, $0.baseAddress, $0.count) }
      // Its end is seen where the answer is waited for.
      if sent < 0, errno != EINTR { return }
      rest = rest.dropFirst(max(0, Int(sent)))
    }
  }

  /// nil at the end.
  private func read(_ file: Int32) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress, $0.count) }
    return count > 0 ? Array(buffer.prefix(count)) : count < 0 && errno == EINTR ? [] : nil
  }

  private func end(kills: Bool) -> String {
    isRunning = false
    let signal = unsafe vc_end_worker(&worker, kills ? 1 : 0)
    let lines = String(decoding: remarks, as: UTF8.self).split(whereSeparator: \.isNewline).map { $0.trimmingPrefix(while: \.isWhitespace) }
    if let first = lines.first(where: { !$0.isEmpty }) { return String(first.prefix(300)) }
    guard signal != 0 else { return "it gave no answer" }
    return "signal \(unsafe String(cString: strsignal(signal)))" + (signal == SIGKILL ? ", as the system sends where memory runs out" : "")
  }
}

/// This process where it answers another one.
public enum WorkerDuty {
  /// Answers each line of standard input, until there are no more. Memory beyond `byteLimit` is not to be had: what asks
  /// for it ends this process, before it makes the machine slow for all.
  public static func serve(byteLimit: Int, _ answer: (String) -> String) throws(Failure) {
    vc_limit_data(UInt64(max(byteLimit, 0)))
    while let line = readLine() { try StandardStream.output.write(answer(line) + "\n") }
  }
}

private enum Measured {
  /// Seconds of a clock that only goes forward.
  static var now: Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
