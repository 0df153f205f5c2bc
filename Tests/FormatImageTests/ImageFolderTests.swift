import Diagnostics
import Foundation
import Tensors
import Testing

@testable import FormatImage

@Suite struct ImageFolderTests {
  /// A 2x2 PNG, red green / blue white, made with an independent encoder.
  static let png = Data(base64Encoded: "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEklEQVR4nGP4z8DAAMIM/4EAAB/uBfsL2WiLAAAAAElFTkSuQmCC")

  func folder(_ files: [String: Data]) throws -> String {
    let root = FileManager.default.temporaryDirectory.appendingPathComponent("vitconv-images-\(UUID().uuidString)")
    for (name, data) in files {
      let url = root.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try data.write(to: url)
    }
    return root.path
  }

  @Test func subfoldersAreClasses() throws {
    let png = try #require(Self.png)
    let images = try ImageFolder(folder(["cat/a.png": png, "dog/b.png": png, "dog/c.PNG": png]))
    #expect(images.classes == ["cat", "dog"])
    #expect(images.labels == [0, 1, 1])
  }

  @Test func pixelsKeepTheirPlaceInBothOrders() throws {
    let images = try ImageFolder(folder(["a.png": try #require(Self.png)]))
    #expect(images.labels == nil)
    let first = try images.tensor(height: 2, width: 2, order: .channelsFirst, scaling: PixelScaling())
    #expect(first.dims == [1, 3, 2, 2])
    #expect(first.floats() == [1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1])
    let last = try images.tensor(height: 2, width: 2, order: .channelsLast, scaling: PixelScaling(mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5]))
    #expect(last.floats() == [1, -1, -1, -1, 1, -1, -1, -1, 1, 1, 1, 1])
  }

  @Test func reductionAverages() throws {
    let images = try ImageFolder(folder(["a.png": try #require(Self.png)]))
    #expect(try images.tensor(height: 1, width: 1, order: .channelsFirst, scaling: PixelScaling()).floats() == [0.5, 0.5, 0.5])
  }

  @Test func cutAndForeignFilesAreRefused() throws {
    let png = try #require(Self.png)
    for length in 0..<png.count {
      let images = try ImageFolder(folder(["a.png": png.prefix(length)]))
      // The last chunk carries no pixels, so a decoder may accept a file without it; anything else is an error.
      do throws(Failure) {
        _ = try images.tensor(height: 2, width: 2, order: .channelsFirst, scaling: PixelScaling())
        #expect(length > png.count - 13)
      } catch {
        #expect(error.code == .imageUnreadable || error.code == .fileUnreadable)
      }
    }
    #expect(throws: Failure.self) { try ImageFolder(folder(["notes.txt": Data("x".utf8)])) }
  }
}
