internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// `keras.ops` in the graph.
  mutating func operation(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let name = call.layer.className
    func argument(_ index: Int, _ key: String) -> Argument? {
      call.argument(index, key) ?? (call.config[key].map { Argument($0) })
    }
    func named(_ key: String) -> Argument? { call.argument(Int.max, key) ?? call.config[key].map { Argument($0) } }
    if KerasBuilder.pairwiseNames.contains(name) {
      return [try binary(name, call.argument(0, "x1") ?? call.argument(0, "x"), call.argument(1, "x2") ?? call.argument(1, "y"), call)]
    }
    switch name {
    case "Where":
      let condition = try value(call.argument(0, "condition"), call)
      let (a, b) = try pair(call.argument(1, "x1"), call.argument(2, "x2"), call)
      return [try e.select(condition, a, b)]
    case "Concatenate", "Stack", "Hstack", "Vstack", "Dstack":
      let entries = try tensors(call.argument(0, "xs") ?? call.argument(0, "arrays"), call)
      return [try joined(name, entries, argument(1, "axis")?.int ?? 0, call)]
    case "Append":
      guard let axis = argument(2, "axis")?.int, let a = call.argument(0, "x1"), let b = call.argument(1, "x2") else { throw call.refused("all axes as one") }
      return [try joined("Concatenate", [a, b], axis, call)]
    case "Einsum":
      var operands: [ValueID] = []
      for entry in call.positional { if case .string = entry { continue } else { operands.append(try value(entry, call)) } }
      guard let equation = call.config["subscripts"]?.string ?? call.positional.first?.string else { throw call.wrong("its equation is missing") }
      return [try e.einsum(equation.filter { $0 != " " }, operands)]
    case "DotProductAttention": return [try dotProductAttention(argument, call)]
    case "Isclose": return [try isClose(argument, call)]
    default: if let results = try transform(name, call) { return results }
    }
    let x = try value(
      call.argument(0, "x") ?? call.argument(0, "inputs") ?? call.argument(0, "images") ?? call.argument(0, "image") ?? call.argument(0, "array")
        ?? call.argument(0, "a") ?? call.argument(0, "x1"), call)
    if let result = try elementwise(name, x, named, call) { return [try passingMask(call, result)] }
    if let results = try reduction(name, x, named, call) { return results }
    if let results = try movement(name, x, argument, call) { return results }
    if let result = try product(name, x, argument, call) { return [result] }
    if let result = try imageOperation(name, x, argument, call) { return [result] }
    throw Failure(.unknownOperator, "the operation '\(name)' is not known", at: .element(call.path.name))
  }

  // MARK: Pieces that Keras 3's and TensorFlow's operations share

  mutating func pair(_ first: Argument?, _ second: Argument?, _ call: LayerCall) throws(Failure) -> (ValueID, ValueID) {
    // A bare number takes the type of the tensor beside it.
    var type: ElementType?
    for argument in [first, second] { if case .tensor(let id)? = argument { type = try e.element(id) } }
    return (try value(first, call, like: type), try value(second, call, like: type))
  }

  mutating func binary(_ name: String, _ first: Argument?, _ second: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    var (a, b) = try pair(first, second, call)
    if let size = try foldedSize(name, a, b) { return try e.constantScalar(size) }
    let (left, right) = (try e.element(a), try e.element(b))
    if left != right {
      // A float wins over an integer, and the tensor over a constant.
      if left.isFloatingPoint, !right.isFloatingPoint || e.tensor(b) != nil {
        b = try e.emit(.cast(to: left), [b], "Cast")
      } else {
        a = try e.emit(.cast(to: right), [a], "Cast")
      }
    }
    let isQuotient = ["TrueDivide", "Divide", "Power", "Arctan2", "Logaddexp", "Logaddexp2", "Hypot", "DivideNoNan"].contains(name)
    if isQuotient, name != "Power", try !e.element(a).isFloatingPoint {
      a = try e.emit(.cast(to: .float32), [a], "Cast")
      b = try e.emit(.cast(to: .float32), [b], "Cast")
    }
    guard let result = try pairwise(name, a, b) else {
      throw Failure(.unknownOperator, "the operation '\(name)' is not known", at: .element(call.path.name))
    }
    return result
  }

  /// What two known whole numbers give: sizes of a tensor from which a shape is computed.
  private func foldedSize(_ name: String, _ a: ValueID, _ b: ValueID) throws(Failure) -> Int64? {
    guard try e.element(a) == .int64, try e.element(b) == .int64, try e.rank(a) == 0, try e.rank(b) == 0, let x = e.known(a)?.integers?.first,
      let y = e.known(b)?.integers?.first
    else { return nil }
    let (value, overflow): (Int, Bool)
    switch name {
    case "Multiply": (value, overflow) = x.multipliedReportingOverflow(by: y)
    case "Add": (value, overflow) = x.addingReportingOverflow(y)
    case "Subtract": (value, overflow) = x.subtractingReportingOverflow(y)
    case "FloorDivide" where x >= 0 && y > 0: (value, overflow) = (x / y, false)
    default: return nil
    }
    return overflow ? nil : Int64(value)
  }

  mutating func reshaped(_ x: ValueID, _ shape: Argument?, _ call: LayerCall) throws(Failure) -> ValueID {
    guard case .list(let entries)? = shape ?? Optional.some(.none) else { throw call.wrong("the new shape is missing") }
    let own = try e.shape(x)
    var dims: [Int] = []
    var computed: [Int: Dim] = [:]
    for entry in entries {
      if let size = entry.int {
        dims.append(size)
      } else if entry.isNone {
        dims.append(-1)
      } else if case .tensor(let id) = entry, let known = e.known(id)?.dimensions, known.count == 1 {
        // A size of another tensor, or a product of some.
        if known[0].value == nil { computed[dims.count] = known[0] }
        dims.append(known[0].value ?? 1)
      } else {
        throw call.refused("a shape that is computed")
      }
    }
    if !computed.isEmpty {
      guard dims.allSatisfy({ $0 >= -1 }), dims.filter({ $0 == -1 }).count <= 1 else { throw call.wrong("the shape \(dims) is no shape") }
      var target = dims.enumerated().map { computed[$0] ?? Dim(max($1, 1)) }
      if let open = dims.firstIndex(of: -1) {
        guard let all = Shape.product(own[...]), let known = Shape.product(target[...]), let rest = all.dividedExactly(by: known) else {
          throw call.refused("a shape that is computed")
        }
        target[open] = rest
      }
      return try e.reshape(x, target)
    }
    // The batch stays the batch, so that the other one may be open too.
    if let first = own.first, first.value == nil, dims.first == -1, !dims.dropFirst().contains(-1), let rest = Array(dims.dropFirst()).checkedProduct,
      let size = Shape.product(own.dropFirst())?.value, size == rest
    {
      return try e.reshape(x, [first] + dims.dropFirst().map { Dim($0) })
    }
    return try e.reshape(x, try target(dims, of: x, from: 0, call))
  }

  mutating func product(_ a: ValueID, _ second: Argument?, _ call: LayerCall, transposeA: Bool = false, transposeB: Bool = false) throws(Failure) -> ValueID {
    var (a, b) = (a, try value(second, call))
    func swapped(_ rank: Int) -> [Int] { rank < 2 ? Array(0..<rank) : Array(0..<(rank - 2)) + [rank - 1, rank - 2] }
    if transposeA { a = try e.transpose(a, swapped(try e.rank(a))) }
    if transposeB { b = try e.transpose(b, swapped(try e.rank(b))) }
    return try e.matMul(a, b)
  }

  mutating func joined(_ name: String, _ entries: [Argument], _ axis: Int, _ call: LayerCall) throws(Failure) -> ValueID {
    var type: ElementType?
    for entry in entries { if case .tensor(let id) = entry { type = try e.element(id) } }
    var values: [ValueID] = []
    for entry in entries { values.append(try value(entry, call, like: type)) }
    guard let first = values.first else { throw call.wrong("it joins nothing") }
    let rank = try e.rank(first)
    if name == "Hstack" || name == "Vstack" || name == "Dstack" {
      let axis = name == "Vstack" ? 0 : name == "Hstack" ? 1 : 2
      guard rank > max(axis, 1) else { throw call.refused("values of rank \(rank) one beside the other") }
      return try e.concat(values, axis: axis)
    }
    let place = try e.axis(axis, rank: name == "Stack" ? rank + 1 : rank)
    if name == "Stack" { for index in values.indices { values[index] = try e.unsqueeze(values[index], [place]) } }
    return try e.concat(values, axis: place)
  }

  mutating func movedAxes(_ x: ValueID, _ from: [Int], _ to: [Int]) throws(Failure) -> ValueID {
    let rank = try e.rank(x)
    var source: [Int] = []
    var places: [Int: Int] = [:]
    for (a, b) in zip(from, to) {
      let axis = try e.axis(a, rank: rank)
      source.append(axis)
      places[try e.axis(b, rank: rank)] = axis
    }
    var rest = (0..<rank).filter { !source.contains($0) }.makeIterator()
    var order: [Int] = []
    for place in 0..<rank { if let axis = places[place] ?? rest.next() { order.append(axis) } }
    guard order.sorted() == Array(0..<rank) else { throw Failure(.badAttribute, "axes are moved onto each other", at: .element(e.scope)) }
    return try e.transpose(x, order)
  }

  /// - Parameter isUneven: whether a number of parts may leave a rest, which goes to the first ones.
  mutating func split(_ x: ValueID, _ parts: Argument?, _ axis: Int, _ call: LayerCall, isUneven: Bool = false) throws(Failure) -> [ValueID] {
    let axis = try e.axis(axis, rank: try e.rank(x))
    let size = try e.size(x, axis)
    var sizes: [Int] = []
    if let count = parts?.int {
      guard count > 0, count <= 65536, isUneven || size % count == 0 else { throw call.wrong("\(size) entries in \(count) parts") }
      sizes = (0..<count).map { size / count + ($0 < size % count ? 1 : 0) }
    } else if let bounds = parts?.ints {
      var last = 0
      for bound in bounds + [size] {
        guard bound >= last, bound <= size else { throw call.wrong("its parts are wrong") }
        sizes.append(bound - last)
        last = bound
      }
    } else {
      throw call.wrong("its parts are missing")
    }
    guard sizes.count <= 65536 else { throw call.wrong("\(sizes.count) parts") }
    return try e.emit(.layout(.split(axis: axis)), [x, try e.integers(sizes, "sizes")], "Split", count: sizes.count)
  }

  /// As `numpy.roll` along one axis.
  mutating func rolled(_ x: ValueID, _ shift: Int, _ axis: Int) throws(Failure) -> ValueID {
    let size = try e.size(x, axis)
    guard size > 0 else { return x }
    let by = ((shift % size) + size) % size
    if by == 0 { return x }
    return try e.concat([try e.slice(x, axis: axis, from: size - by, to: size), try e.slice(x, axis: axis, from: 0, to: size - by)], axis: axis)
  }

  /// `x[key]`: integers, slices, new axes and an ellipsis, one for each axis.
  mutating func item(_ x: ValueID, _ key: Argument, _ call: LayerCall) throws(Failure) -> ValueID {
    var entries: [Argument]
    if case .list(let list) = key { entries = list } else { entries = [key] }
    let taken = entries.filter { if case .none = $0 { false } else if case .ellipsis = $0 { false } else { true } }.count
    let rank = try e.rank(x)
    guard taken <= rank else { throw call.wrong("\(taken) indices for rank \(rank)") }
    if let place = entries.firstIndex(where: { if case .ellipsis = $0 { true } else { false } }) {
      entries.replaceSubrange(place...place, with: [Argument](repeating: .slice(nil, nil, nil), count: rank - taken))
    }
    var y = x
    var axis = 0
    var drop: [Int] = []
    var insert: [Int] = []
    var place = 0
    for entry in entries {
      switch entry {
      case .none:
        insert.append(place)
        place += 1
      case .slice(let start, let stop, let step):
        let step = step ?? 1
        guard step != 0 else { throw call.wrong("a step of zero") }
        if start != nil || stop != nil || step != 1 {
          y = try e.slice(y, axis: axis, from: start ?? (step > 0 ? 0 : -1), to: stop ?? (step > 0 ? Int(Int32.max) : Int(Int32.min) + 1), step: step)
        }
        axis += 1
        place += 1
      case .int(let index):
        guard abs(Double(index)) < 1e15 else { throw call.wrong("the index \(index)") }
        if taken == 1 {
          let size = try e.shape(y)[axis].value
          y = try e.gather(y, axis: axis, at: index < 0 ? size.map { $0 + index } ?? index : index)
          return insert.isEmpty ? y : try e.unsqueeze(y, insert)
        }
        y = try e.slice(y, axis: axis, from: index, to: index == -1 ? Int(Int32.max) : index + 1)
        drop.append(axis)
        axis += 1
      case .tensor, .constant, .list:
        // One index that is an array: its axes stand where the axis stood.
        guard taken == 1 || entries.allSatisfy({ if case .slice(nil, nil, nil) = $0 { true } else { KerasBuilder.isArray($0) } }),
          entries.filter({ KerasBuilder.isArray($0) }).count == 1, insert.isEmpty, drop.isEmpty
        else { throw call.refused("several indices of which one is an array") }
        y = try e.emit(.indexing(.gather(axis: axis)), [y, try value(entry, call)], "Gather")
        axis += 1
        place += 1
      default: throw call.refused("an index that is computed")
      }
    }
    y = try e.squeeze(y, drop)
    return try e.unsqueeze(y, insert)
  }

  private static func isArray(_ argument: Argument) -> Bool {
    switch argument {
    case .tensor, .constant, .list: true
    default: false
    }
  }
}
