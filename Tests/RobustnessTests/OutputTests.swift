import Bytes
import Diagnostics
import Foundation
import Testing

/// A file system of 64 KB, where the machine lets a test mount one.
final class SmallDisk: Sendable {
  static let isPossible: Bool = SmallDisk() != nil
  let path: String

  init?() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("disk-\(UUID().uuidString)").path
    guard (try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)) != nil else { return nil }
    guard SmallDisk.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path) else {
      try? FileManager.default.removeItem(atPath: path)
      return nil
    }
  }

  deinit {
    _ = SmallDisk.run("umount", path)
    try? FileManager.default.removeItem(atPath: path)
  }

  private static func run(_ arguments: String...) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}

/// An output appears whole or not at all.
@Suite struct OutputTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("output-\(UUID().uuidString)").path

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func code(_ segments: [OutputSegment], _ path: String, protecting inputs: [String] = []) -> DiagnosticCode? {
    do throws(Failure) {
      try AtomicOutput.write(segments, to: path, protecting: inputs)
      return nil
    } catch {
      return error.code
    }
  }

  private var contents: [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder).sorted()) ?? [] }

  @Test func placesThatCannotBeWritten() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let bytes = [OutputSegment.bytes([1, 2, 3])]
    #expect(code(bytes, "\(folder)/none/o.onnx") == .outputUnwritable)
    #expect(code(bytes, folder) == .outputUnwritable)
    #expect(code(bytes, "/dev/full") == .outputUnwritable)
    try Data([9]).write(to: URL(fileURLWithPath: "\(folder)/file"))
    #expect(code(bytes, "\(folder)/file/o.onnx") == .outputUnwritable)
    #expect(contents == ["file"])
    if geteuid() != 0 {
      try FileManager.default.setAttributes([.posixPermissions: 0o500], ofItemAtPath: folder)
      #expect(code(bytes, "\(folder)/o.onnx") == .outputUnwritable)
      try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder)
    }
  }

  @Test func anOldFileStaysUntilTheNewOneIsWhole() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = "\(folder)/o.bin"
    #expect(code([.bytes([1, 2]), .source(ByteSource([7, 8, 9], name: "m"), 1..<3)], path) == nil)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 8, 9]))
    #expect(code([.bytes([5])], path, protecting: [path]) == .outputUnwritable)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 8, 9]))
    #expect(code([.bytes([5])], path) == nil)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([5]))
    #expect(contents == ["o.bin"])
  }

  @Test(.enabled(if: SmallDisk.isPossible)) func aFullDiskLeavesNothing() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let disk = try #require(SmallDisk())
    let large = [UInt8](repeating: 1, count: 1 << 20)
    try Data(large).write(to: URL(fileURLWithPath: "\(folder)/large.bin"))
    let mapped = try ByteSource(mapping: "\(folder)/large.bin")
    for segments in [[OutputSegment.bytes(large)], [.source(mapped, 0..<mapped.count)], [.bytes([1]), .source(mapped, 4096..<mapped.count)]] {
      #expect(code(segments, "\(disk.path)/o.bin") == .outputUnwritable)
      #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
    }
    #expect(code([.bytes(Array(large[..<1000]))], "\(disk.path)/o.bin") == nil)
  }
}
