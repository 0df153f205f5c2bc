public import Diagnostics
internal import Glibc
internal import Images
public import Tensors

/// How pixels become what a model was trained on: `(pixel / 255 - mean) / deviation` for each channel.
public struct PixelScaling: Hashable, Sendable {
  public var mean: [Float]
  public var deviation: [Float]
  public init(mean: [Float] = [0, 0, 0], deviation: [Float] = [1, 1, 1]) {
    self.mean = mean
    self.deviation = deviation
  }
}

/// Where the channels of an image tensor lie.
public enum ChannelOrder: Sendable { case channelsFirst, channelsLast }

/// A folder of images as samples: files directly in it, or sub-folders whose sorted names are the classes.
public struct ImageFolder: Sendable {
  /// Paths in sorted order.
  public let paths: [String]
  /// The class of each path; nil without sub-folders.
  public let labels: [Int]?
  public let classes: [String]

  /// - Throws: `fileUnreadable` when the folder cannot be listed or holds no images.
  public init(_ folder: String) throws(Failure) {
    let entries = try ImageFolder.list(folder)
    let direct = entries.filter { ImageFolder.isImage($0) }.map { "\(folder)/\($0)" }
    let subfolders = entries.filter { !ImageFolder.isImage($0) && ImageFolder.isFolder("\(folder)/\($0)") }
    var paths: [String] = []
    var labels: [Int] = []
    for (label, name) in subfolders.enumerated() {
      for file in try ImageFolder.list("\(folder)/\(name)") where ImageFolder.isImage(file) {
        paths.append("\(folder)/\(name)/\(file)")
        labels.append(label)
      }
    }
    if paths.isEmpty {
      self.paths = direct
      self.labels = nil
      classes = []
    } else {
      guard direct.isEmpty else { throw Failure(.fileUnreadable, "images stand both in the folder and in its sub-folders", at: .init(file: folder)) }
      self.paths = paths
      self.labels = labels
      classes = subfolders
    }
    guard !self.paths.isEmpty else { throw Failure(.fileUnreadable, "the folder holds no .png, .jpg or .jpeg", at: .init(file: folder)) }
  }

  /// All images as one float32 tensor (samples, 3, height, width) or (samples, height, width, 3).
  public func tensor(height: Int, width: Int, order: ChannelOrder, scaling: PixelScaling) throws(Failure) -> Tensor {
    let points = height * width
    var values = [Float](repeating: 0, count: paths.count * points * 3)
    for (index, path) in paths.enumerated() {
      let pixels = TriangleFilter.resample(try RGBImage.read(path), width: width, height: height)
      for point in 0..<points {
        for channel in 0..<3 {
          let target = order == .channelsFirst ? (index * 3 + channel) * points + point : (index * points + point) * 3 + channel
          values[target] = (pixels[point * 3 + channel] - scaling.mean[channel]) / scaling.deviation[channel]
        }
      }
    }
    return try Tensor(float32: values, dims: order == .channelsFirst ? [paths.count, 3, height, width] : [paths.count, height, width, 3])
  }

  /// Whether `path` is a folder.
  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  private static func isImage(_ name: String) -> Bool {
    let lower = name.lowercased()
    return [".png", ".jpg", ".jpeg"].contains { lower.hasSuffix($0) }
  }

  /// Names in a folder, sorted, hidden ones left out.
  private static func list(_ folder: String) throws(Failure) -> [String] {
    guard let handle = unsafe opendir(folder) else { throw Failure(.fileUnreadable, "the folder cannot be listed", at: .init(file: folder)) }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }
}
