/// Where every slot lies in one arena: slots whose lives do not overlap share memory.
struct MemoryPlan {
  private(set) var offsets: [Int]
  private(set) var arenaBytes = 0

  private struct Life {
    var first: Int
    var last: Int
    var bytes: Int
  }

  init(_ slots: [Slot], _ steps: [Step]) {
    offsets = [Int](repeating: 0, count: slots.count)
    var lives = [Life?](repeating: nil, count: slots.count)
    var root = Array(slots.indices)
    func find(_ slot: Int) -> Int {
      var slot = slot
      while root[slot] != slot { slot = root[slot] }
      return slot
    }
    var lastUse = [Int](repeating: -1, count: slots.count)
    for (index, step) in steps.enumerated() { for slot in step.reads + step.writes { lastUse[slot] = index } }
    for slot in slots.indices where slots[slot].isKept { lastUse[slot] = steps.count }
    // A graph input is written before the first step.
    for (index, step) in steps.enumerated() {
      if let pair = step.inPlace, slots[pair.read].constant == nil {
        let target = find(pair.read)
        if !slots[target].isKept, lastUse[target] == index, pair.written == find(pair.written), lives[pair.written] == nil,
          slots[pair.written].byteCount <= slots[target].byteCount, pair.written != target
        {
          root[pair.written] = target
          lastUse[target] = Swift.max(lastUse[target], lastUse[pair.written])
        }
      }
      for slot in step.reads + step.writes {
        let target = find(slot)
        guard slots[target].constant == nil else { continue }
        if lives[target] == nil { lives[target] = Life(first: step.writes.contains(slot) ? index : -1, last: index, bytes: slots[target].byteCount) }
        lives[target]?.last = Swift.max(index, lastUse[target])
      }
    }
    for slot in slots.indices where slots[slot].constant == nil && root[slot] == slot && lives[slot] == nil {
      lives[slot] = Life(first: -1, last: lastUse[slot] < 0 ? 0 : lastUse[slot], bytes: slots[slot].byteCount)
    }
    place(lives)
    for slot in slots.indices where root[slot] != slot { offsets[slot] = offsets[find(slot)] }
  }

  /// Largest first, each into the lowest gap among the slots that live at the same time.
  private mutating func place(_ lives: [Life?]) {
    let order = lives.indices.filter { lives[$0] != nil }.sorted { (lives[$0]?.bytes ?? 0, $1) > (lives[$1]?.bytes ?? 0, $0) }
    var placed: [(slot: Int, life: Life)] = []
    for slot in order {
      guard let life = lives[slot] else { continue }
      let bytes = (Swift.max(life.bytes, 1) + 63) & ~63
      var offset = 0
      for other in placed where other.life.first <= life.last && life.first <= other.life.last {
        let (start, end) = (offsets[other.slot], offsets[other.slot] + (Swift.max(other.life.bytes, 1) + 63) & ~63)
        if offset + bytes <= start { break }
        offset = Swift.max(offset, end)
      }
      offsets[slot] = offset
      let index = placed.firstIndex { offsets[$0.slot] > offset } ?? placed.count
      placed.insert((slot, life), at: index)
      arenaBytes = Swift.max(arenaBytes, offset + bytes)
    }
  }
}
