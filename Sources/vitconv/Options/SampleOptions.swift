import ArgumentParser
import FormatImage

/// Where data come from.
struct SampleOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Data: an .npz whose arrays bear the inputs' names (first axis: samples, where the input has them; 'labels' gives classes, 'masks' object masks), or a folder of images.",
      valueName: "data"),
    completion: .file())
  var samples: String?

  @Option(help: ArgumentHelp("Subtracted from pixels in [0, 1] of image folders, per channel.", valueName: "r,g,b"))
  var mean: ChannelValues?

  @Option(help: ArgumentHelp("What the difference is divided by, per channel.", valueName: "r,g,b"))
  var std: ChannelValues?

  mutating func validate() throws {
    if samples == nil, mean != nil || std != nil { throw ValidationError("--mean and --std scale image folders; give --samples") }
    if let std, std.values.contains(where: { $0 <= 0 }) { throw ValidationError("--std must be positive") }
  }

  var scaling: PixelScaling {
    var scaling = PixelScaling()
    if let mean { scaling.mean = mean.values }
    if let std { scaling.deviation = std.values }
    return scaling
  }
}

/// Three numbers.
struct ChannelValues: ExpressibleByArgument {
  var values: [Float]
  init?(argument: String) {
    values = argument.split(separator: ",").compactMap { Float($0) }
    guard values.count == 3, values.allSatisfy(\.isFinite), argument.split(separator: ",").count == 3 else { return nil }
  }
}
