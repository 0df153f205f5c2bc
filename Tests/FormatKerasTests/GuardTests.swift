import Bytes
import CHDF5
import Diagnostics
import FormatHDF5
import Foundation
import TestSupport
import Tensors
import Testing

/// The process that reads HDF5 files may crash, hang, or say anything: the one that started it gets a `Failure`.
@Suite struct GuardTests {
  /// A shell in place of the guard, whose output is what the guard would say.
  private static func outcome(_ script: String) throws -> Result<HDF5File, Failure> {
    var ends: [Int32] = [-1, -1]
    // Processes that other tests start must not keep an end open.
    let made = unsafe pipe(&ends)
    try #require(made == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    var process: pid_t = 0
    let words: [UnsafeMutablePointer<CChar>?] = unsafe ["sh", "-c", script].map { (word: String) in unsafe strdup(word) }
    defer { unsafe words.forEach { unsafe free($0) } }
    let status = unsafe posix_spawn(&process, "/bin/sh", &actions, nil, words + [nil], nil)
    try #require(status == 0)
    close(ends[1])
    let elements = unsafe open(Fixtures.path("keras/storages.h5"), O_RDONLY)
    let source = ByteSource([UInt8](repeating: 0, count: 64), name: "guarded.h5")
    do throws(Failure) {
      return .success(try HDF5Reading(of: source, process: process, pipe: ends[0], elements: elements).finish())
    } catch {
      return .failure(error)
    }
  }

  /// The result that goes before a catalogue of this many bytes: status and message are zeros.
  private static func header(_ length: Int) -> String {
    let bytes = (0..<8).map { "\\" + String(UInt8(truncatingIfNeeded: length >> ($0 * 8)), radix: 8) }
    return "head -c 264 /dev/zero; printf '\(bytes.joined())';"
  }

  @Test(arguments: [
    ("kill -SEGV $$", "the HDF5 library fails on its structure"),
    ("kill -PROF $$", "reading its structure does not come to an end"),
    ("exit 0", "the HDF5 library ended early"),
    ("head -c 100 /dev/zero", "the HDF5 library ended early"),
    (header(100) + "printf 'G'", "the HDF5 library ended early"),
    (header(100) + "printf 'G'; kill -BUS $$", "the HDF5 library fails on its structure"),
    (header(1 << 40) + "printf 'G'; sleep 60", "the HDF5 library ended early"),
    (header(-1) + "printf 'G'", "the HDF5 library ended early"),
    // A record of no kind; names and lists that are longer than the catalogue.
    (header(1) + "printf 'Z'", "garbled"),
    (header(5) + "printf 'G\\377\\377\\377\\377'", "garbled"),
    (header(11) + "printf 'I\\0\\0\\0\\0\\0\\377\\377\\377\\377x'", "garbled"),
    // A dataset of one float32 beyond the end of the file, and one of a type that is none.
    (header(28) + "printf 'D\\1\\0\\0\\0a\\1\\0\\100\\0\\0\\0\\0\\0\\0\\0\\1\\1\\0\\0\\0\\0\\0\\0\\0'; head -c 3 /dev/zero", "garbled"),
    (header(21) + "printf 'D\\1\\0\\0\\0a\\370\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0'", "garbled"),
  ])
  func whatTheGuardDoesIsAFailure(_ script: String, _ reason: String) throws {
    guard case .failure(let failure) = try Self.outcome(script) else {
      Issue.record("accepted")
      return
    }
    #expect(failure.code == .malformed)
    #expect(failure.message.contains(reason), "\(failure.message)")
  }

  @Test func whatTheGuardSaysIsRead() throws {
    let file = try Self.outcome(Self.header(6) + "printf 'G\\1\\0\\0\\0a'").get()
    #expect(file.isGroup("a"))
  }

  @Test func aReadingThatNobodyWaitsForIsStopped() throws {
    let source = try ByteSource(mapping: Fixtures.path("keras/storages.h5"))
    for _ in 0..<4 { _ = try HDF5Reading(source) }
    #expect(try HDF5File.read(source).hasDataset("packed"))
  }

  /// Each failed call of the writer leaves no more identifiers of the library open than there were.
  @Test func identifiersAreClosedWhereWritingFails() throws {
    let folder = NSTemporaryDirectory() + "identifiers-\(UUID().uuidString)/"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let one = try Tensor(float32: [1], dims: [1])
    // While a file is being written nobody else calls the library.
    func count(_ body: (borrowing HDF5Writer) throws(Failure) -> Void) throws -> Int64 {
      var open: Int64 = 0
      try HDF5Writer.write(to: folder + UUID().uuidString) { (file) throws(Failure) in
        try body(file)
        open = vc_h5_open_identifiers()
      }
      return open
    }
    let before = try count { (file) throws(Failure) in try file.dataset("group/weight", one) }
    let after = try count { (file) throws(Failure) in
      try file.dataset("group/weight", one)
      #expect(throws: Failure.self) { try file.dataset("group/weight", one) }
      #expect(throws: Failure.self) { try file.dataset("group/weight/inner", one) }
      #expect(throws: Failure.self) { try file.dataset("", one) }
      #expect(throws: Failure.self) { try file.dataset("complex", try Tensor(.complex64, dims: [1], values: [Float(1), 2])) }
      #expect(throws: Failure.self) { try file.dataset("deep", try Tensor(float32: [1], dims: [Int](repeating: 1, count: 33))) }
      #expect(throws: Failure.self) { try file.group("group") }
      #expect(throws: Failure.self) { try file.attribute("name", "text", of: "nowhere") }
      #expect(throws: Failure.self) { try file.attribute("names", ["a", "b"], of: "nowhere") }
      #expect(throws: Failure.self) { try file.attribute("number", 1, of: "nowhere") }
      try file.attribute("name", "text", of: "group")
      #expect(throws: Failure.self) { try file.attribute("name", "text", of: "group") }
    }
    #expect(before > 0)
    #expect(after == before)
    #expect(throws: Failure.self) { try HDF5Writer.write(to: folder + "no/such/folder") { (_) throws(Failure) in } }
    #expect(try count { (file) throws(Failure) in try file.dataset("group/weight", one) } == before)
  }
}
