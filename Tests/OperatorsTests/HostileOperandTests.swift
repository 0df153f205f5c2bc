import Diagnostics
import FormatNPZ
import GraphIR
import Operators
import Tensors
import TestSupport
import Testing

/// Operands that no valid model has: every operator must throw a `Failure` or give a result, and never trap.
@Suite struct HostileOperandTests {
  static let extremes: [Int64] = [.min, .min + 1, -1 << 40, -5000, -3, -2, -1, 0, 1, 2, 3, 5, 7, 100, 4096, 1 << 31, 1 << 40, .max - 1, .max]

  private func mutated(_ tensor: Tensor, _ random: inout SeededRandom) -> Tensor? {
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return nil
    case 1, 2, 3:
      guard tensor.elementType == .int64, tensor.count > 0 else { fallthrough }
      var values = tensor.elements(as: Int64.self)
      values[Int.random(in: 0..<values.count, using: &random)] = HostileOperandTests.extremes.randomElement(using: &random) ?? 0
      return try? Tensor(.int64, dims: tensor.dims, values: values)
    case 4:
      var dims = tensor.dims
      guard !dims.isEmpty else { return try? Tensor(float32: [1, 2], dims: [2]) }
      let axis = Int.random(in: 0..<dims.count, using: &random)
      dims[axis] = [0, 1, 2, dims[axis] + 1].randomElement(using: &random) ?? 0
      return try? Tensor(tensor.elementType, dims: dims, values: [UInt8](repeating: 1, count: tensor.elementType.byteCount(of: dims.reduce(1, *)) ?? 0))
    case 5: return try? tensor.reshaped(tensor.dims + [1])
    case 6: return try? tensor.reshaped([tensor.count])
    default:
      let types: [ElementType] = [.float32, .float64, .int64, .int32, .bool, .uint8, .float16, .bfloat16, .uint64, .int4, .float8e4m3fn, .complex64]
      let type = types.randomElement(using: &random) ?? .float32
      return try? Tensor(type, dims: tensor.dims, values: [UInt8](repeating: 1, count: type.byteCount(of: tensor.count) ?? 0))
    }
  }

  @Test(arguments: OperatorCaseTests.cases) func noOperandTraps(_ item: OperatorCaseTests.Case) throws {
    let node = OperatorCaseTests.graph[item.node]
    let op = try #require(node.op.semantics)
    let operands = try OperatorCaseTests.operands(node)
    let refused = attack(op, operands, resultCount: node.outputs.count, seed: UInt64(item.node.raw))
    #expect(refused > 0 || operands.count == 1)
  }

  /// The same for operators of every version, on what their own constants become.
  @Test(arguments: OpsetCaseTests.files.indices) func noOperandOfAnyVersionTraps(_ index: Int) throws {
    let file = OpsetCaseTests.files[index]
    var refused = 0
    for (id, node) in file.graph.liveNodes {
      guard let op = node.op.semantics else { continue }
      let operands = node.inputs.map { $0.flatMap { file.graph.constant($0) } }
      guard zip(node.inputs, operands).allSatisfy({ $0 == nil || $1 != nil }) else { continue }
      refused += attack(op, operands, resultCount: node.outputs.count, seed: UInt64(id.raw))
    }
    #expect(refused > 0)
  }

  /// Runs the operator and its shape rule on operands that are changed at random; gives how often it refused them.
  private func attack(_ op: any Operator, _ operands: [Tensor?], resultCount: Int, seed: UInt64) -> Int {
    var random = SeededRandom(seed)
    var refused = 0
    for _ in 0..<30 {
      var changed = operands
      for _ in 0..<Int.random(in: 1...2, using: &random) {
        guard let index = changed.indices.randomElement(using: &random), let tensor = changed[index] else { continue }
        changed[index] = mutated(tensor, &random)
      }
      do {
        let results = try op.evaluate(changed, resultCount: resultCount)
        #expect(results.count >= resultCount)
      } catch {
        refused += 1
        #expect(error.code != .internalError, "\(error)")
      }
      // The shape rule alone, with symbols in some places and nothing known in others.
      let facts = changed.map { tensor -> Fact? in
        guard let tensor else { return nil }
        let dims = tensor.dims.map { Bool.random(using: &random) ? Dim(symbol: "s\($0)") : Dim($0) }
        let shape = Int.random(in: 0..<6, using: &random) == 0 ? nil : Shape(dims)
        return Fact(TensorType(tensor.elementType, shape), value: Bool.random(using: &random) ? .tensor(tensor) : nil)
      }
      do { _ = try op.infer(facts, resultCount: resultCount) } catch { #expect(error.code != .internalError, "\(error)") }
    }
    return refused
  }
}
