import ArgumentParser
import Pipeline

/// In what precision products with weights are computed.
struct PrecisionOption: ParsableArguments {
  enum Name: String, CaseIterable, ExpressibleByArgument { case f32, bf16 }

  @Option(help: "Precision of products with weights: f32, or bf16 on CPUs that have it (its error against f32 is told).")
  var precision: Name = .f32

  func applied(to request: CommonRequest) -> CommonRequest {
    var request = request
    request.roundsToBFloat16 = precision == .bf16
    return request
  }
}
