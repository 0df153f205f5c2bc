internal import Reporting
internal import Rewriting

extension BlockConversion {
  /// A block as its rewrite left it.
  init(_ rewrite: any Rewrite, _ site: RewriteSite, _ fitted: any FittedRewrite) {
    self.init(
      index: site.index, name: site.block.name, rewrite: type(of: rewrite).id, applied: true, nmse: fitted.heldOutError,
      macsBefore: site.block.cost.macs, macsAfter: fitted.macs, parameters: fitted.report.map { ($0.name, JSONValue($0.value)) })
  }
}

extension JSONValue {
  init(_ value: RewriteFact.Value) {
    switch value {
    case .number(let number): self = .number(number)
    case .integer(let integer): self = .integer(integer)
    case .text(let text): self = .string(text)
    case .numbers(let numbers): self = .array(numbers.map { .number($0) })
    }
  }
}
