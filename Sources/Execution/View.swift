internal import Bytes
internal import Kernels
internal import Tensors

/// A piece of memory that the plan gives a place: a range of the arena, or a constant.
struct Slot {
  var byteCount: Int
  var constant: Tensor?
  /// Whether its content is wanted after the last step.
  var isKept = false
}

/// How a value lies in a slot. Layout operators make other views of the same slot.
struct View {
  var slot: Int
  /// In elements.
  var offset: Int
  var layout: Strided
  var element: ElementType
  /// The value is this many times what the memory holds: a multiplication by a constant that the next product can take
  /// along.
  var factor: Float = 1

  var dims: [Int] { layout.dims }
  var elementBytes: Int { element.bitWidth / 8 }

  func with(_ layout: Strided, offset: Int? = nil) -> View {
    var copy = self
    copy.layout = layout
    copy.offset = offset ?? self.offset
    return copy
  }
}

/// The memory of a plan: where each slot lies.
@safe final class PlanMemory {
  private var bases: [UnsafeMutableRawPointer?]
  private var arena: UnsafeMutableRawPointer?
  private let constants: [Tensor]

  /// - Parameter offsets: place in the arena of every slot that is not a constant.
  init(_ slots: [Slot], offsets: [Int], arenaBytes: Int) {
    unsafe arena = HeapPolicy.allocate(byteCount: arenaBytes)
    unsafe bases = []
    constants = slots.compactMap(\.constant)
    for (slot, offset) in zip(slots, offsets) {
      if let constant = slot.constant {
        // The tensor is held by this object, and its bytes stay where they are.
        unsafe constant.withUnsafeBytes { unsafe bases.append(UnsafeMutableRawPointer(mutating: $0.baseAddress)) }
      } else {
        unsafe bases.append(arena.map { unsafe $0 + offset })
      }
    }
  }

  deinit { unsafe arena?.deallocate() }

  func address(_ view: View) -> UnsafeMutableRawPointer {
    guard let base = unsafe bases[view.slot] else { preconditionFailure("a slot without memory") }
    return unsafe base + view.offset * view.elementBytes
  }

  func floats(_ view: View) -> UnsafeMutablePointer<Float> { unsafe address(view).assumingMemoryBound(to: Float.self) }
}
