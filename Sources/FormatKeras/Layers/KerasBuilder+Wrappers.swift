internal import Diagnostics
internal import GraphIR
internal import Operators
internal import Tensors

extension KerasBuilder {
  /// Layers around layers: Pipeline runs one after the other; SpectralNormalization changes its kernel in training only.
  mutating func wrapper(_ call: LayerCall) throws(Failure) -> [ValueID] {
    guard depth < 32 else { throw Failure(.limitExceeded, "layers nested deeper than 32", at: .element(call.path.name)) }
    depth += 1
    defer { depth -= 1 }
    if call.layer.className == "SpectralNormalization" {
      guard let inner = call.config["layer"] else { throw call.wrong("it holds no layer") }
      let layer = try KerasLayer(inner)
      var path = call.path.sub(layer.name, ["layer"])
      path.name = call.path.name
      return try self.call(LayerCall(layer: layer, path: path, positional: call.positional, named: [:]))
    }
    var current = call.positional
    var counts: [String: Int] = [:]
    for json in call.config["layers"]?.array ?? [] {
      let layer = try KerasLayer(json)
      let word = KerasLayer.snakeCase(layer.storedClass)
      let own = word + (counts[word].map { "_\($0)" } ?? "")
      counts[word, default: 0] += 1
      let path = call.path.sub(layer.name, ["layers/\(own)", "_layers/\(own)"])
      current = try self.call(LayerCall(layer: layer, path: path, positional: current, named: [:])).map { .tensor($0) }
    }
    return try current.map { (argument) throws(Failure) in try value(argument, call) }
  }

  /// CategoryEncoding and Discretization: numbers of classes as ones at their places.
  mutating func encoding(_ call: LayerCall) throws(Failure) -> ValueID {
    var x = try value(call.argument(0, "inputs"), call)
    let depth: Int
    if call.layer.className == "Discretization" {
      guard let bounds = call.config["bin_boundaries"]?.array?.compactMap(\.double), bounds.count < 1 << 16, bounds == bounds.sorted() else {
        throw call.refused("boundaries that the configuration does not tell")
      }
      // How many boundaries an entry has reached.
      let line = try e.floats(bounds, dims: [bounds.count], try e.element(x).isFloatingPoint ? try e.element(x) : .float32, "boundaries")
      if try !e.element(x).isFloatingPoint { x = try e.emit(.cast(to: .float32), [x], "Cast") }
      let reached = try e.emit(.binary(.greaterOrEqual), [try e.unsqueeze(x, [try e.rank(x)]), line], "GreaterOrEqual")
      x = try e.reduce(.sum, try e.emit(.cast(to: .int64), [reached], "Cast"), axes: [-1], keep: false, "ReduceSum")
      depth = bounds.count + 1
    } else {
      depth = try call.positive("num_tokens")
      guard depth <= 1 << 20 else { throw call.wrong("\(depth) classes") }
    }
    let mode = call.word("output_mode", call.layer.className == "Discretization" ? "int" : "multi_hot")
    if mode == "int" { return x }
    let type = policy(call.config).compute
    let rank = try e.rank(x)
    if mode == "one_hot" {
      if rank > 1, try e.shape(x)[rank - 1].value == 1 { x = try e.squeeze(x, [rank - 1]) }
      return try oneHot(x, depth, type)
    }
    let hot = try oneHot(x, depth, type)
    let axis = rank > 1 ? rank - 1 : 0
    switch mode {
    case "multi_hot": return rank == 1 ? hot : try e.reduce(.max, hot, axes: [axis], keep: false, "ReduceMax")
    case "count":
      var weighted = hot
      if let weights = call.argument(1, "count_weights") {
        weighted = try e.multiply(hot, try e.unsqueeze(try e.cast(try value(weights, call), type), [rank]))
      }
      return rank == 1 ? weighted : try e.reduce(.sum, weighted, axes: [1], keep: false, "ReduceSum")
    default: throw call.wrong("'output_mode' is '\(mode)'")
    }
  }

