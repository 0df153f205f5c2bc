import ArgumentParser

/// Where data come from.
struct SampleOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Data: an .npz whose arrays bear the inputs' names (first axis: samples; 'labels' gives classes, 'masks' object masks), or a folder of images.",
      valueName: "data"),
    completion: .file())
  var samples: String?

  @Option(help: ArgumentHelp("Subtracted from pixels in [0, 1] of image folders, per channel.", valueName: "r,g,b"))
  var mean: ChannelValues?

  @Option(help: ArgumentHelp("What the difference is divided by, per channel.", valueName: "r,g,b"))
  var std: ChannelValues?
}

/// Three numbers.
struct ChannelValues: ExpressibleByArgument {
  var values: [Float]
  init?(argument: String) {
    values = argument.split(separator: ",").compactMap { Float($0) }
    guard values.count == 3, values.allSatisfy(\.isFinite), argument.split(separator: ",").count == 3 else { return nil }
  }
}
