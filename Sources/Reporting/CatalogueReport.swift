internal import Rewriting

/// The rewrites there are: what each does, promises and takes.
public struct CatalogueReport: Report {
  public static let schema = "vitconv.rewrites/1"

  public init() {}

  public var json: JSONValue {
    ["schema": .string(Self.schema), "rewrites": .array(RewriteCatalogue.all.map(entry))]
  }

  private func entry(_ rewrite: any Rewrite.Type) -> JSONValue {
    [
      "id": .string(rewrite.id), "summary": .string(rewrite.summary), "exactness": .string(rewrite.exactness.word),
      "needs": .string(rewrite.calibration.word), "neutral": .string(neutral(rewrite)),
      "parameters": .array(
        rewrite.parameters.map {
          ["name": .string($0.name), "values": .string($0.values), "standard": .string($0.standard), "meaning": .string($0.meaning)]
        }),
    ]
  }

  public func text(_ style: TextStyle) -> String {
    RewriteCatalogue.all.map { rewrite in
      var out = style.bold(rewrite.id) + "  \(rewrite.summary)\n"
      out += "  exactness  \(rewrite.exactness.word)\n  needs      \(rewrite.calibration.word)\n  neutral    \(neutral(rewrite))\n"
      var table = TextTable([.left("parameter"), .left("values"), .left("standard"), .left("")])
      for parameter in rewrite.parameters { table.add([parameter.name, parameter.values, parameter.standard, parameter.meaning]) }
      return rewrite.parameters.isEmpty ? out : out + table.text(style)
    }.joined(separator: "\n")
  }

  /// The setting at which nothing changes, and how exactly.
  private func neutral(_ rewrite: any Rewrite.Type) -> String {
    switch rewrite.neutral {
    case .at(let parameters, let exactness): "\(parameters.joined(separator: ",")) (\(exactness.word))"
    case .absent(let reason): "none: \(reason)"
    }
  }
}
