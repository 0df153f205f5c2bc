internal import Diagnostics
internal import GraphIR
internal import Tensors

/// One spatial axis of a convolution or pool: sizes as numbers.
struct WindowAxis {
  var input, output, kernel, stride, dilation, padBegin: Int
}

extension Window {
  /// The attributes, one entry per axis, absent ones filled in with their defaults.
  func normalized(spatialRank: Int, kernel: [Dim], of mnemonic: String) throws(Failure) -> (kernel: [Dim], strides: [Int], dilations: [Int], pads: [Int]?) {
    let kernel = self.kernel.isEmpty ? kernel : self.kernel.map { Dim($0) }
    let strides = strides.isEmpty ? [Int](repeating: 1, count: spatialRank) : strides
    let dilations = dilations.isEmpty ? [Int](repeating: 1, count: spatialRank) : dilations
    var pads: [Int]?
    switch padding {
    case .explicit(let list): pads = list.isEmpty ? [Int](repeating: 0, count: 2 * spatialRank) : list
    case .valid: pads = [Int](repeating: 0, count: 2 * spatialRank)
    case .sameUpper, .sameLower, .toSizes: pads = nil
    }
    guard kernel.count == spatialRank, strides.count == spatialRank, dilations.count == spatialRank, pads.map({ $0.count == 2 * spatialRank }) ?? true else {
      throw Failure(.shapeMismatch, "\(mnemonic): kernel, strides, dilations or pads do not have \(spatialRank) spatial axes")
    }
    guard strides.allSatisfy({ $0 > 0 }), dilations.allSatisfy({ $0 > 0 }), kernel.allSatisfy({ ($0.value ?? 1) > 0 }) else {
      throw Failure(.shapeMismatch, "\(mnemonic): kernel sizes, strides and dilations must be positive")
    }
    // Whatever fits memory is far below; so that no product of two of them overflows.
    let limit = 1 << 31
    guard (strides + dilations + kernel.compactMap(\.value)).allSatisfy({ $0 < limit }), pads?.allSatisfy({ -limit < $0 && $0 < limit }) ?? true else {
      throw Failure(.sizeOverflow, "\(mnemonic): kernel sizes, strides, dilations or pads are too large")
    }
    return (kernel, strides, dilations, pads)
  }

  /// Sizes of the spatial axes of the result of a convolution or pool:
  /// `floor((in + pads - (dilation * (kernel - 1) + 1)) / stride) + 1`, or `ceil(in / stride)` for SAME padding.
  func outputSizes(_ input: ArraySlice<Dim>, kernel: [Dim] = [], ceilMode: Bool = false, of mnemonic: String) throws(Failure) -> [Dim] {
    let form = try normalized(spatialRank: input.count, kernel: kernel, of: mnemonic)
    var result: [Dim] = []
    for (axis, size) in input.enumerated() {
      let stride = Dim(form.strides[axis])
      guard let pads = form.pads else {
        result.append(try size.ceiled(by: stride))
        continue
      }
      let (begin, end) = (Dim(pads[axis]), Dim(pads[axis + input.count]))
      let extent = try form.kernel[axis].minus(1).times(Dim(form.dilations[axis])).plus(1)
      let padded = try size.plus(begin).plus(end)
      let room = try padded.minus(extent)
      if let room = room.value, room < 0 {
        throw Failure(.shapeMismatch, "\(mnemonic): a window of \(extent) does not fit an axis of \(padded)")
      }
      if ceilMode {
        // A window that would start in the end padding is left out.
        let all = try room.ceiled(by: stride).plus(1)
        result.append(try all.atMost(try size.plus(begin).ceiled(by: stride)))
      } else {
        result.append(try room.floored(by: stride).plus(1))
      }
    }
    return result
  }

  /// The same for numbers, with where each window starts.
  func axes(input: [Int], output: [Int], kernel: [Int], of mnemonic: String) throws(Failure) -> [WindowAxis] {
    let form = try normalized(spatialRank: input.count, kernel: kernel.map { Dim($0) }, of: mnemonic)
    return input.indices.map { axis in
      let size = form.kernel[axis].value ?? 1
      let extent = (size - 1) * form.dilations[axis] + 1
      var begin = form.pads?[axis] ?? 0
      if form.pads == nil {
        let total = max(0, (output[axis] - 1) * form.strides[axis] + extent - input[axis])
        begin = padding == .sameLower ? total - total / 2 : total / 2
      }
      return WindowAxis(
        input: input[axis], output: output[axis], kernel: size, stride: form.strides[axis], dilation: form.dilations[axis], padBegin: begin)
    }
  }
}

/// Calls `body` with each combination of indices below `dims`, in row-major order.
func forEachIndex(_ dims: [Int], _ body: ([Int]) throws -> Void) rethrows {
  guard dims.allSatisfy({ $0 > 0 }) else { return }
  var index = [Int](repeating: 0, count: dims.count)
  while true {
    try body(index)
    var axis = dims.count - 1
    while axis >= 0 {
      index[axis] += 1
      if index[axis] < dims[axis] { break }
      index[axis] = 0
      axis -= 1
    }
    if axis < 0 { return }
  }
}
