internal import Diagnostics
internal import GraphIR
internal import Tensors

// Operators of ai.onnx.ml that prepare features and translate labels.

/// Normalizer (ai.onnx.ml 1): rows divided by their largest, summed or Euclidean magnitude.
struct FeatureNormalizer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    _ = try checkSamples(x)
    return [Fact(TensorType(.float32, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let values = try operands.required(0).reals(for: mnemonic)
    let result = AxisRows(dims, axis: dims.count - 1).map(values) { row in
      let norm =
        switch op.word("norm") {
        case "MAX": row.reduce(0) { max($0, abs($1)) }
        case "L1": row.reduce(0) { $0 + abs($1) }
        default: row.reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
      return norm == 0 ? row : row.map { $0 / norm }
    }
    return [try Tensor(.float32, dims: dims, reals: result)]
  }
}

/// Scaler (ai.onnx.ml 1): `(x - offset) * scale`, for all features or each.
struct FeatureScaler: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let (_, features) = try checkSamples(x)
    for name in ["offset", "scale"] {
      let count = op.floats(name).count
      guard count == 1 || features.agrees(with: Dim(count)) && count > 0 else { throw badAttribute("\(count) entries of '\(name)' for \(features) features") }
    }
    return [Fact(TensorType(.float32, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let (offset, scale) = (op.floats("offset"), op.floats("scale"))
    let values = try operands.required(0).reals(for: mnemonic)
    let result = values.indices.map { (values[$0] - offset[$0 % offset.count]) * scale[$0 % scale.count] }
    return [try Tensor(.float32, dims: dims, reals: result)]
  }
}

/// Imputer (ai.onnx.ml 1): a value that stands for a missing one is replaced.
struct Imputer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let (_, features) = try checkSamples(x)
    let count = x.type.element.isInteger ? op.ints("imputed_value_int64s").count : op.floats("imputed_value_floats").count
    guard count == 1 || features.agrees(with: Dim(count)) && count > 0 else { throw badAttribute("\(count) replacements for \(features) features") }
    return [Fact(x.type)]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let x = try operands.required(0)
    if element.isInteger {
      let (missing, values) = (op.int("replaced_value_int64"), op.ints("imputed_value_int64s"))
      return [try Tensor(element, dims: dims, wholes: try x.wholes(for: mnemonic).enumerated().map { $1 == missing ? values[$0 % values.count] : $1 })]
    }
    let (missing, values) = (op.float("replaced_value_float"), op.floats("imputed_value_floats"))
    let result = try x.reals(for: mnemonic).enumerated().map { index, value in
      (missing.isNaN ? value.isNaN : value == missing) ? values[index % values.count] : value
    }
    return [try Tensor(element, dims: dims, reals: result)]
  }
}

/// Binarizer (ai.onnx.ml 1): 1 above a threshold, else 0.
struct Binarizer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkNumeric(x.type.element)
    return [Fact(x.type)]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let threshold = op.float("threshold")
    let bits = try operands.required(0).reals(for: mnemonic).map { $0 > threshold }
    return [
      element.isFloatingPoint
        ? try Tensor(element, dims: dims, reals: bits.map { $0 ? 1 : 0 }) : try Tensor(element, dims: dims, wholes: bits.map { $0 ? 1 : 0 })
    ]
  }
}