  /// Shi et al. 2015: an LSTM whose products are convolutions. The input's are made for all steps at once; steps are
  /// spelled out, as ONNX has no operator for them.
  mutating func convolutionalRecurrence(_ call: LayerCall) throws(Failure) -> [ValueID] {
    let x = try input(call, 0, "sequences")
    let rank = try e.rank(x)
    let spatial = rank - 3
    guard (1...3).contains(spatial), call.argument(1, "initial_state") == nil, sequenceMask(call) == nil else {
      throw call.refused("initial states, masks or an input of rank \(rank)")
    }
    let (filters, steps) = (try call.positive("filters"), try e.size(x, 1))
    guard steps > 0, steps <= 128, filters < 1 << 20 else { throw call.refused("\(steps) steps are more than are spelled out") }
    let kernel = try call.spatial("kernel_size", spatial, 1)
    let strides = try call.spatial("strides", spatial, 1)
    let dilations = try call.spatial("dilation_rate", spatial, 1)
    let ones = [Int](repeating: 1, count: spatial)
    let dims = try e.shape(x)
    guard let folded = dims[0].multiplied(by: dims[1]) else { throw call.wrong("its size overflows") }
    let flat = try channelsFirst(try e.reshape(x, [folded] + dims.dropFirst(2)), call)
    var path = call.path
    path.attributes = call.path.attributes.flatMap { ["\($0)/cell", $0] }
    func weight(_ name: String, _ index: Int, _ channels: Int, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
      try builder.variable(call, path, [name], index, dims: kernel.map { $0 } + [channels, 4 * filters]) { (tensor) throws(Failure) in
        try tensor.transposed([spatial + 1, spatial] + Array(0..<spatial))
      }
    }
    func window(_ x: ValueID, _ word: String, _ strides: [Int], _ dilations: [Int]) throws(Failure) -> Window {
      Window(
        kernel: kernel, strides: strides, dilations: dilations,
        padding: try padding(word, call, x, kernel: kernel, strides: strides, dilations: dilations))
    }
    let bias = call.flag("use_bias", true) ? try variable(call, path, ["bias"], 2, dims: [4 * filters]) : nil
    let inner = try e.emit(
      .convolution(.conv(try window(flat, call.word("padding", "valid"), strides, dilations), groups: 1)),
      [flat, try weight("kernel", 0, try e.size(flat, 1), &self), bias].droppingLastNil, "Conv")
    let sizes = try e.shape(inner)
    let projected = try e.reshape(inner, [dims[0], dims[1]] + sizes.dropFirst())
    let recurrent = try weight("recurrent_kernel", 1, filters, &self)
    var state: ValueID?
    var cell: ValueID?
    var outputs: [ValueID] = []
    let (own, gate) = (call.config["activation"] ?? .string("tanh"), call.config["recurrent_activation"] ?? .string("sigmoid"))
    for step in 0..<steps {
      let time = call.flag("go_backwards", false) ? steps - 1 - step : step
      var all = try e.gather(projected, axis: 1, at: time)
      if let state {
        all = try e.add(all, try e.emit(.convolution(.conv(try window(state, "same", ones, ones), groups: 1)), [state, recurrent], "RecurrentConv"))
      }
      func part(_ index: Int, _ name: JSON, _ builder: inout KerasBuilder) throws(Failure) -> ValueID {
        try builder.activation(name, try builder.e.slice(all, axis: 1, from: index * filters, to: (index + 1) * filters), call)
      }
      let fresh = try e.multiply(try part(0, gate, &self), try part(2, own, &self))
      let carried = try cell.map { (cell) throws(Failure) in try e.add(try e.multiply(try part(1, gate, &self), cell), fresh) } ?? fresh
      let output = try e.multiply(try part(3, gate, &self), try activation(own, carried, call))
      (state, cell) = (output, carried)
      outputs.append(output)
    }
    guard let state, let cell else { throw call.wrong("it has no steps") }
    var result = try channelsBack(state, call)
    if call.flag("return_sequences", false) {
      var rows: [ValueID] = []
      for output in outputs { rows.append(try e.unsqueeze(try channelsBack(output, call), [1])) }
      result = try e.concat(rows, axis: 1)
    }
    return call.flag("return_state", false) ? [result, try channelsBack(state, call), try channelsBack(cell, call)] : [result]
  }
}
