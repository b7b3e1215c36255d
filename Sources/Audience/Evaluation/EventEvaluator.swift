// What the contact did.
internal import Vocabulary

extension RuleEvaluator {
    func events(_ name: String) -> [EventFact] { facts.events[name] ?? [] }

    /// Events of a name in a window that meet a condition, in their order.
    func events(_ name: String, _ window: Window?, _ condition: Node?, _ moment: RuleMoment) -> [EventFact] {
        let span = window.map { moment.span($0) { content($0, nil) } }
        return events(name).filter { event in
            (span?.contains(event.at, moment.zone) ?? true) && (condition.map { holds($0, moment, event) } ?? true)
        }
    }

    /// Those that a leaf counts: of the first or last event only whether it is one of them.
    func events(_ leaf: EventLeaf, _ moment: RuleMoment) -> [EventFact] {
        let found = events(leaf.name, leaf.window, leaf.condition, moment)
        switch leaf.which {
        case .any: return found
        case .first: return found.first.map { $0 == events(leaf.name).first ? [$0] : [] } ?? []
        case .last: return found.last.map { $0 == events(leaf.name).last ? [$0] : [] } ?? []
        }
    }

    func holds(_ leaf: EventLeaf, _ moment: RuleMoment) -> Bool { leaf.count.holds(events(leaf, moment).count) }

    // MARK: Aggregates

    func holds(_ leaf: AggregateLeaf, _ moment: RuleMoment) -> Bool {
        let found = events(leaf.name, leaf.window, leaf.condition, moment)
        guard leaf.function == .avg else { return numberHolds(leaf.operation, aggregate(leaf, found)) }
        // No division, and so no rounding: the sum is compared with so many times what is wanted.
        let numbers = numbers(leaf, found)
        return numberHolds(leaf.operation, numbers.isEmpty ? nil : numbers.reduce(.zero, +), timesWanted: numbers.count)
    }

    /// The sum for an average too. `nil`: there is none, least or greatest of nothing.
    func aggregate(_ leaf: AggregateLeaf, _ events: [EventFact]) -> ExactDecimal? {
        switch leaf.function {
        case .sum, .avg: numbers(leaf, events).reduce(.zero, +)
        case .min: numbers(leaf, events).min()
        case .max: numbers(leaf, events).max()
        case .count: ExactDecimal(leaf.property.isEmpty ? events.count : texts(leaf, events).count)
        case .distinct: ExactDecimal(Set(texts(leaf, events).map { Units($0, false) }).count)
        }
    }

    func numbers(_ leaf: AggregateLeaf, _ events: [EventFact]) -> [ExactDecimal] {
        events.compactMap { content(.property(leaf.property), $0)?.number }
    }
    private func texts(_ leaf: AggregateLeaf, _ events: [EventFact]) -> [String] {
        events.compactMap { content(.property(leaf.property), $0)?.text }
    }

    // MARK: Sequences

    /// The events of a chain, one for each step as far as any chain gets; each is the first that could end a chain of so
    /// many steps, so the events shown for earlier steps need not belong to the same chain.
    func chain(_ leaf: SequenceLeaf, _ moment: RuleMoment) -> [EventFact] {
        var ends: [EventFact] = []
        var reached: [EventFact] = []
        for (index, step) in leaf.steps.enumerated() {
            let candidates = events(step.name, leaf.window, step.condition, moment)
            reached = index == 0 ? candidates : following(reached, step, candidates, moment)
            guard let first = reached.first else { break }
            ends.append(first)
        }
        return ends
    }

    /// Of the candidates, those that follow another event that was reached: it says until when, and the latest word counts.
    private func following(
        _ reached: [EventFact], _ step: SequenceLeaf.Step, _ candidates: [EventFact], _ moment: RuleMoment
    ) -> [EventFact] {
        var latest: Instant?
        var next = 0
        return candidates.filter { candidate in
            while next < reached.count, reached[next].at < candidate.at {
                latest = max(latest ?? reached[next].at, until(reached[next], step, moment))
                next += 1
            }
            if let latest, candidate.at <= latest { return true }
            // Those of its own instant are behind `next`, and none is its own successor: of two, one is another.
            return reached[next...].prefix(2).contains { $0.at == candidate.at && $0.id != candidate.id }
        }
    }

    private func until(_ event: EventFact, _ step: SequenceLeaf.Step, _ moment: RuleMoment) -> Instant {
        guard let after = step.after else { return Instant(microseconds: .max) }
        if let seconds = after.seconds { return event.at.adding(seconds: seconds) }
        return moment.zone.instant(moment.zone.local(event.at).adding(months: after.months))
    }
}
