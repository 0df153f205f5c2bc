internal import Diagnostics
internal import GraphIR
internal import Tensors

/// ZipMap, CastMap and DictVectorizer (ai.onnx.ml 1): rows to maps and back.
struct MapOperator: ContainerOperator {
  let op: CataloguedOp
  var mnemonic: String { op.kind.entry.name }
  var arity: Arity { Arity(1...1) }

  func evaluate(_ operands: [RuntimeValue?], resultCount: Int) throws(Failure) -> [RuntimeValue] {
    guard let first = operands.first, let operand = first else { throw Failure(.operandCount, "\(mnemonic) has no operand") }
    switch op.kind {
    case .zipMap: return [try zipped(operand)]
    case .castMap: return [.tensor(try cast(operand))]
    default: return [.tensor(try vectorized(operand))]
    }
  }

  private func bad(_ message: String) -> Failure { Failure(.badAttribute, "\(mnemonic): \(message)") }

  /// One map for each row: the class of each column, and its score.
  private func zipped(_ operand: RuntimeValue) throws(Failure) -> RuntimeValue {
    guard let x = operand.tensor else { throw Failure(.typeMismatch, "\(mnemonic) takes a tensor, and its operand is \(operand.kind)") }
    let (words, numbers) = (op.strings("classlabels_strings"), op.ints("classlabels_int64s"))
    guard words.isEmpty != numbers.isEmpty else { throw bad("one list of classes must be given") }
    let columns = max(words.count, numbers.count)
    guard 1...2 ~= x.dims.count, x.dims[x.dims.count - 1] == columns else { throw Failure(.shapeMismatch, "\(mnemonic): \(columns) classes for \(x.dims)") }
    let keys =
      words.isEmpty ? try Tensor(.int64, dims: [columns], wholes: numbers) : try Tensor(.string, dims: [columns], storage: .strings(words))
    let values = try x.reals(for: mnemonic)
    var rows: [RuntimeValue] = []
    for row in 0..<(x.dims.count == 2 ? x.dims[0] : 1) {
      var scores: [RuntimeValue] = []
      for column in 0..<columns { scores.append(.tensor(try Tensor(x.elementType, dims: [], reals: [values[row * columns + column]]))) }
      rows.append(.map(keys: keys, values: scores))
    }
    return .sequence(rows)
  }

  private func entries(_ operand: RuntimeValue) throws(Failure) -> (keys: Tensor, values: [Tensor]) {
    guard case .map(let keys, let values) = operand else { throw Failure(.typeMismatch, "\(mnemonic) takes a map, and its operand is \(operand.kind)") }
    let tensors = values.compactMap(\.tensor)
    guard tensors.count == values.count, keys.count == values.count, tensors.allSatisfy({ $0.count == 1 }) else {
      throw Failure(.typeMismatch, "\(mnemonic) takes a map to numbers or strings")
    }
    return (keys, tensors)
  }

  private func word(_ tensor: Tensor) -> [UInt8]? { if case .strings(let strings) = tensor.storage { strings.first } else { nil } }

  /// Values in the order of their keys, or at the places that the keys name.
  private func cast(_ operand: RuntimeValue) throws(Failure) -> Tensor {
    let (keyTensor, values) = try entries(operand)
    let keys = try keyTensor.wholes(for: mnemonic)
    var places = Array(keys.indices.sorted { keys[$0] < keys[$1] }).map { Optional($0) }
    if op.word("map_form") == "SPARSE" {
      let length = op.int("max_map")
      guard 0...1 << 28 ~= length, keys.allSatisfy({ 0..<length ~= $0 }) else {
        throw Failure(.indexOutOfRange, "\(mnemonic): keys do not fit \(length) places")
      }
      places = [Int?](repeating: nil, count: length)
      for (index, key) in keys.enumerated() { places[key] = index }
    }
    let dims = [1, places.count]
    if op.word("cast_to") == "TO_STRING" {
      var texts: [[UInt8]] = []
      for place in places {
        guard let place else {
          texts.append(Array("0".utf8))
          continue
        }
        if let word = word(values[place]) { texts.append(word) } else { texts.append(Array(Float(try values[place].reals(for: mnemonic)[0]).description.utf8)) }
      }
      return try Tensor(.string, dims: dims, storage: .strings(texts))
    }
    var numbers: [Double] = []
    for place in places {
      guard let place else {
        numbers.append(0)
        continue
      }
      if let word = word(values[place]) {
        guard let number = Double(String(decoding: word, as: UTF8.self)) else {
          throw Failure(.typeMismatch, "\(mnemonic): '\(String(decoding: word, as: UTF8.self))' is no number")
        }
        numbers.append(number)
      } else {
        numbers.append(try values[place].reals(for: mnemonic)[0])
      }
    }
    if op.word("cast_to") == "TO_INT64" { return try Tensor(.int64, dims: dims, wholes: numbers.map { saturated($0) }) }
    return try Tensor(.float32, dims: dims, reals: numbers)
  }

  /// The values of a vocabulary's keys, 0 or the empty string for those that are not there.
  private func vectorized(_ operand: RuntimeValue) throws(Failure) -> Tensor {
    let (keyTensor, values) = try entries(operand)
    let (words, numbers) = (op.strings("string_vocabulary"), op.ints("int64_vocabulary"))
    guard words.isEmpty != numbers.isEmpty else { throw bad("one vocabulary must be given") }
    let count = max(words.count, numbers.count)
    var found = [Tensor?](repeating: nil, count: count)
    if case .strings(let keys) = keyTensor.storage {
      let table = Dictionary(zip(words, 0..<count)) { first, _ in first }
      for (key, value) in zip(keys, values) { if let place = table[key] { found[place] = value } }
    } else {
      let table = Dictionary(zip(numbers, 0..<count)) { first, _ in first }
      for (key, value) in zip(try keyTensor.wholes(for: mnemonic), values) { if let place = table[key] { found[place] = value } }
    }
    let element = values.first?.elementType ?? .float32
    if element == .string { return try Tensor(.string, dims: [1, count], storage: .strings(found.map { $0.flatMap { word($0) } ?? [] })) }
    if element == .int64 {
      var wholes: [Int] = []
      for value in found { wholes.append(try value?.wholes(for: mnemonic)[0] ?? 0) }
      return try Tensor(.int64, dims: [1, count], wholes: wholes)
    }
    var reals: [Double] = []
    for value in found { reals.append(try value?.reals(for: mnemonic)[0] ?? 0) }
    return try Tensor(element, dims: [1, count], reals: reals)
  }
}
