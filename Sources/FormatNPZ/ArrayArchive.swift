public import Bytes
public import Diagnostics
public import Tensors

/// Named arrays in order, as `numpy.savez` and `numpy.savez_compressed` write them: a zip archive with one `.npy` member per array.
///
/// Read are stored and deflated members, `.npy` versions 1 to 3, C and Fortran order, both byte orders, and every
/// element type of NumPy that is a plain number or bool. Pickled objects, records and strings are refused.
public struct ArrayArchive: Sendable {
  public private(set) var entries: [(name: String, tensor: Tensor)]

  public init(_ entries: [(name: String, tensor: Tensor)] = []) { self.entries = entries }

  public var names: [String] { entries.map(\.name) }

  /// The first array of that name.
  public subscript(name: String) -> Tensor? { entries.first { $0.name == name }?.tensor }

  public mutating func append(_ name: String, _ tensor: Tensor) { entries.append((name, tensor)) }

  /// Reads the archive at `path`.
  /// - Throws: `fileUnreadable`, `archiveUnreadable`, `limitExceeded` where declared sizes exceed what the archive can
  ///   hold, `outOfMemory` where they exceed the machine's memory.
  public static func read(path: String) throws(Failure) -> ArrayArchive { try read(ByteSource(mapping: path)) }

  /// Reads the archive that `source` holds.
  public static func read(_ source: ByteSource) throws(Failure) -> ArrayArchive {
    do throws(Failure) {
      return ArrayArchive(try ArchiveReader.arrays(in: source))
    } catch {
      throw error.located(file: source.name)
    }
  }

  /// Writes all arrays, stored, whole or not at all. Equal archives give equal bytes: no clock goes in.
  ///
  /// bfloat16, which NumPy lacks, is widened to float32, which holds it exactly.
  /// - Throws: `notExpressible` for strings and the other types that NumPy lacks, `outputUnwritable`.
  public func write(to path: String, protecting inputs: [String] = []) throws(Failure) {
    do throws(Failure) {
      try ArchiveWriter.write(entries, to: path, protecting: inputs)
    } catch {
      throw error.located(file: path)
    }
  }
}
