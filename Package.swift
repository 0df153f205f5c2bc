// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for every target: Swift 6 concurrency, explicit existentials, imports that stay
/// internal and visible per file, unsafe code marked where it stands, no warning left behind.
let rules: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

func library(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: rules)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: rules)
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "vitconv",
  products: [
    .library(name: "VitConv", targets: ["Pipeline"]),
    .executable(name: "vitconv", targets: ["vitconv"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // C: system calls that Swift's Glibc module leaves out.
    .target(name: "CSystem"),
    // C: the code protoc-c makes from schemas/onnx.proto, and oneDNN behind a thin shim.
    .target(name: "CONNX", linkerSettings: [.linkedLibrary("protobuf-c")]),
    .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dnnl"), .linkedLibrary("dl")]),
    // C: row loops compiled for each vector unit and chosen when the program starts.
    .target(name: "CVector"),
    // C: libzip, loaded when the first archive is met.
    .target(name: "CZip", linkerSettings: [.linkedLibrary("dl")]),
    // C: libhdf5, loaded when the first HDF5 file is met.
    .target(name: "CHDF5", linkerSettings: [.linkedLibrary("dl")]),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CImage", pkgConfig: "libpng", providers: [.apt(["libpng-dev", "libturbojpeg0-dev"])]),
    // Codes, severities, places in a model, the one error type.
    library("Diagnostics", []),
    // Mapped files, bounded cursors, read limits, whole-or-nothing output.
    library("Bytes", ["Diagnostics", "CSystem"]),
    // Bytes of picture files to pixels.
    library("Images", ["Diagnostics", "CImage"]),
    // Zip archives: members in place, and archives to write.
    library("Zip", ["Bytes", "CZip"]),
    // Element types, shapes with symbolic dimensions, tensors and their storage.
    library("Tensors", ["Bytes"]),
    // Typed ids, arenas, the graph, its operators, patches, the structural verifier.
    library("GraphIR", ["Tensors"]),
    // The text form: print and parse.
    library("GraphText", ["GraphIR"]),
    // Derivatives of a graph, as a graph.
    library("Differentiation", ["GraphIR"]),
    // ONNX bytes to Graph and back.
    library("FormatONNX", ["Differentiation", "CONNX"]),
    // NumPy archives of arrays.
    library("FormatNPZ", ["Tensors", "Zip"]),
    // Folders of PNG and JPEG images as samples.
    library("FormatImage", ["Tensors", "Images"]),
    // HDF5 files: groups, attributes, tensors.
    library("FormatHDF5", ["Tensors", "CHDF5"]),
    // Numerics on buffers; knows no graph.
    library("Kernels", ["Tensors", "COneDNN", "CVector"]),
    // What each Op means: shape rule, cost, kernel.
    library("Operators", ["GraphIR", "Kernels", "Images"]),
    // Graph to TypedGraph.
    library("Inference", ["Operators"]),
    // Exporters' dialects to one dialect, on a snapshot.
    library("Canonicalization", ["Inference"]),
    // Finds attention blocks in a canonical graph.
    library("Recognition", ["Inference"]),
    // Keras models, and weights whose architecture stands elsewhere, to Graph and back.
    library("FormatKeras", ["GraphText", "Recognition", "FormatHDF5", "Zip", "CYAML"]),
    // Plans and runs a TypedGraph.
    library("Execution", ["Inference"]),
    // The rewrite contract and catalogue.
    library("Rewriting", ["Recognition"]),
    // Compares two models and proves a rewrite's contract by running it.
    library("Validation", ["Rewriting", "Execution"]),
    // Text and JSON from results.
    library("Reporting", ["Validation"]),
    // Joins the stages into inspect, convert, validate, run, bench.
    library("Pipeline", ["FormatONNX", "FormatKeras", "FormatNPZ", "FormatImage", "Canonicalization", "Reporting", "GraphText"]),
    // Arguments and exit codes only.
    .executableTarget(name: "vitconv", dependencies: ["Pipeline", argumentParser], swiftSettings: rules),
    // Where fixtures lie, and what several test targets share.
    library("TestSupport", ["GraphText", "FormatNPZ"]),
    tests("DiagnosticsTests", ["Diagnostics"]),
    tests("ZipTests", ["Zip", "TestSupport"]),
    tests("TensorsTests", ["Tensors", "TestSupport"]),
    tests("GraphIRTests", ["GraphIR"]),
    tests("DifferentiationTests", ["Differentiation", "Execution", "TestSupport"]),
    tests("FormatONNXTests", ["FormatONNX", "TestSupport"]),
    tests("FormatKerasTests", ["FormatKeras", "FormatHDF5", "CHDF5", "Canonicalization", "GraphText", "Execution", "FormatNPZ", "FormatONNX", "TestSupport"]),
    tests("FormatNPZTests", ["FormatNPZ", "TestSupport"]),
    tests("KernelsTests", ["Kernels", "CVector"]),
    tests("FormatImageTests", ["FormatImage"]),
    tests("OperatorsTests", ["Operators", "Inference", "FormatNPZ", "FormatONNX", "TestSupport"]),
    tests("RecognitionTests", ["Recognition", "Canonicalization", "Execution", "FormatNPZ", "FormatONNX", "TestSupport"]),
    tests("ExecutionTests", ["Execution", "CVector", "FormatONNX", "FormatNPZ", "TestSupport"]),
    tests("RewritingTests", ["Rewriting", "Canonicalization", "FormatNPZ", "FormatONNX", "TestSupport"]),
    tests("ValidationTests", ["Validation", "Canonicalization", "FormatONNX", "FormatNPZ", "TestSupport"]),
    tests("ReportingTests", ["Reporting", "Validation", "TestSupport"]),
    tests("FileTests", ["Pipeline", "TestSupport"]),
    tests("ContractTests", ["Pipeline", "Canonicalization", "TestSupport"]),
    tests("RobustnessTests", ["Pipeline", "FormatONNX", "TestSupport"]),
    tests("ArchitectureTests", ["Diagnostics", "TestSupport"]),
    tests("EndToEndTests", ["vitconv", "FormatNPZ", "Tensors", "TestSupport"]),
  ]
)
