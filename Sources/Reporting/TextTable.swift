/// Rows in aligned columns, under a line of headers.
struct TextTable {
  enum Alignment { case left, right }
  struct Column {
    var title: String
    var alignment: Alignment
    static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
    static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  init(_ columns: [Column]) { self.columns = columns }

  mutating func add(_ cells: [String]) { rows.append(cells.map(\.printable)) }

  func text(_ style: TextStyle, indent: String = "  ") -> String {
    let widths = columns.indices.map { index in
      Swift.max(columns[index].title.count, rows.lazy.map { index < $0.count ? $0[index].count : 0 }.max() ?? 0)
    }
    func line(_ cells: [String]) -> String {
      var out = indent
      for (index, cell) in cells.enumerated() where index < widths.count {
        let padding = String(repeating: " ", count: widths[index] - cell.count)
        out += columns[index].alignment == .right ? padding + cell : cell + padding
        if index + 1 < cells.count { out += "  " }
      }
      while out.last == " " { out.removeLast() }
      return out
    }
    return ([style.dim(line(columns.map(\.title)))] + rows.map(line)).joined(separator: "\n") + "\n"
  }
}

extension TextStyle {
  private func paint(_ text: String, _ code: Int) -> String { colors ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
  func bold(_ text: String) -> String { paint(text, 1) }
  func dim(_ text: String) -> String { paint(text, 2) }
  func red(_ text: String) -> String { paint(text, 31) }
  func green(_ text: String) -> String { paint(text, 32) }
  func yellow(_ text: String) -> String { paint(text, 33) }
}
