internal import Tensors

/// A reshape that is carried out on a tensor whose axes stand in another order than the value's.
///
/// The reshape is cut into groups: axes of the operand that together become axes of the result. Where each group stands
/// together and in order in the tensor, the tensor is reshaped group by group, and the groups keep their places.
struct RegroupedAxes {
  /// The reshaped tensor's dimensions.
  private(set) var tensorDims: [Dim] = []
  /// Axis `i` of the value is axis `order[i]` of the tensor.
  private(set) var order: [Int] = []

  private struct Group {
    var input: [Int]
    var output: [Int]
  }

  init?(_ x: PlacedValue, to dims: [Dim]) {
    guard let groups = RegroupedAxes.groups(x.dims, dims) else { return nil }
    // Axes of size 1 that vanish or appear belong to no group of elements.
    var placed: [(place: Int, group: Group)] = []
    for group in groups {
      let places = group.input.map { x.order[$0] }
      guard let first = places.first, places == Array(first..<(first + places.count)) else { return nil }
      placed.append((first, group))
    }
    placed.sort { $0.place < $1.place }
    order = [Int](repeating: -1, count: dims.count)
    for (_, group) in placed {
      for axis in group.output {
        order[axis] = tensorDims.count
        tensorDims.append(dims[axis])
      }
    }
    for axis in dims.indices where order[axis] < 0 {
      guard dims[axis].value == 1 else { return nil }
      order[axis] = tensorDims.count
      tensorDims.append(Dim(1))
    }
  }

  /// Groups of axes with equal products, those of size 1 left out but for the axis of samples; nil where products cannot be
  /// compared.
  private static func groups(_ input: [Dim], _ output: [Dim]) -> [Group]? {
    guard input.first == output.first, !input.isEmpty else { return nil }
    var result = [Group(input: [0], output: [0])]
    let left = input.indices.dropFirst().filter { input[$0].value != 1 }
    let right = output.indices.dropFirst().filter { output[$0].value != 1 }
    var (i, j) = (0, 0)
    while i < left.count || j < right.count {
      guard i < left.count, j < right.count else { return nil }
      var group = Group(input: [left[i]], output: [right[j]])
      var (a, b) = (input[left[i]], output[right[j]])
      i += 1
      j += 1
      while a != b {
        guard let x = a.value, let y = b.value else { return nil }
        if x < y {
          guard i < left.count, let next = a.multiplied(by: input[left[i]]) else { return nil }
          a = next
          group.input.append(left[i])
          i += 1
        } else {
          guard j < right.count, let next = b.multiplied(by: output[right[j]]) else { return nil }
          b = next
          group.output.append(right[j])
          j += 1
        }
      }
      result.append(group)
    }
    return result
  }
}
