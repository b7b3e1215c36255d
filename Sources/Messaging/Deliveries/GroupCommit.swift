// Many small transactions as few: what arrives while others are being stored is stored together by the next.
//
//   thread 1 ── leads: stores its own ────────────┐ wakes the first that waits, and answers
//   thread 2 ── waits ───────────┐                └──► leads: stores its own, 3's and 4's in one transaction
//   thread 3 ── waits ────────┐  │                     └─ wakes 3 and 4, and the first that came meanwhile
//   thread 4 ── waits ─────┐  │  │
//
// Nobody waits for company: what comes alone is stored at once. The busier it is, the more share a transaction; that is
// group commit as databases do it for their log, done for the whole of a transaction.
internal import Synchronization
internal import Vocabulary

/// Threads that store items of the same kind, one transaction at a time for each key. Waiting ends when the item is stored
/// or was refused, never before: what was answered is committed.
final class GroupCommit<Key: Hashable & Sendable, Item: Sendable>: Sendable {
    private enum Turn {
        /// The one who leads has stored it.
        case stored
        /// The group's transaction failed, and only the item's own can tell whether that was its fault.
        case alone
        /// It failed for a reason that is nobody's fault.
        case failed(any Error)
        case lead
    }

    private final class Waiter: Sendable {
        let item: Item
        /// Given once, under the lock of the lines where it is the lead.
        let turn = Mutex<Turn?>(nil)
        let semaphore = CountingSemaphore()
        init(_ item: Item) { self.item = item }

        func give(_ given: Turn) {
            turn.withLock { $0 = given }
            semaphore.post()
        }
    }

    /// Who waits behind the one who leads, by key; no entry where nobody leads.
    private let lines = Mutex<[Key: [Waiter]]>([:])
    private let most: Int
    private let patience: Double
    private let isNobodysFault: @Sendable (any Error) -> Bool

    /// - Parameters:
    ///   - most: items in one transaction.
    ///   - patience: how many seconds somebody waits before storing alone, because the one who leads may stand still; what was in
    ///     a group then is stored twice. Longer than a transaction takes that fails.
    ///   - isNobodysFault: whether an error would come of each item alone as well; those of a group are told of it then. After
    ///     others each tries alone.
    init(most: Int, patience: Double, isNobodysFault: @escaping @Sendable (any Error) -> Bool) {
        self.most = most
        self.patience = patience
        self.isNobodysFault = isNobodysFault
    }

    /// Returns when the item is stored.
    /// - Parameter transaction: stores all that it is given, or throws and stores none. It runs on this thread, for items of
    ///   others as well; the own one is the first. It may run twice.
    /// - Throws: what `transaction` throws for this item alone, or for a group where that is nobody's fault.
    func store(_ item: Item, of key: Key, _ transaction: ([Item]) throws -> Void) throws {
        let own = Waiter(item)
        switch join(own, key) ? wait(own, key) : .lead {
        case .stored: return
        case .alone: return try transaction([item])
        case .failed(let error): throw error
        case .lead: break
        }
        let others = takeOthers(key)
        do {
            try transaction([item] + others.map(\.item))
        } catch {
            passOn(key)
            let isShared = isNobodysFault(error)
            for other in others { other.give(isShared ? .failed(error) : .alone) }
            if isShared || others.isEmpty { throw error }
            return try transaction([item])
        }
        passOn(key)
        for other in others { other.give(.stored) }
    }

    /// How many wait behind the one who leads.
    func waiting(_ key: Key) -> Int { lines.withLock { $0[key]?.count ?? 0 } }

    /// - Returns: whether somebody else leads.
    private func join(_ own: Waiter, _ key: Key) -> Bool {
        lines.withLock { lines in
            guard lines[key] != nil else {
                lines[key] = []
                return false
            }
            lines[key]!.append(own)
            return true
        }
    }

    private func wait(_ own: Waiter, _ key: Key) -> Turn {
        if own.semaphore.wait(seconds: patience) { return own.turn.withLock { $0! } }
        return lines.withLock { lines in
            lines[key]?.removeAll { $0 === own }
            // It may have come at the last moment; who was given the lead must take it.
            return own.turn.withLock { $0 } ?? .alone
        }
    }

    private func takeOthers(_ key: Key) -> [Waiter] {
        lines.withLock { lines in
            let taken = Array(lines[key]!.prefix(most - 1))
            lines[key]!.removeFirst(taken.count)
            return taken
        }
    }

    private func passOn(_ key: Key) {
        lines.withLock { lines in
            if lines[key]!.isEmpty { lines[key] = nil } else { lines[key]!.removeFirst().give(.lead) }
        }
    }
}
