import Diagnostics
import Tensors
import Testing
import Validation

@testable import Reporting

@Suite struct NumeralsTests {
  @Test(arguments: [
    (0.0, "0"), (0.20412414, "0.2041"), (12.5, "12.5"), (1234.5678, "1235"), (123456.7, "123457"), (3.1e-7, "3.1e-07"), (-0.00012345, "-0.0001235"),
    (9.99999, "10"), (1e12, "1e+12"), (.infinity, "inf"), (.nan, "nan"), (Double.leastNonzeroMagnitude, "5e-324"), (1, "1"),
    (.greatestFiniteMagnitude, "1.798e+308"),
  ])
  func significantDigits(_ value: Double, _ text: String) { #expect(Numerals.significant(value) == text) }

  @Test func otherForms() {
    #expect(Numerals.grouped(1_234_567) == "1,234,567" && Numerals.grouped(-12) == "-12" && Numerals.grouped(999) == "999")
    #expect(Numerals.fixed(0.999, 1) == "1.0" && Numerals.fixed(-0.04, 1) == "0.0" && Numerals.fixed(2.5, 0) == "3")
    #expect(Numerals.percent(0.9525) == "95.3 %" || Numerals.percent(0.9525) == "95.2 %")
    #expect(Numerals.bytes(999) == "999 B" && Numerals.bytes(1_500) == "1.5 kB" && Numerals.bytes(346_000_000) == "346 MB")
    #expect(Numerals.quantity(12) == "12" && Numerals.quantity(17_580_000_000) == "17.6 G" && Numerals.quantity(999_600) == "1 M")
  }

  @Test func controlCharactersNeverReachATerminal() {
    #expect("a\u{1B}[31mb\nc\u{202E}d".printable == "a\\u{1b}[31mb\\u{a}c\\u{202e}d")
    #expect("blocks.0/attn é".printable == "blocks.0/attn é")
  }
}

@Suite struct ReportTextTests {
  static let inspection = InspectReport(
    model: ModelSummary(
      path: "vit.onnx", format: "onnx", producer: "pytorch 2.13", opset: [.init(domain: "", version: 17)], parameters: 65_224, bytes: 270_000,
      inputs: [PortSummary(name: "in0", type: TensorType(.float32, Shape([Dim(symbol: "batch"), 3, 32, 32])))],
      outputs: [PortSummary(name: "out0", type: nil)]),
    operators: [OperatorCount(name: "MatMul", count: 12), OperatorCount(name: "Add", count: 9)],
    cost: CostSummary(macs: 1_234_567, elementwise: 890, activationBytesPeak: 456_000),
    attention: [
      AttentionSummary(
        index: 0, name: "blocks.0.attn", family: "self", mechanism: "softmax", heads: 4, headDim: 8, valueDim: 8, queryTokens: 17, keyTokens: 17,
        scale: 0.3535533905932738, bias: "none", qkNorm: "none", causal: false, parameters: 4_224, macs: 70_000, nodes: ["a", "b"],
        rewrites: ["fcvit", "oamixer"])
    ],
    nearMisses: [NearMissSummary(at: "/gate/Softmax", lookedLike: "self", refused: "the map is not applied to values")],
    findings: [Diagnostic(.nonFiniteWeight, "a weight holds NaN", at: .element("w"))])

  @Test func inspection() {
    #expect(
      Self.inspection.text(TextStyle()) == """
        vit.onnx
          ONNX, opset 17, written by pytorch 2.13
          65,224 parameters, 270 kB
                  name  type
          input   in0   float32[batch, 3, 32, 32]
          output  out0  unknown

        operators: 21 of 2 kinds
          MatMul 12, Add 9

        cost of one sample
          1.23 M multiply-adds in matrix products and convolutions, those inside attention included
          890 other arithmetic results, not part of the above
          456 kB of activations alive at once

        attention: 1 block, 4,224 parameters
          #  name           family  heads  dim  tokens   scale  bias  parameters  MACs  nodes  rewrites
          0  blocks.0.attn  self        4    8  17      0.3536  none       4,224  70 k      2  fcvit, oamixer

        near misses: 1
          at             looked like  refused because
          /gate/Softmax  self         the map is not applied to values

        findings: 1
          warning VC4001 a weight holds NaN ('w')

        """)
    #expect(!Self.inspection.text(TextStyle()).contains("\u{1B}") && Self.inspection.text(TextStyle(colors: true)).contains("\u{1B}["))
  }

