// Rows on their way into the database: checked cells in one buffer, so that a row costs no allocation.

/// Rows that are written together. No two of them name the same contact.
struct ImportBatch {
    /// A cell's place in `bytes`; missing when negative.
    private struct Slot {
        var start: Int32 = -1
        var count: Int32 = 0
    }

    /// Further rows of a contact that the batch has already.
    struct Merged {
        let line: Int
        /// Whether it said anything that the rows before it had not.
        let changed: Bool
    }

    private let slotCount: Int
    private var bytes: [UInt8] = []
    private var slots: [Slot] = []
    private(set) var lines: [Int] = []
    private(set) var merged: [Int: [Merged]] = [:]
    /// What identifies a contact, with the row that has it.
    private var owners: [[UInt8]: Int] = [:]

    static let maximumRows = 10_000
    /// Wide rows make a batch smaller, so that its memory stays the same.
    private static let maximumBytes = 8_388_608
    private static let maximumSlots = 1_000_000

    init(slotCount: Int) { self.slotCount = slotCount }

    var count: Int { lines.count }
    var isFull: Bool {
        lines.count >= Self.maximumRows || bytes.count >= Self.maximumBytes || slots.count >= Self.maximumSlots
    }

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        lines.removeAll(keepingCapacity: true)
        merged.removeAll()
        owners.removeAll(keepingCapacity: true)
    }

    // MARK: The row at work: the last `slotCount` slots, until it is taken

    mutating func startRow() {
        for _ in 0..<slotCount { slots.append(Slot()) }
    }

    mutating func set(_ slot: Int, _ content: some Collection<UInt8>) {
        let start = bytes.count
        bytes.append(contentsOf: content)
        slots[slots.count - slotCount + slot] = Slot(start: Int32(start), count: Int32(bytes.count - start))
    }

    /// For content that is written in steps.
    mutating func set(_ slot: Int, writing write: (inout [UInt8]) -> Void) {
        let start = bytes.count
        write(&bytes)
        slots[slots.count - slotCount + slot] = Slot(start: Int32(start), count: Int32(bytes.count - start))
    }

    /// How many bytes the row at work has in these slots.
    func size(_ range: Range<Int>) -> Int {
        slots[(slots.count - slotCount)...][(slots.count - slotCount + range.lowerBound)..<(slots.count - slotCount + range.upperBound)]
            .reduce(0) { $0 + Int($1.count) }
    }

    mutating func dropRow() { slots.removeLast(slotCount) }

    /// Takes the row at work, as a row of its own or into the row of the same contact.
    /// - Parameter identities: its external id, e-mail address and phone, those that it has, in this order.
    /// - Returns: false when it must wait for the next batch, because only the database can tell whose row it is.
    mutating func takeRow(line: Int, identities: [[UInt8]]) -> Bool {
        var owner: Int?
        var known = 0
        for identity in identities {
            guard let found = owners[identity] else { continue }
            if let owner, owner != found { return false }
            owner = found
            known += 1
        }
        guard let owner else {
            for identity in identities { owners[identity] = lines.count }
            lines.append(line)
            return true
        }
        // The same first identity and nothing new beside it: the same contact, whatever the database holds.
        guard known == identities.count, firstIdentity(of: owner) == identities[0] else { return false }
        merge(into: owner, line)
        return true
    }

    private func firstIdentity(of row: Int) -> [UInt8]? {
        for slot in 0..<3 {
            let found = slots[row * slotCount + slot]
            if found.start >= 0 { return [UInt8(slot)] + bytes[Int(found.start)..<Int(found.start + found.count)] }
        }
        return nil
    }

    /// Cells that are not empty win over those of the rows before.
    private mutating func merge(into row: Int, _ line: Int) {
        var changed = false
        for slot in 0..<slotCount {
            let new = slots[slots.count - slotCount + slot]
            guard new.start >= 0 else { continue }
            let old = slots[row * slotCount + slot]
            if old.start >= 0, content(old).elementsEqual(content(new)) { continue }
            slots[row * slotCount + slot] = new
            changed = true
        }
        dropRow()
        merged[row, default: []].append(Merged(line: line, changed: changed))
    }

    private func content(_ slot: Slot) -> ArraySlice<UInt8> { bytes[Int(slot.start)..<Int(slot.start + slot.count)] }

    // MARK: Reading

    /// A cell of a row; `nil` when it is missing.
    func cell(_ row: Int, _ slot: Int) -> ArraySlice<UInt8>? {
        let found = slots[row * slotCount + slot]
        return found.start < 0 ? nil : content(found)
    }
}
