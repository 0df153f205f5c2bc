internal import Operators
internal import Tensors

extension AttentionBlock: CustomStringConvertible {
  /// What a report says of the block, names and nodes aside: equal for all dialects of one model.
  public var facts: String {
    var text = family.rawValue
    if let heads { text += " heads=\(heads)" }
    if let headDim { text += " head_dim=\(headDim)" }
    if let valueDim { text += " value_dim=\(valueDim)" }
    text += " tokens=\(queryTokens)"
    if keyTokens != queryTokens { text += " key_tokens=\(keyTokens)" }
    if let scale { text += " scale=\(Float(scale))" }
    text += " bias=\(bias.word)"
    if qkNorm != "none" { text += " qk_norm=\(qkNorm)" }
    if rotary { text += " rotary" }
    if mechanism != "softmax" { text += " mechanism=\(mechanism)" }
    text += geometry.facts
    for trait in traits { text += " [\(trait)]" }
    return text + " parameters=\(parameters) macs=\(cost.macs)"
  }

  public var description: String { "\(name): \(facts)" }
}

extension BlockGeometry {
  /// ` window=7x7 shift=3x3 groups=64`, what is ordinary left out.
  var facts: String {
    var text = ""
    func joined(_ sizes: [Int]) -> String { sizes.map(String.init).joined(separator: "x") }
    if !window.isEmpty { text += " window=\(joined(window))" }
    if !shift.isEmpty { text += " shift=\(joined(shift))" }
    if groups > 1 { text += " groups=\(groups)" }
    if let reduction { text += " reduction=\(reduction)" }
    if !kernel.isEmpty { text += " kernel=\(joined(kernel))" }
    return text
  }
}
