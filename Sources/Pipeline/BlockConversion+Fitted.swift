internal import Operators
internal import Recognition
internal import Reporting
internal import Rewriting

extension BlockConversion {
  /// A block as its rewrite left it.
  init(_ block: RewrittenBlock, _ site: RewriteSite) {
    self.init(
      index: site.index, name: site.block.name, rewrite: type(of: block.rewrite).id, applied: true, nmse: block.fitted.heldOutError,
      macsBefore: site.block.cost.macs, macsAfter: block.fitted.macs, parameters: block.fitted.report.map { JSONValue.Member($0.name, JSONValue($0.value)) })
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
