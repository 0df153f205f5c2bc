internal import Bytes
public import Diagnostics
internal import FormatHDF5
public import GraphIR
internal import Tensors

/// Writes a graph as a state dictionary, HDF5 or safetensors: every constant under its name, and beside the weights what
/// tells their graph (`GraphRecord`), so that reading the file gives the graph back.
public enum WeightsWriter {
  /// Datasets at the root, and a group `metadata` with attributes.
  ///
  /// - Throws: `notExpressible` for elements that HDF5 files of weights do not hold; nothing is written then.
  public static func writeHDF5(_ graph: Graph, to path: String) throws(Failure) {
    let record = try GraphRecord(graph)
    try AtomicOutput.write(to: path, protecting: record.files) { (temporary) throws(Failure) in
      try HDF5Writer.write(to: temporary) { (file) throws(Failure) in
        for (name, tensor) in record.weights { try file.dataset(name, tensor) }
        try file.group(GraphRecord.group)
        for (key, value) in record.metadata { try file.attribute(key, value, of: GraphRecord.group) }
      }
    }
  }

  /// - Throws: `notExpressible` for elements that safetensors has no word for; nothing is written then.
  public static func writeSafetensors(_ graph: Graph, to path: String) throws(Failure) {
    let record = try GraphRecord(graph)
    let segments = try Safetensors.segments(record.weights, metadata: Dictionary(uniqueKeysWithValues: record.metadata))
    try AtomicOutput.write(segments, to: path, protecting: record.files)
  }
}
