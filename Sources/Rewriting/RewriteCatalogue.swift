public import Diagnostics

/// Every rewrite there is.
public enum RewriteCatalogue {
  public static let all: [any Rewrite.Type] = [
    FCViT.self,
    OAMixer.self,
  ]

  /// The rewrite that `NAME[:key=value,...]` names.
  ///
  /// - Throws: `rewriteUnknown`, or `rewriteParameter` for parameters it does not take.
  public static func make(_ specification: String) throws(Failure) -> any Rewrite {
    let colon = specification.firstIndex(of: ":") ?? specification.endIndex
    let name = String(specification[..<colon])
    guard let type = all.first(where: { $0.id == name }) else {
      throw Failure(.rewriteUnknown, "there is no rewrite '\(name)'", advice: "there are: " + all.map { $0.id }.joined(separator: ", "))
    }
    let rest = specification[colon...].dropFirst()
    return try type.init(parameters: rest.isEmpty ? [] : rest.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
  }
}
