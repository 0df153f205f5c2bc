internal import Bytes
internal import Diagnostics
internal import Tensors

extension TensorDecoder {
  /// A sparse tensor with its zeros filled in; a file of a few bytes may name any size, so `limits.denseBytes` bounds it.
  func dense(_ message: SparseTensorMessage, name: String) throws(Failure) -> Tensor {
    do throws(Failure) {
      guard let valueMessage = message.values, let indexMessage = message.indices else {
        throw Failure(.missingPart, "a sparse tensor has no values or no indices")
      }
      let values = try tensor(valueMessage)
      let indices = try tensor(indexMessage)
      guard message.dims.count <= limits.rank else { throw Failure(.limitExceeded, "a tensor of rank \(message.dims.count)") }
      let dims = message.dims.map { Int($0) }
      guard let count = dims.checkedProduct, let byteCount = values.elementType.byteCount(of: count) else {
        throw Failure(.sizeOverflow, "the dimensions \(dims) of a sparse tensor are no shape")
      }
      guard byteCount <= limits.denseBytes else { throw Failure(.limitExceeded, "a sparse tensor of \(byteCount) bytes") }
      let width = values.elementType.bitWidth / 8
      guard width > 0, values.elementType.bitWidth % 8 == 0 else {
        throw Failure(.unknownElementType, "a sparse tensor of \(values.elementType.name)")
      }
      guard values.dims.count == 1, indices.elementType == .int64 else { throw Failure(.payloadMismatch, "a sparse tensor has values \(values.type)") }
      let places = try places(of: indices, dims: dims, count: values.count)
      let elements = values.elements(as: UInt8.self)
      var bytes = [UInt8](repeating: 0, count: byteCount)
      for (index, place) in places.enumerated() {
        for offset in 0..<width { bytes[place * width + offset] = elements[index * width + offset] }
      }
      return try Tensor(values.elementType, dims: dims, values: bytes)
    } catch {
      throw error.located(file: path, element: name)
    }
  }

  /// Linear places, given as such or as one tuple for each value.
  private func places(of indices: Tensor, dims: [Int], count: Int) throws(Failure) -> [Int] {
    let numbers = indices.elements(as: Int64.self).map { Int($0) }
    let total = dims.reduce(1, *)
    var result: [Int] = []
    result.reserveCapacity(count)
    switch indices.dims {
    case [count]: result = numbers
    case [count, dims.count]:
      for value in 0..<count {
        var place = 0
        for (axis, size) in dims.enumerated() {
          let index = numbers[value * dims.count + axis]
          guard index >= 0, index < size else { throw Failure(.malformed, "a sparse tensor's index \(index) is outside an axis of \(size)") }
          place = place * size + index
        }
        result.append(place)
      }
    default: throw Failure(.payloadMismatch, "a sparse tensor has indices \(indices.type) for \(count) values")
    }
    for place in result where place < 0 || place >= total { throw Failure(.malformed, "a sparse tensor's index \(place) is outside \(dims)") }
    return result
  }
}
