// When time alone changes the answer.
public import Vocabulary

/// The next instant at which the answer for a contact changes, if nothing but the clock does.
public struct Flip: Sendable, Equatable {
    public let at: Instant
    /// It is another answer from `at` on. Otherwise only this is known: the answer stays at least until `at`.
    public let isCertain: Bool
}

/// How much work may go into looking ahead: each step evaluates again. Shared by the questions of one answer, it bounds
/// what a rule of 500 nodes over 50,000 events can cost.
struct FlipBudget {
    fileprivate var left: Int
    private let deadline: Instant
    init(_ work: Int = 50_000, seconds: Double = 5) {
        left = work
        deadline = .steady() + seconds
    }
    var isLate: Bool { Instant.steady() > deadline }
}

extension RuleEvaluator {
    /// How far ahead is looked.
    static let horizonSeconds = 100 * 366 * 86_400

    /// The first instant after `now` at which `matches(at:)` gives another answer than at `now`. It gives the same answer at
    /// every instant between the two.
    /// - Returns: `nil` when that does not happen within a hundred years.
    public func nextFlip(after now: Instant) -> Flip? {
        var budget = FlipBudget()
        return nextFlip(of: rule.match, after: now, &budget)
    }

    /// At least one step is made, whatever is left of the budget.
    func nextFlip(of node: Node, after now: Instant, _ budget: inout FlipBudget) -> Flip? {
        let answer = holds(node, moment(now))
        let step = 50 + cost.once(node) / 10
        let horizon = now.adding(seconds: Self.horizonSeconds)
        var at = now
        repeat {
            let here = moment(at)
            let watches = watches(node, here)
            guard let next = watches.compactMap({ $0.next(after: here, until: horizon) }).min() else { return nil }
            at = next
            if holds(node, moment(at)) != answer { return Flip(at: at, isCertain: true) }
            budget.left -= step + watches.count
        } while budget.left > 0 && !budget.isLate
        return Flip(at: at, isCertain: false)
    }
}
