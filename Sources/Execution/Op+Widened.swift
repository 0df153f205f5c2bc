internal import GraphIR
internal import Tensors

extension Op {
  /// The operator with single precision replaced by double where it names a type: what runs in `Precision.reference`.
  var widened: Op {
    switch self {
    case .cast(to: .float32): .cast(to: .float64)
    case .generator(.constantOfShape(let fill)) where fill.elementType == .float32: .generator(.constantOfShape(FillValue(.float64, fill.value)))
    default: self
    }
  }
}
