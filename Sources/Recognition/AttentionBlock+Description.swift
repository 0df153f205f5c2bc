internal import Operators
internal import Tensors

extension AttentionBlock: CustomStringConvertible {
  /// What a report says of the block, names and nodes aside: equal for all dialects of one model.
  public var facts: String {
    var text = "\(family.rawValue) heads=\(heads) head_dim=\(headDim) value_dim=\(valueDim) tokens=\(queryTokens)"
    if keyTokens != queryTokens { text += " key_tokens=\(keyTokens)" }
    text += " scale=\(Float(scale)) bias=\(bias.word)"
    if qkNorm != "none" { text += " qk_norm=\(qkNorm)" }
    if rotary { text += " rotary" }
    if mechanism != "softmax" { text += " mechanism=\(mechanism)" }
    return text + " parameters=\(parameters) macs=\(cost.macs)"
  }

  public var description: String { "\(name): \(facts)" }
}
