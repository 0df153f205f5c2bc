internal import GraphIR
internal import Inference
internal import Operators
internal import Tensors

/// How tokens are parted into groups that attend among themselves, read off the factors of the token axes: the inner
/// factor of an axis inside a group is a window of neighbors, the outer one a dilated grid, a whole axis a line.
struct TokenGrouping {
  enum Form {
    case all, window, grid, axial
    /// Sequences of their own, which no axis of an image was cut into.
    case units
  }
  var form: Form
  var geometry = BlockGeometry()

  init(_ view: GraphView, query: ValueID, batch: [AxisFactor], tokens: [AxisFactor], source: ValueID) {
    let outside = batch.filter { view.labels.kind($0) == .token }
    let inside = tokens.filter { view.labels.kind($0) == .token }
    geometry.groups = outside.compactMap(\.size.value).checkedProduct ?? 1
    form = TokenGrouping.form(view, outside: outside, inside: inside)
    let partition = TokenGrouping.partition(view, source, tokens: tokens.size?.value)
    // Times or places of a film, each with its own kind, are no windows of an image.
    if form != .all, partition.window == nil, TokenGrouping.readsFilm(view) { form = .units }
    if form == .all, let window = partition.window {
      form = .window
      geometry.window = window
    } else if form != .all, form != .units {
      geometry.window = inside.compactMap(\.size.value)
    }
    if form == .window { geometry.shift = partition.shift }
  }

  private static func form(_ view: GraphView, outside: [AxisFactor], inside: [AxisFactor]) -> Form {
    guard !outside.isEmpty else { return .all }
    var cut = false
    for group in outside {
      // Rows and columns may be one axis: the innermost factor tells whether neighbors stay together.
      func innermost(_ factors: [AxisFactor]) -> Int? { factors.filter { $0.source == group.source }.compactMap(\.stride.value).min() }
      guard let token = innermost(inside) else { continue }
      cut = true
      if let other = innermost(outside), token > other { return .grid }
    }
    if cut { return .window }
    // No axis is on both sides: lines of an image, when rows and columns were made together.
    func makers(_ factors: [AxisFactor]) -> Set<NodeID?> {
      Set(factors.compactMap { factor in if case .label(let id) = factor.source { view.labels.labels[view.labels.root(id)].maker } else { nil } })
    }
    let isWhole = outside.allSatisfy { factor in view.labels.label(factor).map { $0.size == factor.size } ?? false }
    guard isWhole, !inside.isEmpty else { return .window }
    // Places that were cut out of the same axes by unfolding are sequences of their own.
    func roots(_ factors: [AxisFactor]) -> Set<Int> {
      Set(factors.compactMap { factor in if case .label(let id) = factor.source { view.labels.root(id) } else { nil } })
    }
    if !roots(outside).isDisjoint(with: roots(inside)) { return .units }
    let made = makers(outside)
    guard made == makers(inside) else { return .units }
    // Axes of an image, not of places that a rearrangement cut out of it.
    let isImage = made.allSatisfy { maker in
      guard let maker else { return true }
      switch view.graph[maker].op {
      case .convolution, .pooling, .indexing(.resize), .layout(.pad), .layout(.slice): return true
      default: return false
      }
    }
    return isImage ? .axial : .units
  }

  /// Whether an input has pictures in a row: batch, time, channel, row and column in some order.
  private static func readsFilm(_ view: GraphView) -> Bool {
    view.graph.inputs.contains { view.labels.layout($0)?.axes.count == 5 }
  }

  /// A partition into windows before the projections, even one whole window, and the cyclic shift before it.
  private static func partition(_ view: GraphView, _ source: ValueID, tokens: Int?) -> (window: [Int]?, shift: [Int]) {
    var window: [Int]?
    var shift: [Int] = []
    var value = source
    var steps = 0
    while steps < 16, let (id, node) = view.producer(value), let input = node.input(0) {
      steps += 1
      switch node.op {
      case .layout(.reshape):
        if let dims = view.shape(value)?.dims.map(\.value), dims.count == 6, let before = view.shape(input), before.rank == 4, window == nil {
          // (batch, rows, in row, columns, in column, channel), channels first or last.
          let first = dims[1] == before[1].value && dims[1] != nil && dims[2] != 1 ? 2 : 1
          if let rows = dims[first], let inRow = dims[first + 1], let columns = dims[first + 2], let inColumn = dims[first + 3],
            rows.multipliedReportingOverflow(by: inRow).partialValue == before[first].value, columns >= 1
          {
            window = rows &* columns == tokens && inRow &* inColumn != tokens ? [rows, columns] : [inRow, inColumn]
          }
        } else if let dims = view.shape(value)?.dims.map(\.value), dims.count == 8, view.shape(input)?.rank == 5, window == nil {
          // The same with time before rows (Liu et al. 2022).
          if let inTime = dims[2], let inRow = dims[4], let inColumn = dims[6], inTime &* inRow &* inColumn == tokens { window = [inTime, inRow, inColumn] }
        }
        value = input
      case .layout(.concat):
        guard let moved = view.cyclicShift(endingAt: id) else { return (window, shift) }
        shift.insert(moved.count, at: 0)
        value = moved.source
      case .layout, .cast, .unary(.identity): value = input
      case .normalization: value = input
      default: return (window, shift)
      }
    }
    return (window, shift)
  }
}
