internal import Diagnostics
internal import GraphIR
internal import Tensors

extension CataloguedOperator {
  fileprivate func strings(_ tensor: Tensor) throws(Failure) -> [[UInt8]] {
    guard case .strings(let strings) = tensor.storage else { throw Failure(.typeMismatch, "\(mnemonic) of \(tensor.elementType.name)") }
    return strings
  }
  fileprivate func checkStrings(_ operand: Fact) throws(Failure) { try checkElement(operand, [.string], "an operand") }
  fileprivate func made(_ strings: [[UInt8]], dims: [Int]) throws(Failure) -> Tensor { try Tensor(.string, dims: dims, storage: .strings(strings)) }
}

/// StringNormalizer (ONNX 10): X (C) or (1, C): stop words are dropped, the others change their case. The mapping of
/// cases is Unicode's own; locales, which would change it for Turkish and Lithuanian, are not looked at.
struct StringNormalizer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkStrings(x)
    guard let shape = x.type.shape else { return [Fact(x.type)] }
    try checkRank(shape, 1...2, "the input")
    if shape.rank == 2 { try checkAgree(shape[0], 1, "rows of the input") }
    return [Fact(TensorType(.string, Shape(shape.dims.dropLast() + [.unknown])))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    _ = try infer([Fact(x.type)], resultCount: 1)
    let sensitive = op.flag("is_case_sensitive")
    func folded(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).lowercased().utf8) }
    let stops = Set(op.strings("stopwords").map { sensitive ? $0 : folded($0) })
    var kept = try strings(x).filter { !stops.contains(sensitive ? $0 : folded($0)) }
    switch op.word("case_change_action") {
    case "LOWER": kept = kept.map { folded($0) }
    case "UPPER": kept = kept.map { Array(String(decoding: $0, as: UTF8.self).uppercased().utf8) }
    default: break
    }
    if kept.isEmpty { kept = [[]] }
    return [try made(kept, dims: x.dims.dropLast() + [kept.count])]
  }
}

/// StringConcat (ONNX 20): X, Y, which broadcast.
struct StringConcat: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(2...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let (x, y) = (try operands.required(0), try operands.required(1))
    try checkStrings(x)
    try checkStrings(y)
    return [Fact(TensorType(.string, try Broadcasting.shape([x.type.shape, y.type.shape], of: mnemonic)))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let (x, y) = (try operands.required(0), try operands.required(1))
    return [try made(broadcastMap(try strings(x), x.dims, try strings(y), y.dims, to: dims) { $0 + $1 }, dims: dims)]
  }
}

/// StringSplit (ONNX 20): X; the parts, filled up with empty strings, and how many each string had.
struct StringSplit: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1, results: 1...2) }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkStrings(x)
    let parts = TensorType(.string, x.type.shape.map { Shape($0.dims + [.unknown]) })
    return Array([Fact(parts), Fact(TensorType(.int64, x.type.shape))].prefix(resultCount))
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    _ = try infer([Fact(x.type)], resultCount: resultCount)
    let delimiter = op.optionalBytes("delimiter") ?? []
    let most = op.optionalInt("maxsplit").map { $0 < 0 ? Int.max : $0 } ?? .max
    let parts = try strings(x).map { delimiter.isEmpty ? StringSplit.words($0, most: most) : StringSplit.parts($0, delimiter, most: most) }
    let width = parts.map(\.count).max() ?? 0
    try checkRunnable(x.dims + [width])
    let filled = parts.flatMap { $0 + [[UInt8]](repeating: [], count: width - $0.count) }
    return Array([try made(filled, dims: x.dims + [width]), try Tensor(.int64, dims: x.dims, wholes: parts.map(\.count))].prefix(resultCount))
  }

  /// Runs of white space separate; what is left after the last split keeps its own.
  private static func words(_ bytes: [UInt8], most: Int) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var rest = String(decoding: bytes, as: UTF8.self).unicodeScalars[...]
    while true {
      rest = rest.drop { $0.properties.isWhitespace }
      guard !rest.isEmpty else { return result }
      guard result.count < most, let end = rest.firstIndex(where: { $0.properties.isWhitespace }) else {
        result.append(Array(String(rest).utf8))
        return result
      }
      result.append(Array(String(rest[..<end]).utf8))
      rest = rest[end...]
    }
  }

  private static func parts(_ bytes: [UInt8], _ delimiter: [UInt8], most: Int) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var start = 0
    var position = 0
    while position + delimiter.count <= bytes.count, result.count < most {
      if bytes[position..<position + delimiter.count].elementsEqual(delimiter) {
        result.append(Array(bytes[start..<position]))
        position += delimiter.count
        start = position
      } else {
        position += 1
      }
    }
    result.append(Array(bytes[start...]))
    return result
  }
}

/// RegexFullMatch (ONNX 20): X; whether each string as a whole follows the pattern.
struct RegexFullMatch: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  private func expression() throws(Failure) -> RegularExpression {
    do throws(RegularExpression.Mistake) {
      return try RegularExpression(op.word("pattern"))
    } catch {
      throw badAttribute("the pattern '\(op.word("pattern"))' cannot be used: \(error.message)")
    }
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkStrings(x)
    _ = try expression()
    return [Fact(TensorType(.bool, x.type.shape))]
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let x = try operands.required(0)
    let expression = try expression()
    return [try Tensor(dims: x.dims, truths: try strings(x).map { expression.matches(String(decoding: $0, as: UTF8.self)) })]
  }
}

