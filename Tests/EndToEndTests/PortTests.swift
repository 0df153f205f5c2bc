import FormatNPZ
import Foundation
import Tensors
import TestSupport
import Testing

/// Inputs and outputs whose types, axes or samples are not those of the plain case.
@Suite struct PortTests {
  private func write(_ text: String, _ scratch: Scratch, _ name: String) throws -> String {
    try text.write(toFile: scratch.file(name), atomically: true, encoding: .utf8)
    return scratch.file(name)
  }

  private static let narrow = """
    graph %g(%x: f32[batch, 6]) -> (%y: bf16[batch, 4]) {
      %n = cast(%x) {to = bf16}
      %w = constant [0.5, -1, 2, 0.25, 1, -0.5, 3, 0.125, -2, 1, 0.75, 4, 0.5, -1, 2, 0.25, 1, -0.5, 3, 0.125, -2, 1, 0.75, 4] : bf16[6, 4]
      %b = constant [0.5, 0.25, -1, 2] : bf16[4]
      %p = matmul(%n, %w)
      %y = add(%p, %b)
    }
    """

  private func model(_ path: String) throws -> (outputs: [String], operators: [String: Int]) {
    let report = try [String: Any](json: Program.run("inspect", path, "--json").output)
    let ports = (report["model"] as? [String: Any])?["outputs"] as? [[String: Any]] ?? []
    return (ports.compactMap { $0["type"] as? String }, report["operators"] as? [String: Int] ?? [:])
  }

  /// Programs that run ONNX seldom compute in bfloat16: what comes from Keras is written in float32, and says so.
  @Test func bfloat16ArithmeticIsWidenedForONNX() throws {
    let scratch = try Scratch()
    let keras = scratch.file("m.keras")
    #expect(try Program.run("convert", write(Self.narrow, scratch, "m.vcg"), "-o", keras).status == 0)
    let wide = try Program.run("convert", keras, "-o", scratch.file("wide.onnx"), "--json")
    #expect(wide.status == 0 && wide.errors.contains("VC2011"))
    #expect(try JSONSchema(named: "convert").violations(of: wide.output) == [])
    #expect(try model(scratch.file("wide.onnx")).outputs == ["float32"])
    #expect(try model(scratch.file("wide.onnx")).operators["Cast"] == 2, "the weights stay as they are")
    #expect(try Program.run("validate", scratch.file("wide.onnx"), "--against", keras).status == 0)

    let kept = try Program.run("convert", keras, "-o", scratch.file("kept.onnx"), "--bfloat16", "keep")
    #expect(kept.status == 0 && kept.errors.isEmpty)
    #expect(try model(scratch.file("kept.onnx")).outputs == ["bfloat16"])
    // ONNX to ONNX keeps types unless asked.
    #expect(try Program.run("convert", scratch.file("kept.onnx"), "-o", scratch.file("copy.onnx")).status == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.file("copy.onnx"))) == Data(contentsOf: URL(fileURLWithPath: scratch.file("kept.onnx"))))
    let asked = try Program.run("convert", scratch.file("kept.onnx"), "-o", scratch.file("asked.onnx"), "--bfloat16", "float32", "--quiet")
    #expect(try asked.status == 0 && asked.errors.isEmpty && model(scratch.file("asked.onnx")).outputs == ["float32"])
  }

  /// A table, and a number, that are the same for all samples.
  @Test func someInputsHaveNoSamples() throws {
    let scratch = try Scratch()
    func text(_ batch: String, _ factor: String) -> String {
      """
      graph %g(%x: f32[\(batch), 3, 4], %t: f32[3, 4], %s: f32[]) -> (%y: f32[\(batch), 3, 4]) {
        %c = constant [\(factor)] : f32[]
        %a = add(%x, %t)
        %b = mul(%a, %s)
        %y = mul(%b, %c)
      }
      """
    }
    var samples = ArrayArchive()
    samples.append("x", try Tensor(float32: (0..<96).map { Float($0) / 96 }, dims: [8, 3, 4]))
    samples.append("t", try Tensor(float32: (0..<12).map { Float($0) }, dims: [3, 4]))
    samples.append("s", try Tensor(float32: [0.5], dims: []))
    try samples.write(to: scratch.file("s.npz"))
    for batch in ["batch", "1", "2"] {
      let reference = try write(text(batch, "2"), scratch, "a\(batch).vcg")
      let model = try write(text(batch, "2"), scratch, "b\(batch).vcg")
      let other = try write(text(batch, "3"), scratch, "c\(batch).vcg")
      for data in [["--samples", scratch.file("s.npz")], []] {
        #expect(try Program.run(["validate", model, "--against", reference] + data).status == 0, "\(batch) \(data)")
        #expect(try Program.run(["validate", other, "--against", reference] + data).status == 1, "\(batch) \(data)")
      }
    }
    let run = try Program.run("run", scratch.file("abatch.vcg"), "--inputs", scratch.file("s.npz"), "-o", scratch.file("y.npz"))
    #expect(run.status == 0, "\(run.errors)")
  }

  /// A Keras model and what became of it with channels first are held against each other by names, axis by axis.
  @Test func layoutsAndNamesAreMatched() throws {
    let scratch = try Scratch()
    let keras = Fixtures.path("keras/cnn.keras")
    #expect(try Program.run("convert", keras, "-o", scratch.file("nchw.onnx"), "--layout", "nchw").status == 0)
    for pair in [[scratch.file("nchw.onnx"), keras], [keras, scratch.file("nchw.onnx")]] {
      let outcome = try Program.run("validate", pair[0], "--against", pair[1])
      #expect(outcome.status == 0, "\(outcome.output) \(outcome.errors)")
    }
    let digits = Fixtures.path("keras/digits.keras")
    #expect(try Program.run("convert", digits, "-o", scratch.file("digits.keras"), "--layout", "nchw").status == 0)
    let turned = try Program.run("validate", scratch.file("digits.keras"), "--against", digits, "--samples", Fixtures.path("data/digits_nhwc.npz"))
    #expect(turned.status == 0, "the samples are the reference's: \(turned.errors)")
    let a = try write(
      "graph %g(%p: f32[batch, 2], %q: f32[batch, 2]) -> (%s: f32[batch, 2], %d: f32[batch, 2]) {\n%s = add(%p, %q)\n%d = sub(%p, %q)\n}", scratch, "a.vcg")
    let b = try write(
      "graph %g(%q: f32[batch, 2], %p: f32[batch, 2]) -> (%d: f32[batch, 2], %s: f32[batch, 2]) {\n%s = add(%p, %q)\n%d = sub(%p, %q)\n}", scratch, "b.vcg")
    #expect(try Program.run("validate", a, "--against", b).status == 0)
    let c = try write(
      "graph %g(%p: f32[batch, 2], %q: f32[batch, 3]) -> (%s: f32[batch, 2], %d: f32[batch, 3]) {\n%s = relu(%p)\n%d = relu(%q)\n}", scratch, "c.vcg")
    let failure = try Program.run("validate", a, "--against", c)
    #expect(failure.status == 3 && failure.errors.contains("'q'"), "\(failure.errors)")
  }
}
