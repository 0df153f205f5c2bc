import Diagnostics
import Foundation
import FoundationXML
import Reporting
import TestSupport
import Testing
import Validation
import Validation

/// Every document against its schema, full and empty.
@Suite struct SchemaTests {
  private func check(_ report: some Report) throws -> [String] {
    let name = try #require(type(of: report).schema.wholeMatch(of: /vitconv\.(\w+)\/\d+/)).1
    return try JSONSchema(named: String(name)).violations(of: report.json.text)
  }

  private static let comparison = Comparison(
    maxAbs: 0.1, maxRel: 0.01, nmse: 1e-6, kl: .infinity, top1Agreement: 1, top1: 0.95, top1Reference: 0.96, samples: 10,
    outputs: [.init(name: "y", maxAbs: .nan, maxRel: 0, nmse: 0, tolerance: 1e-6, toleranceBasis: "float64 reference")],
    blocks: [.init(index: 0, name: "blocks.0.attn", nmse: 0.02)], firstDifference: .init(block: nil, node: "/Add", maxAbs: 1, tolerance: 0.1))

  @Test func documentsFollowTheirSchemas() throws {
    #expect(try check(ReportTextTests.inspection) == [])
    #expect(try check(InspectReport(model: ModelSummary(path: "a", format: "onnx"))) == [])
    let change = ModelChange(macsBefore: 2, macsAfter: nil, bytesBefore: 1, bytesAfter: 1, parametersBefore: 1, parametersAfter: 1)
    #expect(try check(ConversionReport(input: "a", output: "b", model: change)) == [])
    let block = BlockConversion(
      index: 0, name: "a", rewrite: "fcvit", applied: true, nmse: 0.1, macsBefore: 1, macsAfter: 1, parameters: [.init("kernel", 5), .init("tau", [0.5, 1.0])])
    let budget = BudgetOutcome(metric: "top1-drop", limit: 0.01, value: .nan, samples: 10)
    #expect(try check(ConversionReport(input: "a", output: "b", blocks: [block], model: change, comparison: Self.comparison, budget: budget)) == [])
    #expect(!budget.isKept, "what is not a number keeps no budget")
    #expect(try check(ValidationReport(model: "a", verdict: .pass)) == [])
    let check1 = ValidationReport.Check(id: "nmse", level: .error, passed: false, value: 1, limit: 0.5, message: "differs", at: "y")
    #expect(try check(ValidationReport(model: "a", reference: "b", verdict: .fail, checks: [check1], comparison: Self.comparison)) == [])
    #expect(try check(RunReport(samples: 1, threads: 2, loadMilliseconds: 1, runMilliseconds: 2.5, outputs: [PortSummary(name: "y", type: nil)])) == [])
    #expect(
      try check(
        BenchReport(
          runs: 20, warmup: 3, threads: 1, batch: 1, minMilliseconds: 1, medianMilliseconds: 2, p95Milliseconds: 3, loadMilliseconds: 4, peakResidentBytes: 5))
        == [])
  }

  @Test func folderOfCases() throws {
    let cases = [
      SuiteReport.Case(name: "a", operators: ["Add"], outcome: .passed, dataSets: 1, seconds: 0.5),
      SuiteReport.Case(name: "b", operators: ["Add", "Mul"], outcome: .failed, reason: "1 instead of <2> at [0]", dataSets: 1),
      SuiteReport.Case(name: "c & d", outcome: .refused, code: .malformed, reason: "a \"quoted\" reason"),
    ]
    let report = SuiteReport(folder: "suite", cases: cases)
    #expect(try check(report) == [])
    #expect(try check(SuiteReport(folder: "suite", cases: [])) == [])
    #expect(!report.allPassed && report.count(.refused) == 1)
    let text = report.text(TextStyle())
    #expect(text.contains("1 of 3 passed, 1 failed, 1 refused") && text.contains("VC2001") && !text.contains("  a  "))
    let parser = XMLParser(data: Data(report.junit.utf8))
    #expect(parser.parse(), "\(String(describing: parser.parserError))")
    #expect(report.junit.contains("tests=\"3\" failures=\"1\" errors=\"1\"") && report.junit.contains("&lt;2&gt;"))
  }

  @Test func profilesFollowTheSchema() throws {
    let step = ProfileReport.Step(name: "/MatMul", op: "MatMul", kernel: "MatMul", nodes: ["/MatMul", "/Add"], milliseconds: 2, macs: 1_000_000)
    let group = ProfileReport.Group(name: "MatMul", count: 1, milliseconds: 2, macs: 1_000_000)
    let copy = ProfileReport.Step(name: "", op: "copy", kernel: "copy", nodes: [], milliseconds: 0.1, macs: 0)
    let profile = ProfileReport(peakGigaflops: 4, steps: [step, copy], operators: [group], blocks: [group])
    let error = PrecisionError(precision: "bf16", maxAbs: 0.01, nmse: 1e-5)
    let report = BenchReport(
      runs: 20, warmup: 3, threads: 1, batch: 1, minMilliseconds: 1, medianMilliseconds: 2, p95Milliseconds: 3, loadMilliseconds: 4, peakResidentBytes: 5,
      error: error, profile: profile)
    #expect(try check(report) == [])
    let text = report.text(TextStyle())
    #expect(text.contains("25 %") && text.contains("attention block") && text.contains("(copy)") && text.contains("bf16 against float32"))
    let run = RunReport(samples: 1, threads: 2, loadMilliseconds: 1, runMilliseconds: 2.5, outputs: [], peakResidentBytes: 6_000_000, error: error)
    #expect(try check(run) == [])
    #expect(run.text(TextStyle(verbose: true)).contains("peak memory"))
  }

  @Test func theCatalogueOfRewrites() throws {
    #expect(try check(CatalogueReport()) == [])
    let text = CatalogueReport().text(TextStyle())
    #expect(text.contains("fcvit") && text.contains("oamixer") && text.contains("exactness  changes-function"))
  }

  @Test func theCheckerFindsWhatIsWrong() throws {
    let schema = try JSONSchema(named: "bench")
    let good =
      #"{"schema": "vitconv.bench/1", "runs": 1, "warmup": 0, "threads": 1, "batch": 1, "min_ms": 0, "median_ms": 0, "p95_ms": 0, "load_ms": 0.5, "peak_rss_bytes": 1}"#
    #expect(schema.violations(of: good) == [])
    for (from, to) in [
      ("\"runs\": 1", "\"runs\": 0"), ("\"runs\": 1", "\"runs\": 1.5"), ("\"runs\": 1", "\"runs\": \"1\""), ("\"runs\": 1", "\"runs\": true"),
      ("\"runs\": 1, ", ""), ("\"runs\": 1", "\"runs\": 1, \"more\": 1"), ("bench/1", "bench/2"), ("0.5", "-0.5"), ("0.5", "null"), ("}", ""),
    ] {
      #expect(!schema.violations(of: good.replacingOccurrences(of: from, with: to)).isEmpty, "\(from) -> \(to)")
    }
  }
}