/// ArrayFeatureExtractor (ai.onnx.ml 1): X, places along the last axis.
struct ArrayFeatureExtractor: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    let places = try operands.required(1)
    try checkElement(places, [.int64], "places")
    guard let shape = x.type.shape else { return [Fact(x.type)] }
    guard shape.rank > 0 else { throw mismatch("a scalar has no features") }
    let count = places.type.shape?.elementCount ?? .unknown
    return [Fact(TensorType(x.type.element, Shape((shape.rank == 1 ? [1] : shape.dims.dropLast()) + [count])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let x = try operands.required(0)
    let width = x.dims[x.dims.count - 1]
    let places = try operands.required(1).wholes(for: mnemonic)
    for place in places where !(0..<width ~= place) { throw Failure(.indexOutOfRange, "\(mnemonic): feature \(place) of \(width)") }
    let rows = x.dims.dropLast().reduce(1, *)
    return [try x.gathered((0..<rows).flatMap { row in places.map { row * width + $0 } }, dims: dims)]
  }
}

/// A label: what is looked up, or what stands for it.
private enum Label: Hashable {
  case number(Double)
  case word([UInt8])
}

extension CataloguedOperator {
  fileprivate func labels(_ tensor: Tensor) throws(Failure) -> [Label] {
    if case .strings(let strings) = tensor.storage { return strings.map { .word($0) } }
    // All NaNs are one key.
    return try tensor.reals(for: mnemonic).map { .number($0.isNaN ? .infinity.nextDown : $0) }
  }

  fileprivate func tensor(_ labels: [Label], _ element: ElementType, dims: [Int]) throws(Failure) -> Tensor {
    if element == .string { return try Tensor(.string, dims: dims, storage: .strings(labels.map { if case .word(let word) = $0 { word } else { [] } })) }
    let values = labels.map { if case .number(let value) = $0 { value } else { 0.0 } }
    return element.isFloatingPoint ? try Tensor(element, dims: dims, reals: values) : try Tensor(element, dims: dims, wholes: values.map { saturated($0) })
  }
}

/// LabelEncoder (ai.onnx.ml 4): each element by a table.
struct LabelEncoder: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  /// A side of the table, and the type of its elements.
  private func side(_ name: String) -> (element: ElementType, labels: [Label])? {
    if let tensor = op.numbers("\(name)_tensor") { return (tensor.element, tensor.values.map { .number($0.isNaN ? .infinity.nextDown : $0) }) }
    let words = op.strings("\(name)_strings")
    if !words.isEmpty { return (.string, words.map { .word($0) }) }
    let wholes = op.ints("\(name)_int64s")
    if !wholes.isEmpty { return (.int64, wholes.map { .number(Double($0)) }) }
    let reals = op.floats("\(name)_floats")
    return reals.isEmpty ? nil : (.float32, reals.map { .number($0.isNaN ? .infinity.nextDown : $0) })
  }

  private func table(_ input: ElementType) throws(Failure) -> (keys: [Label], values: [Label], element: ElementType) {
    let classes = op.strings("classes_strings")
    if !classes.isEmpty {
      let numbers = classes.indices.map { Label.number(Double($0)) }
      let words = classes.map { Label.word($0) }
      return input == .string ? (words, numbers, .int64) : (numbers, words, .string)
    }
    guard let keys = side("keys"), let values = side("values"), keys.labels.count == values.labels.count else {
      throw badAttribute("its keys and values are missing or differ in number")
    }
    guard (keys.element == .string) == (input == .string) else { throw Failure(.typeMismatch, "\(mnemonic) of \(input.name) by keys of \(keys.element.name)") }
    return (keys.labels, values.labels, values.element)
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    return [Fact(TensorType(try table(x.type.element).element, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let dims = try resultTypes(operands, resultCount)[0].dims
    let (keys, values, element) = try table(x.elementType)
    let missing: Label =
      if element == .string {
        .word(op.optionalBytes("default_string") ?? Array("_Unused".utf8))
      } else if let tensor = op.numbers("default_tensor"), let value = tensor.values.first {
        .number(value)
      } else {
        // Tensors without a default: -1 for whole numbers, 0 for others; int64 and float by their own attributes.
        .number(element.isFloatingPoint ? op.float("default_float") : Double(op.int("default_int64")))
      }
    let table = Dictionary(zip(keys, values)) { first, _ in first }
    return [try tensor(try labels(x).map { table[$0] ?? missing }, element, dims: dims)]
  }
}

/// CategoryMapper (ai.onnx.ml 1): strings to numbers or back.
struct CategoryMapper: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkElement(x, [.string, .int64], "labels")
    guard op.strings("cats_strings").count == op.ints("cats_int64s").count else { throw badAttribute("its strings and numbers differ in number") }
    return [Fact(TensorType(x.type.element == .string ? .int64 : .string, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let (element, dims) = try resultTypes(operands, resultCount)[0]
    let words = op.strings("cats_strings").map { Label.word($0) }
    let numbers = op.ints("cats_int64s").map { Label.number(Double($0)) }
    let table = Dictionary(element == .string ? zip(numbers, words) : zip(words, numbers)) { first, _ in first }
    let missing: Label = element == .string ? .word(op.optionalBytes("default_string") ?? Array("_Unused".utf8)) : .number(Double(op.int("default_int64")))
    return [try tensor(try labels(x).map { table[$0] ?? missing }, element, dims: dims)]
  }
}

/// OneHotEncoder (ai.onnx.ml 1): a new last axis with one place for each category.
struct OneHotEncoder: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  private var categories: [Label] {
    let words = op.strings("cats_strings")
    return words.isEmpty ? op.ints("cats_int64s").map { .number(Double($0)) } : words.map { .word($0) }
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    guard !categories.isEmpty, op.strings("cats_strings").isEmpty != op.ints("cats_int64s").isEmpty else {
      throw badAttribute("one list of categories must be given")
    }
    guard (x.type.element == .string) == !op.strings("cats_strings").isEmpty else { throw Failure(.typeMismatch, "\(mnemonic) of \(x.type.element.name)") }
    return [Fact(TensorType(.float32, x.type.shape.map { Shape($0.dims + [Dim(categories.count)]) }))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let dims = try resultTypes(operands, resultCount)[0].dims
    let width = categories.count
    let table = Dictionary(zip(categories, 0..<width)) { first, _ in first }
    var result = [Double](repeating: 0, count: dims.reduce(1, *))
    for (index, label) in try labels(x).enumerated() {
      // Numbers are truncated before they are looked up.
      let key: Label = if case .number(let value) = label { .number(value.rounded(.towardZero)) } else { label }
      if let place = table[key] {
        result[index * width + place] = 1
      } else if !op.flag("zeros") {
        throw Failure(.indexOutOfRange, "\(mnemonic): element \(index) is in no category")
      }
    }
    return [try Tensor(.float32, dims: dims, reals: result)]
  }
}

/// FeatureVectorizer (ai.onnx.ml 1): features side by side; each operand gives as many as `inputdimensions` says, cut
/// or filled up with 0.
struct FeatureVectorizer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1024) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let widths = op.ints("inputdimensions")
    guard widths.isEmpty || widths.count == operands.count, widths.allSatisfy({ 0...1 << 28 ~= $0 }) else {
      throw badAttribute("inputdimensions \(widths) for \(operands.count) inputs")
    }
    var rows: Dim = .unknown
    var total = Dim(0)
    for index in operands.indices {
      let (count, features) = try checkSamples(try operands.required(index))
      if rows != .unknown, count != .unknown { try checkAgree(rows, count, "numbers of samples") }
      if rows == .unknown { rows = count }
      let width = widths.isEmpty ? features : Dim(widths[index])
      total = total == .unknown || width == .unknown ? .unknown : try total.plus(width)
    }
    return [Fact(TensorType(.float32, Shape([rows, total])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let widths = op.ints("inputdimensions")
    var parts: [(values: [Double], count: Int, features: Int)] = []
    for index in operands.indices { parts.append(try samples(try operands.required(index))) }
    var result: [Double] = []
    result.reserveCapacity(dims.reduce(1, *))
    for row in 0..<dims[0] {
      for (index, part) in parts.enumerated() {
        let width = widths.isEmpty ? part.features : widths[index]
        let taken = min(width, part.features)
        result += part.values[row * part.features..<row * part.features + taken]
        result += [Double](repeating: 0, count: width - taken)
      }
    }
    return [try Tensor(.float32, dims: dims, reals: result)]
  }
}
