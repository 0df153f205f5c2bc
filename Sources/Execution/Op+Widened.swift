internal import GraphIR
internal import Tensors

extension Op {
  /// The operator with single precision replaced by double where it names a type: what runs in `Precision.reference`.
  var widened: Op {
    switch self {
    case .cast(to: .float32): return .cast(to: .float64)
    case .generator(.constantOfShape(let fill)) where fill.elementType == .float32:
      return .generator(.constantOfShape(FillValue(.float64, fill.value)))
    case .generator(.eyeLike(.float32, let diagonal)): return .generator(.eyeLike(.float64, diagonal: diagonal))
    case .random(var op) where op.element == .float32:
      op.element = .float64
      return .random(op)
    case .attention(.standard(var op)) where op.softmaxPrecision == .float32:
      op.softmaxPrecision = .float64
      return .attention(.standard(op))
    case .catalogued(let op): return .catalogued(op.widened)
    default: return self
    }
  }
}

extension CataloguedOp {
  /// The attributes that name a result's type, where they name single precision.
  fileprivate var widened: CataloguedOp {
    var given: [String: AttributeData] = [:]
    var changed = false
    for schema in kind.entry.attributes {
      guard let value = self[schema.name] else { continue }
      given[schema.name] = value
      if ["output_dtype", "output_datatype"].contains(schema.name), value == .int(Int(ElementType.float32.rawValue)) {
        given[schema.name] = .int(Int(ElementType.float64.rawValue))
        changed = true
      }
    }
    return changed ? (try? CataloguedOp(kind, given)) ?? self : self
  }
}
