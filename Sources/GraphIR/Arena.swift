/// An index into an arena that cannot be mistaken for another arena's.
///
/// This file is `@inlinable public` on purpose: generic code behind `package` is not specialized across targets and
/// ran 30 to 40 times slower.
public struct Handle<Tag>: Hashable, Comparable, Sendable {
  public let raw: UInt32
  @inlinable public init(raw: UInt32) { self.raw = raw }
  @inlinable public var index: Int { Int(raw) }
  @inlinable public static func < (a: Handle, b: Handle) -> Bool { a.raw < b.raw }
}

public enum NodeTag: Sendable {}
public enum ValueTag: Sendable {}
/// A node of one graph.
public typealias NodeID = Handle<NodeTag>
/// A value of one graph.
public typealias ValueID = Handle<ValueTag>

/// Elements that are added and never moved, addressed by handles.
public struct Arena<Tag, Element> {
  @usableFromInline var elements: [Element] = []

  @inlinable public init() {}
  @inlinable public var count: Int { elements.count }
  @inlinable public subscript(_ handle: Handle<Tag>) -> Element {
    get { elements[handle.index] }
    set { elements[handle.index] = newValue }
  }
  @inlinable public mutating func append(_ element: Element) -> Handle<Tag> {
    elements.append(element)
    return Handle(raw: UInt32(elements.count - 1))
  }
  @inlinable public var handles: HandleRange<Tag> { HandleRange(count: elements.count) }
  @inlinable public func contains(_ handle: Handle<Tag>) -> Bool { handle.index < elements.count }
}

extension Arena: Sendable where Element: Sendable {}

/// All handles of an arena, in order of making.
public struct HandleRange<Tag>: Sequence, Sendable {
  public let count: Int
  @inlinable public init(count: Int) { self.count = count }
  @inlinable public func makeIterator() -> AnyIterator<Handle<Tag>> {
    var next: UInt32 = 0
    let end = UInt32(count)
    return AnyIterator {
      guard next < end else { return nil }
      defer { next += 1 }
      return Handle(raw: next)
    }
  }
}

/// A side table: one `T` for each handle of an arena.
public struct HandleMap<Tag, T> {
  @usableFromInline var storage: [T]
  @usableFromInline let initial: T

  @inlinable public init(count: Int, initial: T) {
    storage = [T](repeating: initial, count: count)
    self.initial = initial
  }
  @inlinable public subscript(_ handle: Handle<Tag>) -> T {
    get { handle.index < storage.count ? storage[handle.index] : initial }
    set {
      while handle.index >= storage.count { storage.append(initial) }
      storage[handle.index] = newValue
    }
  }
}

extension HandleMap: Sendable where T: Sendable {}
