public import Bytes
public import Diagnostics
public import Tensors

/// The groups, attributes and datasets of one HDF5 file, read whole; elements of datasets stay where they lie in the file,
/// or, where they are packed or of a foreign encoding, in a file in memory.
///
/// The library that understands the format reads in a process of its own (see docs/security.md), so nothing here refers to
/// it. External links, external storage and virtual datasets are refused with the whole file: whoever wrote one wants other
/// files of this machine read.
public struct HDF5File: Sendable {
  public enum Attribute: Sendable, Hashable {
    /// `scalar` tells one string from an array of one.
    case strings([String], scalar: Bool)
    case integers([Int])
    case numbers([Double])
    /// Of a type that no checkpoint uses.
    case other

    /// The string, when it is a single one.
    public var text: String? {
      if case .strings(let texts, _) = self, texts.count == 1 { texts[0] } else { nil }
    }
    public var texts: [String]? {
      switch self {
      case .strings(let texts, _): texts
      // Keras writes an empty list as an empty array of numbers.
      case .numbers(let numbers) where numbers.isEmpty: []
      case .integers(let numbers) where numbers.isEmpty: []
      default: nil
      }
    }
  }

  public struct Dataset: Sendable {
    public enum Content: Sendable {
      case tensor(Tensor)
      /// Why there are no elements to be had, with the code to refuse them with.
      case refused(String, DiagnosticCode)
    }
    public var content: Content
    public var dims: [Int]
  }

  /// Paths of datasets, in the order of names.
  public private(set) var datasetPaths: [String] = []
  private var datasets: [String: Dataset] = [:]
  private var groups: Set<String> = []
  private var attributes: [String: [String: Attribute]] = [:]
  /// Other names of objects: hard links met later, and soft links.
  private var aliases: [String: String] = [:]
  public let source: ByteSource

  init(source: ByteSource) { self.source = source }

  /// The first 1 + n powers of two times 512 are where the format allows a file to start.
  public static func accepts(_ source: ByteSource) -> Bool {
    let signature: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A]
    var start = 0
    while start <= source.count - signature.count {
      if source.bytes(in: start..<(start + signature.count)) == signature { return true }
      start = start == 0 ? 512 : start * 2
    }
    return false
  }

  // MARK: Looking up

  /// Splits at '/', without empty parts.
  private static func joined(_ parts: some Sequence<Substring>) -> String { parts.joined(separator: "/") }

  /// The path under which the object was met first.
  private func canonical(_ path: String) -> String {
    guard !aliases.isEmpty else { return path }
    var result = ""
    var steps = 0
    for part in path.split(separator: "/") {
      result = result.isEmpty ? String(part) : "\(result)/\(part)"
      while let target = aliases[result], steps < 64 {
        result = target == "/" ? "" : target
        steps += 1
      }
    }
    return result
  }

  public func isGroup(_ path: String) -> Bool { path.isEmpty || groups.contains(path) || groups.contains(canonical(path)) }
  public func hasDataset(_ path: String) -> Bool { datasets[path] != nil || datasets[canonical(path)] != nil }

  public func attribute(_ name: String, of path: String = "") -> Attribute? { (attributes[path] ?? attributes[canonical(path)])?[name] }
  public func attributes(of path: String) -> [String: Attribute] { attributes[path] ?? attributes[canonical(path)] ?? [:] }

  /// A list of strings that may be split over `name0`, `name1`, …
  public func list(_ name: String, of path: String) throws(Failure) -> [String]? {
    if let whole = attribute(name, of: path) {
      guard let texts = whole.texts else { throw Failure(.malformed, "the attribute '\(name)' of '/\(path)' is no list of strings", at: .element(path)) }
      return texts
    }
    var result: [String]?
    var index = 0
    while let part = attribute("\(name)\(index)", of: path) {
      guard let texts = part.texts else { throw Failure(.malformed, "the attribute '\(name)\(index)' of '/\(path)' is no list of strings", at: .element(path)) }
      result = (result ?? []) + texts
      index += 1
    }
    return result
  }

  /// - Throws: `undefinedValue` where there is no such dataset, or what its elements were refused with.
  public func tensor(_ path: String) throws(Failure) -> Tensor {
    guard let dataset = datasets[path] ?? datasets[canonical(path)] else {
      throw Failure(.missingPart, "there is no dataset '/\(path)'", at: .init(file: source.name, element: path))
    }
    switch dataset.content {
    case .tensor(let tensor): return tensor
    case .refused(let reason, let code): throw Failure(code, "the dataset '/\(path)' cannot be used: \(reason)", at: .init(file: source.name, element: path))
    }
  }

  public func dataset(_ path: String) -> Dataset? { datasets[path] ?? datasets[canonical(path)] }

  /// Names of groups and datasets right below a group, sorted.
  public func children(of path: String) -> [String] {
    let prefix = path.isEmpty ? "" : canonical(path) + "/"
    var names: Set<String> = []
    for all in [Array(groups), datasetPaths, Array(aliases.keys)] {
      for other in all where other.hasPrefix(prefix) && !other.isEmpty {
        if let name = other.dropFirst(prefix.count).split(separator: "/").first { names.insert(String(name)) }
      }
    }
    return names.sorted()
  }

  /// Every dataset with its names: the first one and those of other links to it.
  public var allDatasetPaths: [String] {
    datasetPaths + aliases.filter { datasets[$0.value] != nil }.map(\.key).sorted()
  }

  // MARK: Filling

  mutating func add(group path: String) { groups.insert(path) }
  mutating func add(_ dataset: Dataset, at path: String) {
    datasetPaths.append(path)
    datasets[path] = dataset
  }
  mutating func add(alias path: String, of target: String) {
    if !target.isEmpty { aliases[path] = target }
  }
  mutating func add(_ attribute: Attribute, named name: String, to path: String) { attributes[path, default: [:]][name] = attribute }

  /// Opaque pairs of bytes and 16-bit integers are bfloat16 where the dataset says so; opaque ones in Keras's older files
  /// are too, where nothing says so: no other type of Keras is stored like that.
  mutating func applyTypeNotes() throws(Failure) {
    let isKeras = attributes[""]?["keras_version"] != nil
    for path in datasetPaths {
      guard let dataset = datasets[path] else { continue }
      let noted = attributes[path]?["dtype"]?.text == "bfloat16"
      switch dataset.content {
      case .tensor(let tensor) where tensor.elementType == .uint16:
        if noted || isKeras && opaque.contains(path) {
          datasets[path]?.content = .tensor(try Tensor(.bfloat16, dims: tensor.dims, storage: tensor.storage))
        } else if opaque.contains(path) {
          datasets[path]?.content = .refused("opaque bytes without a word of what they are", .typeMismatch)
        }
      default: break
      }
    }
  }
  var opaque: Set<String> = []
}
