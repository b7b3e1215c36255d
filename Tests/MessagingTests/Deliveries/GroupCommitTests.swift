import Synchronization
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct GroupCommitTests {
    @Test func `what comes alone is stored alone, at once`() throws {
        let bank = Bank()
        for item in 1...3 {
            bank.pay(item)
            try waitUntil("the end of \(item)") { bank.ends == item }
        }
        #expect(bank.groups == [[1], [2], [3]])
    }

    @Test func `what comes while others are being stored is stored together, in its order, and each is answered after it`() throws {
        let bank = Bank()
        try bank.hold(0)
        for item in 1...5 { try bank.payBehind(item) }
        #expect(bank.ends == 0)
        bank.release()
        try waitUntil("the end of all") { bank.ends == 6 }
        #expect(bank.groups == [[0], [1, 2, 3, 4, 5]])
        #expect(bank.refused.isEmpty)
    }

    @Test func `no transaction is larger than allowed, and nobody is left behind`() throws {
        let bank = Bank(most: 3)
        try bank.hold(0)
        for item in 1...7 { try bank.payBehind(item) }
        bank.release()
        try waitUntil("the end of all") { bank.ends == 8 }
        #expect(bank.groups == [[0], [1, 2, 3], [4, 5, 6], [7]])
    }

    @Test func `one that cannot be stored fails alone`() throws {
        let bank = Bank(bad: [3])
        try bank.hold(0)
        for item in 1...5 { try bank.payBehind(item) }
        bank.release()
        try waitUntil("the end of all") { bank.ends == 6 }
        #expect(bank.refused == [3])
        #expect(bank.groups.first == [0])
        #expect(Set(bank.groups.dropFirst()) == [[1], [2], [4], [5]])
    }

    @Test func `where the one who leads is the bad one, the others are stored`() throws {
        let bank = Bank(bad: [0, 1])
        try bank.hold(0)
        for item in 1...3 { try bank.payBehind(item) }
        bank.release()
        try waitUntil("the end of all") { bank.ends == 4 }
        #expect(bank.refused == [0, 1])
        #expect(Set(bank.groups) == [[2], [3]])
    }

    @Test func `what is nobody's fault is tried once for all of a group`() throws {
        let bank = Bank(bad: [3], isNobodysFault: true)
        try bank.hold(0)
        for item in 1...5 { try bank.payBehind(item) }
        bank.release()
        try waitUntil("the end of all") { bank.ends == 6 }
        #expect(bank.refused == [1, 2, 3, 4, 5])
        #expect(bank.groups == [[0]])
        bank.pay(6)
        try waitUntil("the end of what came later") { bank.ends == 7 }
        #expect(bank.groups == [[0], [6]])
    }

    @Test func `behind one who stands still everybody stores alone in the end, and the lead is handed to nobody who has left`() throws {
        let bank = Bank(patience: 0.3)
        try bank.hold(0)
        for item in 1...3 { bank.pay(item) }
        try waitUntil("the end of those who waited") { bank.ends == 3 }
        #expect(Set(bank.groups) == [[1], [2], [3]])
        bank.release()
        try waitUntil("the end of the first") { bank.ends == 4 }
        bank.pay(4)
        try waitUntil("the end of what came later") { bank.ends == 5 }
        #expect(bank.groups.count == 5 && bank.refused.isEmpty)
    }

    @Test func `another key does not wait`() throws {
        let bank = Bank()
        try bank.hold(0)
        bank.pay(1, key: "another")
        try waitUntil("the other's end") { bank.ends == 1 }
        #expect(bank.groups == [[1]])
        bank.release()
        try waitUntil("the end of both") { bank.ends == 2 }
    }

    @Test func `a thousand from many threads are stored once each`() throws {
        let bank = Bank(bad: Set(stride(from: 0, to: 1000, by: 97)), most: 5)
        for thread in 0..<10 { bank.pay(thread * 100..<thread * 100 + 100) }
        try waitUntil("the end of all") { bank.ends == 1000 }
        #expect(bank.refused == Set(stride(from: 0, to: 1000, by: 97)))
        #expect(bank.groups.flatMap { $0 }.sorted() == (0..<1000).filter { $0 % 97 != 0 })
        #expect(bank.groups.allSatisfy { $0.count <= 5 })
    }
}

/// Stores numbers on threads of their own and remembers which went together.
private final class Bank: Sendable {
    private struct Refusal: Error {}
    private struct Books {
        var groups: [[Int]] = []
        var refused: Set<Int> = []
        var ends = 0
    }
    private let commit: GroupCommit<String, Int>
    private let bad: Set<Int>
    private let books = Mutex(Books())
    private let hasBegun = CountingSemaphore()
    private let mayEnd = CountingSemaphore()

    init(bad: Set<Int> = [], most: Int = 8, patience: Double = 60, isNobodysFault: Bool = false) {
        self.bad = bad
        commit = GroupCommit(most: most, patience: patience) { _ in isNobodysFault }
    }

    /// What was committed.
    var groups: [[Int]] { books.withLock { $0.groups } }
    var refused: Set<Int> { books.withLock { $0.refused } }
    /// How many have been answered.
    var ends: Int { books.withLock { $0.ends } }

    func pay(_ item: Int, key: String = "a") { pay(item..<item + 1, key: key) }

    func pay(_ items: Range<Int>, key: String = "a", isHeld: Bool = false) {
        startThread { [self] in
            for item in items { store(item, key, isHeld) }
        }
    }

    /// Begins a transaction that ends at `release`.
    func hold(_ item: Int) throws {
        pay(item..<item + 1, isHeld: true)
        try #require(hasBegun.wait(seconds: 20))
    }
    func release() { mayEnd.post() }

    /// Returns when it waits behind all that came before.
    func payBehind(_ item: Int) throws {
        let before = commit.waiting("a")
        pay(item..<item + 1)
        try waitUntil("joining of \(item)") { commit.waiting("a") == before + 1 }
    }

    private func store(_ item: Int, _ key: String, _ isHeld: Bool) {
        let isFirst = Mutex(isHeld)
        do {
            try commit.store(item, of: key) { items in
                if isFirst.withLock({ first in
                    defer { first = false }; return first
                }) {
                    hasBegun.post()
                    mayEnd.wait()
                }
                if !bad.isDisjoint(with: items) { throw Refusal() }
                books.withLock { $0.groups.append(items) }
            }
            books.withLock { $0.ends += 1 }
        } catch {
            books.withLock {
                $0.refused.insert(item)
                $0.ends += 1
            }
        }
    }
}
