internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Operations that take axes away, run along them or put them in order; nil for a name that is none of them.
  mutating func reduction(_ name: String, _ x: ValueID, _ argument: (String) -> Argument?, _ call: LayerCall) throws(Failure) -> [ValueID]? {
    let rank = try e.rank(x)
    let keep = argument("keepdims")?.bool ?? false
    switch name {
    case "Mean", "Max", "Sum", "Min", "Amax", "Amin", "Prod", "Var", "Std", "Logsumexp", "Ptp":
      return [try reduced(name, x, argument("axis"), keep, call)]
    case "Average":
      guard let given = call.argument(1, "weights") else { return [try reduced("Mean", x, argument("axis"), keep, call)] }
      return [try weightedMean(x, given, argument("axis"), keep, call)]
    case "Nanmax", "Nanmin", "Nansum", "Nanprod", "Nanmean": return [try reducedWithoutNaN(name, x, argument("axis"), keep, call)]
    case "Argmax", "Argmin":
      guard let axis = argument("axis")?.int else { throw call.refused("\(name) over all axes") }
      return [try e.cast(try e.reduce(name == "Argmax" ? .argMax : .argMin, x, axes: [axis], keep: keep, name), .int32)]
    case "Any", "All":
      let isTrue = try e.element(x) == .bool ? x : try e.unary(.not, try equals(x, 0), "Not")
      let number = try e.emit(.cast(to: .float32), [isTrue], "Cast")
      let axes = argument("axis")?.ints ?? Array(0..<rank)
      let reduced = try e.reduce(name == "Any" ? .max : .min, number, axes: axes, keep: keep, "Reduce")
      return [try e.emit(.binary(.greater), [reduced, try e.scalar(0, .float32)], "Greater")]
    case "CountNonzero":
      let isTrue = try e.element(x) == .bool ? x : try e.unary(.not, try equals(x, 0), "Not")
      return [try e.reduce(.sum, try e.emit(.cast(to: .int32), [isTrue], "Cast"), axes: argument("axis")?.ints ?? Array(0..<rank), keep: false, "ReduceSum")]
    case "Cumsum", "Cumprod":
      guard let axis = argument("axis")?.int else { throw call.refused("\(name) over all axes") }
      let place = try e.constantScalar(Int64(try e.axis(axis, rank: rank)))
      if name == "Cumprod" { return [try runningProduct(x, axis: try e.axis(axis, rank: rank), call)] }
      return [try e.emit(.cumulative(CumulativeOp(.sum)), [x, place], "CumSum")]
    case "Median":
      guard let axis = argument("axis")?.int ?? argument("axis")?.ints?.first, argument("axis")?.ints?.count ?? 1 == 1 else {
        return try medianOverAxes(x, argument("axis")?.ints ?? Array(0..<rank), keep, call)
      }
      return [try median(x, axis: try e.axis(axis, rank: rank), keep, call)]
    case "Norm": return [try norm(x, argument("ord"), argument("axis")?.ints ?? Array(0..<rank), keep, call)]
    case "Normalize": return [try normalized(x, argument, call)]
    case "Moments":
      guard let axes = argument("axes")?.ints else { throw call.wrong("'axes' is missing") }
      return [try reduced("Mean", x, .list(axes.map { .int($0) }), keep, call), try reduced("Var", x, .list(axes.map { .int($0) }), keep, call)]
    case "Sort", "Argsort":
      guard let axis = argument("axis")?.int else { throw call.refused("all axes in one order") }
      let place = try e.axis(axis, rank: rank)
      let result = try ordered(x, axis: place, count: try e.size(x, place), largest: false)
      return [name == "Sort" ? result.values : try e.emit(.cast(to: .int32), [result.indices], "Cast")]
    case "TopK":
      guard let count = argument("k")?.int, count > 0 else { throw call.wrong("'k' is missing") }
      let result = try ordered(x, axis: rank - 1, count: count, largest: true)
      return [result.values, try e.emit(.cast(to: .int32), [result.indices], "Cast")]
    case "Diff":
      var y = x
      let axis = try e.axis(argument("axis")?.int ?? -1, rank: rank)
      let times = argument("n")?.int ?? 1
      guard (0...16).contains(times) else { throw call.wrong("'n' is \(times)") }
      for _ in 0..<times {
        let size = try e.size(y, axis)
        y = try e.subtract(try e.slice(y, axis: axis, from: 1, to: size), try e.slice(y, axis: axis, from: 0, to: size - 1))
      }
      return [y]
    case "Quantile", "Percentile":
      guard let axis = argument("axis")?.int else { throw call.refused("a quantile over several axes") }
      let place = try e.axis(axis, rank: rank)
      let factor = name == "Percentile" ? 0.01 : 1
      let method = argument("method")?.string ?? "linear"
      if let q = call.argument(1, "q")?.double { return [try quantile(x, q * factor, axis: place, keep, call, method: method)] }
      // Several stand along a new first axis.
      guard case .list(let entries)? = call.argument(1, "q"), !entries.isEmpty, entries.count <= 1024 else { throw call.refused("this form of quantile") }
      var results: [ValueID] = []
      for entry in entries {
        guard let q = entry.double else { throw call.refused("this form of quantile") }
        results.append(try e.unsqueeze(try quantile(x, q * factor, axis: place, keep, call, method: method), [0]))
      }
      return [try e.concat(results, axis: 0)]
    default: return nil
    }
  }

  mutating func reduced(_ name: String, _ x: ValueID, _ axis: Argument?, _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    let axes = axis?.ints ?? Array(0..<rank)
    // Means of integers and of truth values are numbers.
    var x = x
    let own = try e.element(x)
    if !own.isFloatingPoint, ["Mean", "Var", "Std", "Logsumexp"].contains(name) || own == .bool {
      x = try e.emit(.cast(to: name == "Sum" ? .int32 : .float32), [x], "Cast")
    }
    switch name {
    case "Mean": return try e.reduce(.mean, x, axes: axes, keep: keep, "ReduceMean")
    case "Max", "Amax": return try e.reduce(.max, x, axes: axes, keep: keep, "ReduceMax")
    case "Min", "Amin": return try e.reduce(.min, x, axes: axes, keep: keep, "ReduceMin")
    case "Sum": return try e.reduce(.sum, x, axes: axes, keep: keep, "ReduceSum")
    case "Prod": return try e.reduce(.prod, x, axes: axes, keep: keep, "ReduceProd")
    case "Logsumexp": return try e.reduce(.logSumExp, x, axes: axes, keep: keep, "ReduceLogSumExp")
    case "Ptp": return try e.subtract(try reduced("Max", x, axis, keep, call), try reduced("Min", x, axis, keep, call))
    default:
      let centered = try e.subtract(x, try e.reduce(.mean, x, axes: axes, keep: true, "ReduceMean"))
      let variance = try e.reduce(.mean, try e.multiply(centered, centered), axes: axes, keep: keep, "ReduceMean")
      return name == "Std" ? try e.unary(.sqrt, variance, "Sqrt") : variance
    }
  }

  /// Σ w·x / Σ w: weights of the operand's shape, or one for each entry of one axis.
  private mutating func weightedMean(_ x: ValueID, _ given: Argument, _ axis: Argument?, _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var weights = try value(given, call, like: try e.element(x))
    if try e.element(weights) != e.element(x) { weights = try e.emit(.cast(to: try e.element(x)), [weights], "Cast") }
    let axes = axis?.ints ?? Array(0..<rank)
    if try e.rank(weights) == 1, rank > 1 {
      guard axes.count == 1 else { throw call.wrong("weights for one axis, and several are averaged") }
      let place = try e.axis(axes[0], rank: rank)
      weights = try e.unsqueeze(weights, Array(1..<(rank - place)))
      let sum = try e.reduce(.sum, try e.multiply(x, weights), axes: [place], keep: true, "ReduceSum")
      let mean = try e.divide(sum, try e.reduce(.sum, weights, axes: [0], keep: true, "ReduceSum"))
      return keep ? mean : try e.squeeze(mean, [place])
    }
    guard try e.rank(weights) == rank else { throw call.wrong("its weights have another rank") }
    let sum = try e.reduce(.sum, try e.multiply(x, weights), axes: axes, keep: keep, "ReduceSum")
    return try e.divide(sum, try e.reduce(.sum, weights, axes: axes, keep: keep, "ReduceSum"))
  }

  /// What is no number counts as the neutral element.
  private mutating func reducedWithoutNaN(_ name: String, _ x: ValueID, _ axis: Argument?, _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let isMissing = try e.unary(.isNaN, x, "IsNaN")
    let neutral: Double = name == "Nanmax" ? -.infinity : name == "Nanmin" ? .infinity : name == "Nanprod" ? 1 : 0
    let filled = try e.select(isMissing, try e.scalar(neutral, like: x), x)
    guard name == "Nanmean" else { return try reduced(name.dropFirst(3).prefix(1).uppercased() + name.dropFirst(4), filled, axis, keep, call) }
    let present = try e.cast(try e.unary(.not, isMissing, "Not"), try e.element(x))
    return try e.divide(try reduced("Sum", filled, axis, keep, call), try reduced("Sum", present, axis, keep, call))
  }

  /// The largest or smallest entries of an axis in their order, equal ones by their place.
  mutating func ordered(_ x: ValueID, axis: Int, count: Int, largest: Bool) throws(Failure) -> (values: ValueID, indices: ValueID) {
    let results = try e.emit(.selection(.topK(axis: axis, largest: largest)), [x, try e.integers([count], "k")], "TopK", count: 2)
    return (results[0], results[1])
  }

  private mutating func median(_ x: ValueID, axis: Int, _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    try quantile(x, 0.5, axis: axis, keep, call)
  }

  private mutating func medianOverAxes(_ x: ValueID, _ axes: [Int], _ keep: Bool, _ call: LayerCall) throws(Failure) -> [ValueID] {
    let rank = try e.rank(x)
    var places: [Int] = []
    for axis in axes { places.append(try e.axis(axis, rank: rank)) }
    guard !places.contains(0) else { throw call.refused("a median over the batch") }
    let rest = (0..<rank).filter { !places.contains($0) }
    let dims = try e.shape(x)
    guard let count = Shape.product(places.map { dims[$0] }[...]) else { throw call.wrong("its size overflows") }
    let flat = try e.reshape(try e.transpose(x, rest + places), rest.map { dims[$0] } + [count])
    let y = try median(flat, axis: rest.count, false, call)
    return [keep ? try e.unsqueeze(y, places.sorted()) : y]
  }

  /// Between the two neighbors of a place in the order, in proportion.
  private mutating func quantile(
    _ x: ValueID, _ q: Double, axis: Int, _ keep: Bool, _ call: LayerCall, method: String = "linear"
  ) throws(Failure) -> ValueID {
    let size = try e.size(x, axis)
    guard size > 0, (0...1).contains(q) else { throw call.wrong("the quantile \(q) of \(size) entries") }
    let sorted = try ordered(x, axis: axis, count: size, largest: false).values
    var position = q * Double(size - 1)
    switch method {
    case "linear": break
    case "lower": position = position.rounded(.down)
    case "higher": position = position.rounded(.up)
    case "nearest": position = position.rounded(.toNearestOrEven)
    case "midpoint": position = (position.rounded(.down) + position.rounded(.up)) / 2
    default: throw call.refused("the method '\(method)' of quantile")
    }
    let low = Int(position.rounded(.down))
    let share = position - Double(low)
    var y = try e.slice(sorted, axis: axis, from: low, to: low + 1)
    if share > 0 {
      let next = try e.slice(sorted, axis: axis, from: low + 1, to: low + 2)
      y = try e.add(try e.multiply(y, 1 - share), try e.multiply(next, share))
    }
    return keep ? y : try e.squeeze(y, [axis])
  }

  private mutating func runningProduct(_ x: ValueID, axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    let size = try e.size(x, axis)
    guard (1...4096).contains(size) else { throw call.refused("a product along \(size) entries") }
    var rows: [ValueID] = []
    for index in 0..<size {
      let row = try e.slice(x, axis: axis, from: index, to: index + 1)
      rows.append(try rows.last.map { (last) throws(Failure) in try e.multiply(last, row) } ?? row)
    }
    return try e.concat(rows, axis: axis)
  }

  private mutating func norm(_ x: ValueID, _ order: Argument?, _ axes: [Int], _ keep: Bool, _ call: LayerCall) throws(Failure) -> ValueID {
    let magnitude = try e.unary(.abs, x, "Abs")
    if let word = order?.string {
      guard word == "fro" || word == "euclidean" else { throw call.refused("the norm '\(word)'") }
      return try e.reduce(.l2, x, axes: axes, keep: keep, "ReduceL2")
    }
    guard let order = order?.double else { return try e.reduce(.l2, x, axes: axes, keep: keep, "ReduceL2") }
    guard axes.count == 1 else { throw call.refused("a norm of matrices") }
    switch order {
    case 1: return try e.reduce(.l1, x, axes: axes, keep: keep, "ReduceL1")
    case 2: return try e.reduce(.l2, x, axes: axes, keep: keep, "ReduceL2")
    case .infinity: return try e.reduce(.max, magnitude, axes: axes, keep: keep, "ReduceMax")
    case -.infinity: return try e.reduce(.min, magnitude, axes: axes, keep: keep, "ReduceMin")
    case 0: throw call.refused("a norm of order 0")
    default: return try power(try e.reduce(.sum, try power(magnitude, order), axes: axes, keep: keep, "ReduceSum"), 1 / order)
    }
  }

  /// x/max(‖x‖, ε), the square root taken of the larger one for order 2.
  private mutating func normalized(_ x: ValueID, _ argument: (String) -> Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    let axes = argument("axis")?.ints ?? [-1]
    let epsilon = argument("epsilon")?.double ?? 1e-7
    let order = argument("order") ?? .int(2)
    if order.double == 2 {
      let squares = try e.reduce(.sum, try e.multiply(x, x), axes: axes, keep: true, "ReduceSum")
      return try e.divide(x, try e.unary(.sqrt, try e.maximum(squares, epsilon * epsilon), "Sqrt"))
    }
    return try e.divide(x, try e.maximum(try norm(x, order, axes, true, call), epsilon))
  }
}
