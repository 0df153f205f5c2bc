/// The reading rules by domain and operator: the one place where an ONNX operator gets its meaning in the IR. How each
/// is written back stands in `OperatorSpelling.swift`.
enum OperatorRules {
  static func rule(domain: String, opType: String) -> ReadingRule? {
    switch domain {
    case "", "ai.onnx": standard[opType]
    case "com.microsoft": microsoft[opType]
    default: CatalogueRules.rules(domain: domain)[opType]
    }
  }

  private static let standard = merged([
    ElementwiseRules.standard, LinearRules.standard, NormalizationRules.standard, LayoutRules.standard, IndexingRules.standard, AttentionRules.standard,
    ConversionRules.standard, SelectionRules.standard, RandomRules.standard, RecurrenceRules.standard,
    SequenceRules.standard,
    CatalogueRules.rules(domain: ""),
  ])
  private static let microsoft = merged([
    ElementwiseRules.microsoft, LinearRules.microsoft, NormalizationRules.microsoft, AttentionRules.microsoft,
    CatalogueRules.rules(domain: "com.microsoft"), QuantizedRules.microsoft, FusedRules.microsoft, ContributedRules.microsoft, RecurrenceRules.microsoft,
  ])

  private static func merged(_ families: [[String: ReadingRule]]) -> [String: ReadingRule] {
    families.reduce(into: [:]) { all, family in all.merge(family) { first, _ in first } }
  }
}
