import FormatNPZ
import Foundation
import TestSupport
import Tensors
import Testing

@Suite struct RunTests {
  private static let vit = Fixtures.path("models/zoo/vit.legacy17.onnx")

  /// Inputs and outputs by PyTorch, split into what `--inputs` wants and what must come out.
  private func oracle(_ scratch: Scratch) throws -> Tensor {
    let truth = try ArrayArchive.read(path: Fixtures.path("models/zoo/vit.legacy17.npz"))
    try ArrayArchive(truth.entries.filter { $0.name.hasPrefix("in") }).write(to: scratch.file("x.npz"))
    return try #require(truth["out0"])
  }

  @Test(arguments: ["1", "2"]) func outputsAreTheOracles(_ threads: String) throws {
    let scratch = try Scratch()
    let want = try oracle(scratch)
    let outcome = try Program.run("run", Self.vit, "--inputs", scratch.file("x.npz"), "-o", scratch.file("y.npz"), "--threads", threads, "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "run").violations(of: outcome.output) == [])
    let got = try #require(try ArrayArchive.read(path: scratch.file("y.npz")).entries.first?.tensor)
    #expect(got.dims == want.dims)
    let (a, b) = (try #require(got.doubles()), try #require(want.doubles()))
    let largest = b.map(abs).max() ?? 1
    #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-4 * Swift.max(1, largest) })
  }

  @Test func inputsThatDoNotFit() throws {
    let scratch = try Scratch()
    let target = scratch.file("y.npz")
    func status(_ arrays: [(name: String, tensor: Tensor)]) throws -> Int32 {
      try ArrayArchive(arrays).write(to: scratch.file("x.npz"))
      let outcome = try Program.run("run", Self.vit, "--inputs", scratch.file("x.npz"), "-o", target)
      #expect(outcome.errors.contains(/\(VC\d{4}\)/), "\(outcome.errors)")
      return outcome.status
    }
    _ = try oracle(scratch)
    let good = try #require(try ArrayArchive.read(path: scratch.file("x.npz")).entries.first)
    #expect(try status([]) == 3, "nothing")
    #expect(try status([("other", good.tensor)]) == 3, "another name")
    #expect(try status([(good.name, try Tensor(float32: [1, 2, 3], dims: [1, 3]))]) == 3, "another shape")
    #expect(try status([(good.name, try Tensor(.int32, dims: good.tensor.dims, values: [Int32](repeating: 1, count: good.tensor.count)))]) == 3, "another type")
    var values = try #require(good.tensor.floats())
    values[0] = .nan
    #expect(try status([(good.name, try Tensor(float32: values, dims: good.tensor.dims))]) == 3, "not a number")
    try Data("PK but no archive".utf8).write(to: URL(fileURLWithPath: scratch.file("x.npz")))
    #expect(try Program.run("run", Self.vit, "--inputs", scratch.file("x.npz"), "-o", target).status == 3)
    #expect(scratch.contents == ["x.npz"], "nothing was written")
  }

  @Test func theInputsAreNeverOverwritten() throws {
    let scratch = try Scratch()
    _ = try oracle(scratch)
    let before = FileManager.default.contents(atPath: scratch.file("x.npz"))
    #expect(try Program.run("run", Self.vit, "--inputs", scratch.file("x.npz"), "-o", scratch.file("x.npz")).status == 3)
    #expect(before != nil && FileManager.default.contents(atPath: scratch.file("x.npz")) == before)
  }

  @Test func benchFollowsItsSchema() throws {
    let outcome = try Program.run("bench", Self.vit, "--runs", "5", "--warmup", "1", "--threads", "1", "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try JSONSchema(named: "bench").violations(of: outcome.output) == [])
    let report = try [String: Any](json: outcome.output)
    let times = ["min_ms", "median_ms", "p95_ms"].compactMap { report[$0] as? Double }
    #expect(times.count == 3 && times == times.sorted() && times[0] > 0)
    #expect(report["runs"] as? Int == 5 && report["threads"] as? Int == 1 && report["peak_rss_bytes"] as? Int ?? 0 > 1_000_000)
    let text = try Program.run("bench", Fixtures.path("models/zoo/vit.legacy17_dyn.onnx"), "--runs", "2", "--batch", "4")
    #expect(text.status == 0 && text.output.contains("median ms"), "\(text.errors)")
  }
}
