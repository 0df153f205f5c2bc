import Diagnostics
import GraphIR
import Inference
import Operators
import Recognition
import Rewriting
import Tensors

/// One plain attention branch written by hand, and the block a recognizer would find in it.
struct AttentionFixture {
  var site: RewriteSite
  var graph: Graph { site.original.graph }

  struct Weights {
    /// (in, out) matrices and biases.
    var query, key, value, output: [Double]
    var queryBias, keyBias, valueBias, outputBias: [Double]
    var heads, channels, tokens: Int
    /// (heads, tokens, tokens)
    var scoreBias: [Double]?
  }

  enum Order { case batchFirst, tokenFirst }
  enum Scores { case separate, merged }

  /// - Parameter order: the axes of tokens in and out; the merged value is known to the block only batch first.
  init(_ w: Weights, element: ElementType = .float64, order: Order = .batchFirst, scores form: Scores = .separate) throws {
    let (n, c, h) = (w.tokens, w.channels, w.heads)
    let d = c / h
    var builder = GraphBuilder(name: "attention", opsets: ["": 17])
    func tensor(_ values: [Double], _ dims: [Int]) throws -> Tensor {
      element == .float64 ? try Tensor(float64: values, dims: dims) : try Tensor(float32: values.map { Float($0) }, dims: dims)
    }
    func shape(_ name: String, _ dims: [Int]) throws -> ValueID { builder.constant(name, try Tensor(int64: dims.map(Int64.init), dims: [dims.count])) }
    let batch = Dim(symbol: "batch")
    let input = builder.input("x", TensorType(element, Shape(order == .batchFirst ? [batch, Dim(n), Dim(c)] : [Dim(n), batch, Dim(c)])))
    let x = order == .batchFirst ? input : builder.node(.layout(.transpose([1, 0, 2])), [input], result: "x.batch_first")
    func linear(_ name: String, _ a: ValueID, _ weight: [Double], _ bias: [Double]) throws -> (ValueID, Projection) {
      let wt = try tensor(weight, [c, c])
      let bt = try tensor(bias, [c])
      let (wid, bid) = (builder.constant("\(name).weight", wt), builder.constant("\(name).bias", bt))
      let product = builder.node(.matrix(.matMul), [a, wid], result: "\(name).product")
      let sum = builder.node(.binary(.add), [product, bid], result: name)
      let view = WeightView(value: wid, tensor: wt, offset: 0, rows: c, columns: c, rowStride: c, columnStride: 1)
      let biasView = WeightView(value: bid, tensor: bt, offset: 0, rows: 1, columns: c, rowStride: c, columnStride: 1)
      return (sum, Projection(weight: view, bias: biasView))
    }
    func split(_ name: String, _ a: ValueID, _ axes: [Int]) throws -> ValueID {
      let r = builder.node(.layout(.reshape(allowZero: false)), [a, try shape("\(name).shape", [-1, n, h, d])], result: "\(name).heads")
      return builder.node(.layout(.transpose(axes)), [r], result: "\(name).by_head")
    }
    let (q, queryProjection) = try linear("q", x, w.query, w.queryBias)
    let (k, keyProjection) = try linear("k", x, w.key, w.keyBias)
    let (v, valueProjection) = try linear("v", x, w.value, w.valueBias)
    var (qh, kh, vh) = (try split("q", q, [0, 2, 1, 3]), try split("k", k, [0, 2, 3, 1]), try split("v", v, [0, 2, 1, 3]))
    if form == .merged {
      qh = builder.node(.layout(.reshape(allowZero: false)), [qh, try shape("q3", [-1, n, d])], result: "q.merged")
      kh = builder.node(.layout(.reshape(allowZero: false)), [kh, try shape("k3", [-1, d, n])], result: "k.merged")
      vh = builder.node(.layout(.reshape(allowZero: false)), [vh, try shape("v3", [-1, n, d])], result: "v.merged")
    }
    let scale = 1 / Double(d).squareRoot()
    let raw = builder.node(.matrix(.matMul), [qh, kh], result: "scores.raw")
    var scores = builder.node(.binary(.multiply), [raw, builder.constant("scale", try tensor([scale], []))], result: "scores")
    var bias = ScoreBias.none
    if let values = w.scoreBias {
      let id = builder.constant("bias", try tensor(values, [1, h, n, n]))
      bias = .constant(id)
      scores = builder.node(.binary(.add), [scores, id], result: "scores.biased")
    }
    let map = builder.node(.softmax(.softmax(axis: -1)), [scores], result: "map")
    let softmaxNode = try builder.finishedNode(of: map)
    var sums = builder.node(.matrix(.matMul), [map, vh], result: "sums")
    if form == .merged { sums = builder.node(.layout(.reshape(allowZero: false)), [sums, try shape("s4", [-1, h, n, d])], result: "sums.by_head") }
    let rows = builder.node(.layout(.transpose([0, 2, 1, 3])), [sums], result: "sums.by_row")
    let merged = builder.node(.layout(.reshape(allowZero: false)), [rows, try shape("merged.shape", [-1, n, c])], result: "merged")
    var (y, outputProjection) = try linear("y", merged, w.output, w.outputBias)
    if order == .tokenFirst { y = builder.node(.layout(.transpose([1, 0, 2])), [y], result: "y.token_first") }
    builder.outputs([y])
    let graph = try builder.finish()
    var sink = DiagnosticSink()
    let typed = try Inference.infer(graph, sink: &sink)
    let layout = order == .batchFirst ? TokenLayout.batchFirst : TokenLayout(batch: 1, token: 0, channel: 2)
    let block = ProjectedAttention(
      name: "attn", family: .selfAttention, heads: h, headDim: d, valueDim: d, queryTokens: Dim(n), keyTokens: Dim(n), scale: scale, bias: bias,
      input: input, inputLayout: layout, keyInput: input, query: queryProjection, key: keyProjection, value: valueProjection,
      outputProjection: outputProjection,
      core: .softmax(node: softmaxNode, scores: scores, probabilities: map, layout: form == .separate ? .separate : .merged),
      merged: order == .batchFirst ? merged : nil, mergedLayout: order == .batchFirst ? layout : nil, output: y, outputLayout: layout,
      nodes: Array(graph.order), parameters: 4 * c * (c + 1),
      cost: typed.cost)
    site = RewriteSite(block: block, index: 0, original: typed, landmarks: PatchLandmarks(typed))
  }
}

extension GraphBuilder {
  fileprivate func finishedNode(of value: ValueID) throws -> NodeID { try graph.producer(of: value) ?? { throw Failure(.internalError, "no node") }() }
}