/// TfIdfVectorizer (ONNX 9): X (C) or (N, C) of integers or strings; how often each n-gram of a pool occurs, weighted.
struct TfIdfVectorizer: CataloguedOperator {
  let op: CataloguedOp
  var arity: Arity { Arity(1...1) }

  private func columnCount() throws(Failure) -> Int {
    let indexes = op.ints("ngram_indexes")
    guard let largest = indexes.max(), indexes.allSatisfy({ $0 >= 0 }), largest < 1 << 28 else {
      throw badAttribute("ngram_indexes are empty, negative or too large")
    }
    return largest + 1
  }

  func infer(_ operands: [Fact?], resultCount: Int) throws(Failure) -> [Fact] {
    let x = try operands.required(0)
    try checkElement(x, op.strings("pool_strings").isEmpty ? [.int32, .int64] : [.string], "tokens")
    let columns = Dim(try columnCount())
    guard let shape = x.type.shape else { return [Fact(TensorType(.float32, nil))] }
    try checkRank(shape, 0...2, "the input")
    return [Fact(TensorType(.float32, shape.rank == 2 ? Shape([shape[0], columns]) : Shape([columns])))]
  }

  func cost(operands: [TensorType?], results: [TensorType]) -> Cost {
    Cost(elementwise: (operands.first??.elementCount ?? 0) &* max(op.int("max_gram_length"), 1) &* (max(op.int("max_skip_count"), 0) &+ 1))
  }

  /// The pool as a trie over token numbers.
  private struct Pool {
    struct Entry {
      var children: [Int: Int] = [:]
      /// Which n-gram ends here.
      var gram: Int?
    }
    var entries = [Entry()]

    mutating func add(_ tokens: ArraySlice<Int>, gram: Int) {
      var place = 0
      for token in tokens {
        if let next = entries[place].children[token] {
          place = next
        } else {
          entries.append(Entry())
          entries[place].children[token] = entries.count - 1
          place = entries.count - 1
        }
      }
      entries[place].gram = gram
    }
  }

  private func pool(_ tokens: [Int]) throws(Failure) -> Pool {
    let starts = op.ints("ngram_counts")
    var pool = Pool()
    var gram = 0
    for (index, start) in starts.enumerated() {
      let end = index + 1 < starts.count ? starts[index + 1] : tokens.count
      let size = index + 1
      guard start >= 0, start <= end, end <= tokens.count, (end - start) % size == 0 else {
        throw badAttribute("ngram_counts \(starts) for a pool of \(tokens.count)")
      }
      for first in stride(from: start, to: end, by: size) {
        if size >= op.int("min_gram_length"), size <= op.int("max_gram_length") { pool.add(tokens[first..<first + size], gram: gram) }
        gram += 1
      }
    }
    guard gram == op.ints("ngram_indexes").count else { throw badAttribute("\(op.ints("ngram_indexes").count) indexes of \(gram) n-grams") }
    return pool
  }

  func evaluate(_ operands: [Tensor?], resultCount: Int) throws(Failure) -> [Tensor] {
    let dims = try resultTypes(operands, resultCount)[0].dims
    let x = try operands.required(0)
    let (shortest, longest, skips) = (op.int("min_gram_length"), op.int("max_gram_length"), op.int("max_skip_count"))
    guard shortest >= 1, longest >= shortest, skips >= 0 else { throw badAttribute("n-grams from \(shortest) to \(longest) with \(skips) skips") }
    var numbers: [[UInt8]: Int] = [:]
    let words = op.strings("pool_strings")
    let pooled: [Int]
    let tokens: [Int]
    if words.isEmpty {
      pooled = op.ints("pool_int64s")
      tokens = try x.wholes(for: mnemonic)
    } else {
      for word in words where numbers[word] == nil { numbers[word] = numbers.count }
      pooled = words.map { numbers[$0] ?? -1 }
      tokens = try strings(x).map { numbers[$0] ?? -1 }
    }
    let pool = try pool(pooled)
    let indexes = op.ints("ngram_indexes")
    let columns = try columnCount()
    let rows = x.dims.count == 2 ? x.dims[0] : 1
    let width = rows == 0 ? 0 : tokens.count / rows
    var counts = [Double](repeating: 0, count: rows * columns)
    for row in 0..<rows {
      // Single tokens have nothing to skip: they are counted once.
      var least = shortest
      for distance in 1...min(skips, max(width, 1)) + 1 {
        guard least <= longest else { break }
        for start in 0..<width {
          var place = 0
          var size = 0
          var item = start
          while size < longest, item < width, let next = pool.entries[place].children[tokens[row * width + item]] {
            place = next
            size += 1
            item += distance
            if size >= least, let gram = pool.entries[place].gram { counts[row * columns + indexes[gram]] += 1 }
          }
        }
        if least == 1 { least = 2 }
      }
    }
    let mode = op.word("mode")
    let weights = op.floats("weights")
    guard weights.isEmpty || weights.count >= indexes.count else { throw badAttribute("\(weights.count) weights for \(indexes.count) n-grams") }
    var scale = [Double](repeating: 1, count: columns)
    if !weights.isEmpty, mode != "TF" { for (gram, column) in indexes.enumerated() { scale[column] = weights[gram] } }
    let result = counts.indices.map { index in (mode == "IDF" ? min(counts[index], 1) : counts[index]) * scale[index % columns] }
    return [try Tensor(.float32, dims: dims, reals: result)]
  }
}
