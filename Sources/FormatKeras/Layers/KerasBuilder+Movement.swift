internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Operations that put entries elsewhere; nil for a name that is none of them.
  mutating func movement(_ name: String, _ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> [ValueID]? {
    let rank = try e.rank(x)
    switch name {
    case "Reshape": return [try reshaped(x, argument(1, "newshape") ?? argument(1, "shape"), call)]
    case "Ravel": return [try e.reshape(x, try target([-1], of: x, from: 0, call))]
    case "Transpose":
      var order: [Int] = []
      for axis in argument(1, "axes")?.ints ?? Array((0..<rank).reversed()) { order.append(try e.axis(axis, rank: rank)) }
      guard order.sorted() == Array(0..<rank) else { throw call.wrong("'axes' is no order of the axes") }
      return [try e.transpose(x, order)]
    case "Swapaxes":
      guard let a = argument(1, "axis1")?.int, let b = argument(2, "axis2")?.int else { throw call.wrong("its axes are missing") }
      var order = Array(0..<rank)
      order.swapAt(try e.axis(a, rank: rank), try e.axis(b, rank: rank))
      return [try e.transpose(x, order)]
    case "Moveaxis":
      guard let from = argument(1, "source")?.ints, let to = argument(2, "destination")?.ints, from.count == to.count else {
        throw call.wrong("its axes are missing")
      }
      return [try movedAxes(x, from, to)]
    case "GetItem": return [try item(x, call.argument(1, "key") ?? .none, call)]
    case "Slice":
      guard let starts = call.argument(1, "start_indices")?.ints, let sizes = argument(2, "shape")?.ints, starts.count == rank, sizes.count == rank else {
        throw call.refused("a part whose place is computed")
      }
      var y = x
      for axis in 0..<rank {
        guard (0...(1 << 30)).contains(starts[axis]), (-1...(1 << 30)).contains(sizes[axis]) else { throw call.wrong("its part is wrong") }
        y = try e.slice(y, axis: axis, from: starts[axis], to: sizes[axis] < 0 ? Int(Int32.max) : starts[axis] + sizes[axis])
      }
      return [y]
    case "Split": return try split(x, argument(1, "indices_or_sections"), argument(2, "axis")?.int ?? 0, call)
    case "ArraySplit": return try split(x, argument(1, "indices_or_sections"), argument(2, "axis")?.int ?? 0, call, isUneven: true)
    case "Hsplit": return try split(x, argument(1, "indices_or_sections"), 1, call)
    case "Vsplit": return try split(x, argument(1, "indices_or_sections"), 0, call)
    case "Dsplit": return try split(x, argument(1, "indices_or_sections"), 2, call)
    case "Unstack":
      let axis = try e.axis(argument(2, "axis")?.int ?? 0, rank: rank)
      let parts = try split(x, .int(try e.size(x, axis)), axis, call)
      var results: [ValueID] = []
      for part in parts { results.append(try e.squeeze(part, [axis])) }
      return results
    case "Pad": return [try padded(x, argument, call)]
    case "Roll":
      guard let shifts = argument(1, "shift")?.ints, let axes = argument(2, "axis")?.ints, axes.count == shifts.count else {
        throw call.refused("all axes turned as one")
      }
      var y = x
      for (shift, axis) in zip(shifts, axes) { y = try rolled(y, shift, try e.axis(axis, rank: rank)) }
      return [y]
    case "Flip", "Fliplr", "Flipud":
      var y = x
      for axis in name == "Fliplr" ? [1] : name == "Flipud" ? [0] : argument(1, "axis")?.ints ?? Array(0..<rank) {
        y = try flipped(y, axis: try e.axis(axis, rank: rank))
      }
      return [y]
    case "Rot90":
      guard let axes = argument(2, "axes")?.ints ?? Optional([0, 1]), axes.count == 2 else { throw call.wrong("its axes are missing") }
      let (a, b) = (try e.axis(axes[0], rank: rank), try e.axis(axes[1], rank: rank))
      guard a != b else { throw call.wrong("its axes are one") }
      var order = Array(0..<rank)
      order.swapAt(a, b)
      switch ((argument(1, "k")?.int ?? 1) % 4 + 4) % 4 {
      case 1: return [try e.transpose(try flipped(x, axis: b), order)]
      case 2: return [try flipped(try flipped(x, axis: a), axis: b)]
      case 3: return [try flipped(try e.transpose(x, order), axis: b)]
      default: return [x]
      }
    case "ExpandDims":
      guard let axes = argument(1, "axis")?.ints else { throw call.wrong("'axis' is missing") }
      var whole: [Int] = []
      for axis in axes { whole.append(try e.axis(axis, rank: rank + axes.count)) }
      return [try e.unsqueeze(x, whole)]
    case "Squeeze":
      let dims = try e.shape(x)
      var axes: [Int] = []
      for axis in argument(1, "axis")?.ints ?? dims.indices.filter({ dims[$0].value == 1 }) { axes.append(try e.axis(axis, rank: rank)) }
      return [try e.squeeze(x, axes)]
    case "BroadcastTo": return [try broadcast(x, argument(1, "shape"), call)]
    case "Take":
      guard let axis = argument(2, "axis")?.int else { throw call.refused("entries of all axes as one") }
      let place = try e.axis(axis, rank: rank)
      if let index = call.argument(1, "indices")?.int { return [try e.gather(x, axis: place, at: index)] }
      return [try e.emit(.indexing(.gather(axis: place)), [x, try value(call.argument(1, "indices"), call)], "Gather")]
    case "TakeAlongAxis":
      guard let axis = argument(2, "axis")?.int else { throw call.refused("entries of all axes as one") }
      return [try takenAlong(x, try value(call.argument(1, "indices"), call), axis: try e.axis(axis, rank: rank), call)]
    case "ScatterUpdate":
      let reductions: [String: ScatterReduction] = ["add": .add, "mul": .multiply, "min": .minimum, "max": .maximum]
      let word = argument(3, "reduction")?.string
      guard let reduction = word.map({ reductions[$0] }) ?? ScatterReduction.none else { throw call.refused("this reduction") }
      let indices = try e.emit(.cast(to: .int64), [try value(call.argument(1, "indices"), call)], "Cast")
      return [try e.emit(.indexing(.scatterND(reduction)), [x, indices, try value(call.argument(2, "updates"), call)], "ScatterND")]
    case "Repeat":
      guard let axis = argument(2, "axis")?.int else { throw call.refused("entries of all axes as one") }
      let place = try e.axis(axis, rank: rank)
      if let each = argument(1, "repeats")?.ints, each.count > 1 {
        guard try e.size(x, place) == each.count, each.allSatisfy({ (0...4096).contains($0) }) else { throw call.wrong("its repeats do not fit the axis") }
        let places = each.enumerated().flatMap { [Int64](repeating: Int64($0), count: $1) }
        guard !places.isEmpty else { throw call.refused("a tensor without elements") }
        return [try e.emit(.indexing(.gather(axis: place)), [x, e.constant("places", try Tensor(int64: places, dims: [places.count]))], "Gather")]
      }
      guard let times = argument(1, "repeats")?.ints?.first, (1...4096).contains(times) else { throw call.refused("this form of repetition") }
      var repeats = [Int](repeating: 1, count: rank + 1)
      repeats[place + 1] = times
      let tiled = try e.emit(.layout(.tile), [try e.unsqueeze(x, [place + 1]), try e.integers(repeats)], "Tile")
      var dims = try e.shape(x)
      guard let size = dims[place].multiplied(by: Dim(times)) else { throw call.wrong("its size overflows") }
      dims[place] = size
      return [try e.reshape(tiled, dims)]
    case "Tile":
      guard let repeats = argument(1, "repeats")?.ints, repeats.count <= 64, repeats.allSatisfy({ (0...(1 << 24)).contains($0) }) else {
        throw call.refused("this form of repetition")
      }
      // The shorter of the two is filled up in front with ones.
      let whole = [Int](repeating: 1, count: max(rank - repeats.count, 0)) + repeats
      return [try e.emit(.layout(.tile), [try e.unsqueeze(x, Array(0..<max(whole.count - rank, 0))), try e.integers(whole)], "Tile")]
    case "Tril", "Triu":
      let k = try e.constantScalar(Int64(argument(1, "k")?.int ?? 0))
      return [try e.emit(.indexing(.trilu(upper: name == "Triu")), [x, k], "Trilu")]
    case "Diagonal", "Trace": return [try diagonal(x, argument, isTrace: name == "Trace", call)]
    case "DepthToSpace", "SpaceToDepth":
      guard let block = argument(1, "block_size")?.int, (1...4096).contains(block) else { throw call.wrong("'block_size' is missing") }
      let isFirst = argument(2, "data_format")?.string == "channels_first"
      let turned = isFirst ? x : try e.transpose(x, [0, 3, 1, 2])
      let op: LayoutOp = name == "DepthToSpace" ? .depthToSpace(blockSize: block, columnRowDepth: false) : .spaceToDepth(blockSize: block)
      let y = try e.emit(.layout(op), [turned], name)
      return [isFirst ? y : try e.transpose(y, [0, 2, 3, 1])]
    default: return nil
    }
  }

  private mutating func padded(_ x: ValueID, _ argument: (Int, String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var pairs: [[Int]] = []
    if let all = argument(1, "pad_width")?.int {
      pairs = [[Int]](repeating: [all, all], count: rank)
    } else if let both = argument(1, "pad_width")?.ints {
      pairs = [[Int]](repeating: both.count == 1 ? both + both : both, count: rank)
    } else if case .list(let entries)? = argument(1, "pad_width") {
      pairs = entries.compactMap(\.ints)
      if pairs.count == 1, rank > 1 { pairs = [[Int]](repeating: pairs[0], count: rank) }
    }
    guard pairs.count == rank, pairs.allSatisfy({ $0.count == 2 && $0.allSatisfy { (0...(1 << 24)).contains($0) } }) else {
      throw call.wrong("'pad_width' is wrong")
    }
    let (before, after) = (pairs.map { $0[0] }, pairs.map { $0[1] })
    switch argument(2, "mode")?.string ?? "constant" {
    case "constant": return try e.pad(x, before: before, after: after, value: argument(3, "constant_values")?.double ?? 0)
    case "reflect": return try e.pad(x, before: before, after: after, mode: .reflect)
    case "edge": return try e.pad(x, before: before, after: after, mode: .edge)
    case "wrap": return try e.pad(x, before: before, after: after, mode: .wrap)
    case "symmetric":
      // A mirror that shows the border, too: ONNX has none, so the strips are turned round one axis after the other.
      var y = x
      for axis in 0..<rank where before[axis] > 0 || after[axis] > 0 {
        let size = try e.size(y, axis)
        guard before[axis] <= size, after[axis] <= size else { throw call.wrong("more padding than there is to mirror") }
        var parts = [y]
        if before[axis] > 0 { parts.insert(try flipped(try e.slice(y, axis: axis, from: 0, to: before[axis]), axis: axis), at: 0) }
        if after[axis] > 0 { parts.append(try flipped(try e.slice(y, axis: axis, from: size - after[axis], to: size), axis: axis)) }
        y = try e.concat(parts, axis: axis)
      }
      return y
    default: throw call.refused("this mode of padding")
    }
  }

  /// To a shape; the entries −1 and null keep what is there.
  private mutating func broadcast(_ x: ValueID, _ shape: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    guard case .list(let entries)? = shape, entries.count <= 64 else { throw call.refused("an open shape") }
    var target: [Int] = []
    for entry in entries {
      guard let size = entry.int ?? (entry.isNone ? 1 : nil), size >= -1 else { throw call.refused("an open shape") }
      target.append(size == -1 ? 1 : size)
    }
    return try e.emit(.layout(.expand), [x, try e.integers(target)], "Expand")
  }

  /// Other axes of the two are broadcast to each other, as NumPy does it.
  private mutating func takenAlong(_ x: ValueID, _ indices: ValueID, axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let (own, other) = (try e.shape(x), try e.shape(indices))
    func fit(_ a: Dim, _ b: Dim) -> Bool { a == b || a.value == 1 || b.value == 1 }
    guard own.count == other.count, own.indices.allSatisfy({ $0 == axis || fit(own[$0], other[$0]) }) else { throw call.refused("indices of another shape") }
    /// Axes of size 1 repeated as often as the other has entries.
    func widened(_ value: ValueID, _ from: [Dim], to dims: [Dim]) throws(Failure) -> ValueID {
      var target = [Int](repeating: 1, count: from.count)
      for place in from.indices where place != axis && from[place] != dims[place] && from[place].value == 1 {
        guard let size = dims[place].value else { throw call.refused("indices along an open axis") }
        target[place] = size
      }
      if target.allSatisfy({ $0 == 1 }) { return value }
      return try e.emit(.layout(.expand), [value, try e.integers(target)], "Expand")
    }
    let (x, indices) = (try widened(x, own, to: other), try widened(indices, other, to: own))
    return try e.emit(.indexing(.gatherElements(axis: axis)), [x, indices], "GatherElements")
  }

  /// Entries whose places on two axes differ by an offset, along a new last axis, or their sum.
  private mutating func diagonal(_ x: ValueID, _ argument: (Int, String) -> Argument?, isTrace: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let a = try e.axis(argument(2, "axis1")?.int ?? 0, rank: rank)
    let b = try e.axis(argument(3, "axis2")?.int ?? 1, rank: rank)
    let offset = argument(1, "offset")?.int ?? 0
    guard a != b, (-(1 << 24)...(1 << 24)).contains(offset) else { throw call.wrong("its axes are wrong") }
    let (rows, columns) = (try e.size(x, a), try e.size(x, b))
    let (top, left) = (max(-offset, 0), max(offset, 0))
    let count = min(rows - top, columns - left)
    guard count > 0, count <= 1 << 24 else { throw call.wrong("its diagonal has \(count) entries") }
    let rest = (0..<rank).filter { $0 != a && $0 != b }
    let turned = try e.transpose(x, rest + [a, b])
    let dims = try e.shape(turned)
    guard let total = [rows, columns].checkedProduct else { throw call.wrong("its size overflows") }
    let flat = try e.reshape(turned, dims.dropLast(2) + [Dim(total)])
    let places = (0..<count).map { Int64((top + $0) * columns + left + $0) }
    let line = try e.emit(.indexing(.gather(axis: rest.count)), [flat, e.constant("diagonal", try Tensor(int64: places, dims: [count]))], "Gather")
    return isTrace ? try e.reduce(.sum, line, axes: [-1], keep: false, "ReduceSum") : line
  }
}
