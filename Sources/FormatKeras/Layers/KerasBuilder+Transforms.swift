internal import Diagnostics
internal import Glibc
internal import GraphIR
internal import Operators
internal import Tensors

// Fourier transforms, and rearrangements by a pattern.
extension KerasBuilder {
  /// Operations on a pair of tensors (real and imaginary part) and on patterns; nil for a name that is none of them.
  mutating func transform(_ name: String, _ call: LayerCall) throws(Failure) -> [ValueID]? {
    switch name {
    case "FFT", "FFT2", "IFFT2":
      guard case .list(let parts)? = call.argument(0, "x"), parts.count == 2 else { throw call.wrong("it takes a real and an imaginary part") }
      var pair = (try value(parts[0], call), try value(parts[1], call))
      let rank = try e.rank(pair.0)
      guard rank >= (name == "FFT" ? 1 : 2), try e.rank(pair.1) == rank else { throw call.wrong("its input has rank \(rank)") }
      for axis in name == "FFT" ? [rank - 1] : [rank - 1, rank - 2] {
        pair = try fourier(pair.0, pair.1, axis: axis, isInverse: name == "IFFT2", call)
      }
      return [pair.0, pair.1]
    case "Rearrange":
      let x = try value(call.argument(0, "tensor") ?? call.argument(0, "x"), call)
      guard let pattern = (call.argument(1, "pattern") ?? call.config["pattern"].map({ Argument($0) }))?.string else {
        throw call.wrong("'pattern' is missing")
      }
      return [try rearranged(x, pattern, call)]
    default: return try sequence(name, call)
    }
  }

  /// X[k] = Σ x[n]·exp(∓2πi·nk/N) along one axis, as products with constant matrices of cosines and sines; the inverse
  /// divides by N.
  private mutating func fourier(_ real: ValueID, _ imaginary: ValueID, axis: Int, isInverse: Bool, _ call: LayerCall) throws(Failure) -> (ValueID, ValueID) {
    let rank = try e.rank(real)
    let size = try e.size(real, axis)
    guard (1...4096).contains(size) else { throw call.refused("a Fourier transform of \(size) entries") }
    var (cosines, sines): ([Double], [Double]) = ([], [])
    cosines.reserveCapacity(size * size)
    sines.reserveCapacity(size * size)
    let factor = isInverse ? 1 / Double(size) : 1
    for row in 0..<size {
      for column in 0..<size {
        // The product is reduced first: it is exact then, and the angle stays below a turn.
        let angle = 2 * Double.pi * Double(row * column % size) / Double(size)
        cosines.append(factor * cos(angle))
        sines.append((isInverse ? 1 : -1) * factor * sin(angle))
      }
    }
    let type = try e.element(real)
    let (c, s) = (try e.floats(cosines, dims: [size, size], type, "cosines"), try e.floats(sines, dims: [size, size], type, "sines"))
    var order = Array(0..<rank)
    order.swapAt(axis, rank - 1)
    let (x, y) = (try e.transpose(real, order), try e.transpose(imaginary, order))
    let left = try e.subtract(try e.matMul(x, c), try e.matMul(y, s))
    let right = try e.add(try e.matMul(x, s), try e.matMul(y, c))
    return (try e.transpose(left, order), try e.transpose(right, order))
  }

  /// `einops.rearrange` without ellipses, as `keras.ops` has it: "b (h p) c -> b h (p c)".
  private mutating func rearranged(_ x: ValueID, _ pattern: String, _ call: LayerCall) throws(Failure) -> ValueID {
    let sides = pattern.replacing("->", with: "\u{1}").split(separator: "\u{1}", omittingEmptySubsequences: false)
    guard sides.count == 2, let from = KerasBuilder.groups(sides[0]), let to = KerasBuilder.groups(sides[1]) else {
      throw call.wrong("the pattern '\(pattern)' cannot be read")
    }
    let own = try e.shape(x)
    guard from.count == own.count else { throw call.wrong("the pattern '\(pattern)' does not fit rank \(own.count)") }
    var sizes: [String: Dim] = [:]
    for (axis, group) in from.enumerated() {
      var known = Dim(1)
      var open: String?
      for name in group {
        guard sizes[name] == nil else { throw call.wrong("the axis '\(name)' occurs twice") }
        if group.count == 1 {
          sizes[name] = own[axis]
        } else if let given = call.named[name]?.int {
          guard given > 0, let product = known.multiplied(by: Dim(given)) else { throw call.wrong("the axis '\(name)' is \(given)") }
          sizes[name] = Dim(given)
          known = product
        } else {
          guard open == nil else { throw call.wrong("the sizes of '\(open ?? "")' and '\(name)' are not told") }
          open = name
        }
      }
      if group.count != 1 {
        guard let rest = own[axis].dividedExactly(by: known) else { throw call.wrong("\(own[axis]) cannot be parted as the pattern says") }
        if let open { sizes[open] = rest }
      }
    }
    let names = from.flatMap { $0 }
    let targets = to.flatMap { $0 }
    guard names.sorted() == targets.sorted() else { throw call.wrong("the sides of the pattern '\(pattern)' have different axes") }
    let parted = try e.reshape(x, names.compactMap { sizes[$0] })
    let turned = try e.transpose(parted, targets.compactMap { names.firstIndex(of: $0) })
    var dims: [Dim] = []
    for group in to {
      guard let size = Shape.product(group.compactMap { sizes[$0] }[...]) else { throw call.wrong("its size overflows") }
      dims.append(size)
    }
    return try e.reshape(turned, dims)
  }

  /// Names of one side, those in parentheses together.
  private static func groups(_ text: Substring) -> [[String]]? {
    var result: [[String]] = []
    var open: [String]?
    var word = ""
    func end() {
      guard !word.isEmpty else { return }
      if open != nil { open?.append(word) } else { result.append([word]) }
      word = ""
    }
    for character in text {
      switch character {
      case "(" where open == nil:
        end()
        open = []
      case ")" where open != nil:
        end()
        result.append(open ?? [])
        open = nil
      case " ": end()
      case let letter where letter.isLetter || letter.isNumber || letter == "_": word.append(letter)
      default: return nil
      }
    }
    end()
    return open == nil && result.count <= 32 ? result : nil
  }
}
