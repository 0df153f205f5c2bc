import FormatNPZ
import Foundation
import TestSupport
import Tensors
import Testing

/// Archives written by NumPy (fixtures/make/arrays.py): both byte orders and both axis orders of every element type.
@Suite struct NumPyArrayTests {
  @Test(arguments: ["arrays.npz", "arrays_stored.npz"])
  func everyLayoutIsRead(_ file: String) throws {
    let archive = try ArrayArchive.read(path: Fixtures.path("data/\(file)"))
    #expect(archive.entries.count == 53)
    for (name, tensor) in archive.entries where name.hasSuffix("_c") || name.hasSuffix("_fortran") {
      #expect(tensor.dims == [2, 3, 4], "\(name)")
      let values: [Double] =
        switch tensor.elementType {
        case .complex64: tensor.elements(as: SIMD2<Float>.self).map { $0.y == 0 ? Double($0.x) : .nan }
        case .complex128: tensor.elements(as: SIMD2<Double>.self).map { $0.y == 0 ? $0.x : .nan }
        default: try #require(tensor.doubles())
        }
      #expect(values == (0..<24).map(Double.init), "\(name)")
    }
    #expect(archive["big_f2_fortran"]?.elementType == .float16)
    #expect(archive["big_u8_c"]?.elementType == .uint64)
    #expect(archive["bool"]?.elementType == .bool)
    #expect(archive["bool"]?.integers() == (0..<24).map { $0 % 2 })
    #expect(archive["scalar"]?.dims == [] && archive["scalar"]?.scalar == 0)
    #expect(archive["empty"]?.dims == [0, 5])
    #expect(archive["fortran_vector"]?.integers() == [0, 1, 2, 3, 4])
    #expect(archive["folder/unicode_é"]?.floats() == [0, 1])
  }

  /// Runs where VITCONV_PYTHON names an interpreter with NumPy.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["VITCONV_PYTHON"] != nil))
  func numPyReadsWhatIsWritten() throws {
    let python = try #require(ProcessInfo.processInfo.environment["VITCONV_PYTHON"])
    let target = NSTemporaryDirectory() + "numpy-\(UUID().uuidString).npz"
    defer { try? FileManager.default.removeItem(atPath: target) }
    let source = Fixtures.path("data/arrays.npz")
    try ArrayArchive.read(path: source).write(to: target)
    let script = """
      import sys, numpy as np
      a, b = np.load(sys.argv[1]), np.load(sys.argv[2])
      assert a.files == b.files, (a.files, b.files)
      for n in a.files:
          assert a[n].shape == b[n].shape and a[n].dtype.newbyteorder('<') == b[n].dtype and (a[n] == b[n]).all(), n
      """
    let process = Process()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = ["-c", script, source, target]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }
}