  @Test func conversion() {
    let report = ConversionReport(
      input: "a.onnx", output: "b.onnx",
      blocks: [
        BlockConversion(
          index: 0, name: "blocks.0.attn", rewrite: "fcvit", applied: true, nmse: 0.0312345, macsBefore: 2_000_000, macsAfter: 1_000_000,
          parameters: [.init("kernel", 3), .init("contexts", 1), .init("temperature", 0.5)]),
        BlockConversion(index: 1, name: "blocks.1.attn", rewrite: "fcvit", applied: false, reason: "the tokens form no square grid"),
      ],
      model: ModelChange(macsBefore: 4_000_000, macsAfter: 3_000_000, bytesBefore: 1_000, bytesAfter: 1_100, parametersBefore: 250, parametersAfter: 260),
      comparison: Comparison(maxAbs: 0.5, maxRel: 0.1, nmse: 0.01, kl: 0.002, top1Agreement: 0.98, top1: 0.95, top1Reference: 0.955, samples: 360),
      budget: BudgetOutcome(metric: "top1-drop", limit: 0.01, value: 0.005, samples: 360))
    #expect(
      report.text(TextStyle()) == """
        rewrites: 1 applied, 1 refused
          #  name           rewrite             NMSE  MACs before  after  settings, or why not
          0  blocks.0.attn  fcvit    applied  0.0312          2 M    1 M  kernel=3 contexts=1 temperature=0.5
          1  blocks.1.attn  fcvit    refused       -            -      -  the tokens form no square grid

        cost of one sample
          model          before  after  ratio
          multiply-adds     4 M    3 M  0.750
          parameters        250    260  1.040
          bytes           1,000  1,100  1.100

        converted against original, on 360 samples
          largest difference  0.5, 0.1 of the largest magnitude
          NMSE                0.01
          KL divergence       0.002 nats
          top-1 agreement     98.0 %
          top-1 accuracy      95.0 %, reference 95.5 % (-0.5 points)

        budget kept: top1-drop 0.005, at most 0.01, on 360 held-out samples

        wrote b.onnx

        """)
  }

  @Test func validationTellsWhatFailed() {
    let report = ValidationReport(
      model: "b.onnx", reference: "a.onnx", verdict: .fail,
      checks: [
        .init(id: "structure", level: .error, passed: true, message: "the graph follows the laws"),
        .init(id: "nmse", level: .error, passed: false, value: 0.5, limit: 0.01, message: "outputs differ", at: "out0"),
      ],
      comparison: Comparison(
        maxAbs: 1, samples: 1, outputs: [.init(name: "out0", maxAbs: 1, maxRel: 0.5, nmse: 0.5, tolerance: 1e-6, toleranceBasis: "float64 reference")],
        firstDifference: .init(block: "blocks.2.attn", node: "/blocks.2/attn/Softmax", maxAbs: 0.25, tolerance: 1e-6)))
    let text = report.text(TextStyle())
    #expect(text.contains("checks: 1 of 2 passed") && text.contains("error  nmse     0.5   0.01  outputs differ ('out0')"))
    #expect(text.contains("the models part first at '/blocks.2/attn/Softmax' in blocks.2.attn: 0.25, where rounding explains 1e-06"))
    #expect(text.hasSuffix("verdict: fail\n") && !text.contains("structure"))
  }
}
