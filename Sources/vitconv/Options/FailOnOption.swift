public import ArgumentParser
public import Diagnostics

/// From which level on a finding makes the command fail.
struct FailOnOption: ParsableArguments {
  @Option(help: "Exit with 1 when a finding has this level or a higher one.")
  var failOn: Severity = .error
}

extension Severity: ExpressibleByArgument {}
