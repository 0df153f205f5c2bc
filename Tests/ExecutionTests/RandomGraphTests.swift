import Diagnostics
import GraphIR
import Inference
import Tensors
import Testing

@testable import Execution

/// Random graphs of layout, element-wise, matrix and row operators: the plan, with its views, shared memory and fused
/// kernels, against the plain kernels in double precision.
struct RandomGraphTests {
  struct Numbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let x = (state ^ (state >> 33)) &* 0xff51_afd7_ed55_8ccd
      return x ^ (x >> 29)
    }
    mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -1...1, using: &self) } }
  }

  /// A graph under construction: every value with its dimensions.
  struct Maker {
    var builder = GraphBuilder(name: "random", opsets: ["": 23])
    var numbers: Numbers
    var values: [(id: ValueID, dims: [Int])] = []
    var count = 0

    mutating func name(_ stem: String) -> String {
      count += 1
      return "\(stem)\(count)"
    }
    mutating func integers(_ list: [Int]) throws -> ValueID { builder.constant(name("i"), try Tensor(int64: list.map(Int64.init), dims: [list.count])) }
    mutating func weight(_ dims: [Int]) throws -> ValueID { builder.constant(name("w"), try Tensor(float32: numbers.floats(dims.reduce(1, *)), dims: dims)) }
    mutating func scalar(_ value: Float) throws -> ValueID { builder.constant(name("c"), try Tensor(float32: [value], dims: [])) }
    mutating func add(_ op: Op, _ inputs: [ValueID?], _ dims: [Int]) {
      let name = name("v")
      values.append((builder.node(op, inputs, result: name, name: name), dims))
    }

    mutating func step() throws {
      // Recent values more often, so that chains form; older ones now and then, as residuals are.
      let index = numbers.pick(0...2) == 0 ? numbers.pick(0...values.count - 1) : max(0, values.count - 1 - numbers.pick(0...1))
      let (x, dims) = values[index]
      let rank = dims.count
      switch numbers.pick(0...15) {
      case 0: add(.unary([.relu, .gelu(.exact), .tanh, .abs, .neg, .sigmoid][numbers.pick(0...5)]), [x], dims)
      case 1, 2:
        let others = values.filter { $0.dims == dims }
        let other = others[numbers.pick(0...others.count - 1)].id
        add(.binary([.add, .multiply, .subtract, .maximum][numbers.pick(0...3)]), numbers.pick(0...1) == 0 ? [x, other] : [other, x], dims)
      case 3: add(.binary([.add, .multiply][numbers.pick(0...1)]), [x, try weight([dims[rank - 1]])], dims)
      case 4:
        let c = try scalar([0.5, 2, -1.5][numbers.pick(0...2)])
        add(.binary([.multiply, .divide, .add, .subtract][numbers.pick(0...3)]), [x, c], dims)
      case 5, 6:
        let axes = Array(0..<rank).shuffled(using: &numbers)
        add(.layout(.transpose(axes)), [x], axes.map { dims[$0] })
      case 7:
        // Split the last axis that can be, or merge two.
        var target = dims
        if let axis = dims.lastIndex(where: { $0 % 2 == 0 }), rank < 5, numbers.pick(0...1) == 0 {
          target.replaceSubrange(axis...axis, with: [dims[axis] / 2, 2])
        } else if rank > 2 {
          let axis = numbers.pick(0...rank - 2)
          target.replaceSubrange(axis...axis + 1, with: [dims[axis] * dims[axis + 1]])
        }
        add(.layout(.reshape(allowZero: false)), [x, try integers(target)], target)
      case 8:
        let axis = numbers.pick(0...rank - 1)
        guard dims[axis] >= 2 else { return }
        var target = dims
        let start = numbers.pick(0...dims[axis] / 2)
        target[axis] = (dims[axis] - start + 1) / 2
        add(.layout(.slice), [x, try integers([start]), try integers([Int.max / 2]), try integers([axis]), try integers([2])], target)
      case 9:
        let axis = numbers.pick(0...rank - 1)
        guard dims[axis] % 2 == 0 else { return }
        var target = dims
        target[axis] /= 2
        let names = [name("s"), name("s")]
        let parts = builder.node(Node(.layout(.split(axis: axis)), [x], name: names[0]), results: [names[0], names[1]])
        for part in parts { if let part { values.append((part, target)) } }
      case 10:
        let axis = numbers.pick(0...rank - 1)
        guard dims.reduce(1, *) < 3000 else { return }
        var target = dims
        target[axis] *= 2
        add(.layout(.concat(axis: axis)), [x, x], target)
      case 11:
        let width = numbers.pick(1...9)
        add(.matrix(.matMul), [x, try weight([dims[rank - 1], width])], Array(dims.dropLast()) + [width])
      case 12:
        guard rank >= 2, dims[rank - 2] < 40 else { return }
        var axes = Array(0..<rank)
        axes.swapAt(rank - 1, rank - 2)
        add(.layout(.transpose(axes)), [x], axes.map { dims[$0] })
        let other = values[values.count - 1].id
        add(.matrix(.matMul), [x, other], Array(dims.dropLast()) + [dims[rank - 2]])
      case 13: add(.softmax(.softmax(axis: numbers.pick(0...rank - 1))), [x], dims)
      case 14:
        let width = dims[rank - 1]
        add(.normalization(.layer(axis: -1, epsilon: 1e-3)), [x, try weight([width]), try weight([width])], dims)
      default:
        let axis = numbers.pick(0...rank - 1)
        var target = dims
        target[axis] = 1
        add(.reduction(ReductionOp([.mean, .sum, .max][numbers.pick(0...2)], keepDims: true)), [x, try integers([axis])], target)
      }
    }
  }

  @Test func plansAgreeWithPlainKernels() throws {
    var fastest = 0
    for seed in 0..<250 {
      var maker = Maker(numbers: Numbers(state: UInt64(seed) &* 7919 &+ 1))
      let shapes = [[2, 6, 8], [1, 4, 4, 6], [5, 12]]
      let dims = shapes[seed % shapes.count]
      maker.values.append((maker.builder.input("x", TensorType(.float32, Shape(dims))), dims))
      for _ in 0..<(4 + seed % 14) { try maker.step() }
      var outputs = [maker.values[maker.values.count - 1].id]
      if maker.values.count > 3, seed % 3 == 0 { outputs.append(maker.values[maker.values.count / 2].id) }
      maker.builder.outputs(outputs)
      let graph = try maker.builder.finish()
      let kept = seed % 4 == 0 ? [maker.values[maker.values.count / 3].id] : []
      let x = try Tensor(float32: maker.numbers.floats(dims.reduce(1, *)), dims: dims)
      let executor = Executor(graph, options: RunOptions(threads: 1 + seed % 2))
      let got = try executor.run(["x": x], keeping: kept)
      let expected = try Executor(graph, options: RunOptions(precision: .reference)).run(["x": x], keeping: kept)
      for value in Set(outputs + kept) {
        let (a, b) = (try #require(got.values[value]), try #require(expected.values[value]))
        let error = ZooTests.error(a, b)
        #expect(error < 2e-4, "seed \(seed), '\(graph[value].name)': \(error)")
      }
      fastest += try executor.plan(["x": dims], keeping: kept).stepCount
      let again = try executor.run(["x": x], keeping: kept)
      for value in outputs { #expect(again.values[value]?.elements(as: UInt32.self) == got.values[value]?.elements(as: UInt32.self)) }
    }
    #expect(fastest > 500)
  }
}
