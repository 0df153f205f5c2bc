internal import GraphIR
internal import Recognition

extension PatchWriter {
  /// `value` in the order (batch, token, channel).
  mutating func batchFirst(_ value: ValueID, from layout: TokenLayout, _ name: String) -> ValueID {
    layout == .batchFirst ? value : transpose(value, [layout.batch, layout.token, layout.channel], name)
  }

  /// A (batch, token, channel) value in another order.
  mutating func ordered(_ value: ValueID, as layout: TokenLayout, _ name: String) -> ValueID {
    if layout == .batchFirst { return value }
    var axes = [0, 0, 0]
    axes[layout.batch] = 0
    axes[layout.token] = 1
    axes[layout.channel] = 2
    return transpose(value, axes, name)
  }
}
