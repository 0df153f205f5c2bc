/// Where long work stands.
public struct ProgressUpdate: Sendable, Hashable {
  /// What is being done: `fitting`, `measuring`.
  public var stage: String
  public var completed: Int
  public var total: Int
  public init(stage: String, completed: Int, total: Int) {
    self.stage = stage
    self.completed = completed
    self.total = total
  }
}

/// Called by long work as it goes on; must return quickly.
public typealias ProgressHandler = @Sendable (ProgressUpdate) -> Void
