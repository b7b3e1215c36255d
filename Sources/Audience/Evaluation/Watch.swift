// For each leaf, the comparisons of its truth that the clock can turn.
internal import Vocabulary

/// A moving boundary, and the values at which a comparison with it turns. A comparison `value < boundary` turns when the
/// boundary has reached the value's successor; `value <= boundary` when it has reached the value.
struct Watch {
    let boundary: Boundary
    /// In order.
    let thresholds: [Int64]

    init(_ boundary: Boundary, _ thresholds: [Int64]) {
        self.boundary = boundary
        self.thresholds = thresholds.sorted()
    }

    func next(after moment: RuleMoment, until horizon: Instant) -> Instant? {
        thresholds.isEmpty ? nil : boundary.nextCrossing(thresholds, after: moment, until: horizon)
    }
}

extension RuleEvaluator {
    func watches(_ node: Node, _ moment: RuleMoment, _ event: EventFact? = nil) -> [Watch] {
        switch node {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes):
            return nodes.flatMap { watches($0, moment, event) }
        case .not(let node): return watches(node, moment, event)
        case .field(let leaf): return watches(leaf.operation, leaf, content(leaf.source, event), moment, event)
        case .event(let leaf):
            let all = events(leaf.name)
            let asked = leaf.which == .any ? all : leaf.which == .first ? Array(all.prefix(1)) : Array(all.suffix(1))
            return watches(asked, leaf.window, leaf.condition, moment)
        case .aggregate(let leaf): return watches(events(leaf.name), leaf.window, leaf.condition, moment)
        case .sequence(let leaf): return leaf.steps.flatMap { watches(events($0.name), leaf.window, $0.condition, moment) }
        case .history(let leaf):
            let changes = changes(leaf)
            let contents = [content(leaf.source, nil)] + changes.flatMap { [$0.before, $0.after] }
            let times = watches(leaf.window, [facts.createdAt] + changes.map(\.at))
            guard let was = leaf.was else { return times }
            let tests = was.flatMap { test in contents.flatMap { watches(test.operation, test, $0, moment, nil) } }
            return tests + times + watchesOfMoments(leaf.window, moment)
        case .wasInSegment(let id, let window):
            let times = (facts.memberships[id].map { [$0] } ?? []) + (facts.stays[id] ?? []).map(\.at)
            return watches(window, times) + watchesOfMoments(window, moment)
        case .engagement(let leaf):
            return leaf.window.map { watches($0, (facts.deeds[leaf.deed] ?? []).compactMap(\.at)) } ?? []
        case .segment, .list, .consent, .bucket: return []
        }
    }

    private func watches(_ events: [EventFact], _ window: Window?, _ condition: Node?, _ moment: RuleMoment) -> [Watch] {
        let times = window.map { watches($0, events.map(\.at)) } ?? []
        guard let condition, !condition.timedLeaves.isEmpty else { return times }
        return times + events.flatMap { watches(condition, moment, $0) }
    }

    // MARK: Fields

    /// - Parameter content: what is compared.
    private func watches(
        _ operation: Operation, _ leaf: FieldLeaf, _ content: FieldContent?, _ moment: RuleMoment, _ event: EventFact?
    ) -> [Watch] {
        if case .complement(let positive) = operation { return watches(positive, leaf, content, moment, event) }
        if leaf.type == .date {
            return content?.day(moment.zone).map { watchesOfDay(operation, Int64($0), moment, event) } ?? []
        }
        guard let time = content?.instant(moment.readingZone) else { return [] }
        switch operation {
        case .timeOn(let wanted):
            guard let day = Boundary(wanted)?.day else { return [] }
            return [day.midnight(), day.midnight(1)].map { Watch($0, [time.microseconds + 1]) }
        case .timeBefore(let wanted): return Boundary(wanted).map { [Watch($0, [time.microseconds + 1])] } ?? []
        case .timeAfter(let wanted): return Boundary(wanted).map { [Watch($0, [time.microseconds])] } ?? []
        case .timeWithin(let window): return watches(window, [time])
        case .anniversaryWithin(let window):
            return watchesOfAnniversary(moment.zone.local(time).dayNumber, window, moment, event)
        default: return []
        }
    }

    private func watchesOfDay(_ operation: Operation, _ day: Int64, _ moment: RuleMoment, _ event: EventFact?) -> [Watch] {
        switch operation {
        case .timeOn(let wanted): return Boundary(wanted).map { [Watch($0.day, [day, day + 1])] } ?? []
        case .timeBefore(let wanted): return Boundary(wanted).map { [Watch($0.day, [day + 1])] } ?? []
        case .timeAfter(let wanted): return Boundary(wanted).map { [Watch($0.day, [day])] } ?? []
        case .timeWithin(let window):
            let (from, to) = boundaries(window)
            return (from.map { [Watch($0.day, [day + 1])] } ?? []) + (to.map { [Watch($0.day, [day])] } ?? [])
        case .anniversaryWithin(let window): return watchesOfAnniversary(Int(day), window, moment, event)
        default: return []
        }
    }

    /// The anniversaries next to both ends: before either passes one of them, the answer stays.
    private func watchesOfAnniversary(_ day: Int, _ window: Window, _ moment: RuleMoment, _ event: EventFact?) -> [Watch] {
        let span = moment.span(window) { content($0, event) }
        guard let start = span.from.point?.day(moment.zone), span.to.point != nil else { return [] }
        let next = nextAnniversary(of: day, from: start)
        let last = nextAnniversary(of: day, from: start - 367)
        let near = Set([next, last, nextAnniversary(of: day, from: last + 1)]).map { Int64($0) }
        let (from, to) = boundaries(window)
        return (from.map { [Watch($0.day, near.map { $0 + 1 })] } ?? []) + (to.map { [Watch($0.day, near)] } ?? [])
    }

    // MARK: Windows

    /// The ends of a window that move.
    private func boundaries(_ window: Window) -> (from: Boundary?, to: Boundary?) {
        switch window {
        case .last(let span): (Boundary(span, by: -1), .now)
        case .calendar(let offset, let unit): (.calendar(unit, offset, plusDays: 0), .calendar(unit, offset + 1, plusDays: -1))
        case .between(let from, let to): (Boundary(from), Boundary(to))
        case .since(let from): (Boundary(from), nil)
        case .until(let to): (nil, Boundary(to))
        }
    }

    /// When one of the times enters or leaves the window.
    private func watches(_ window: Window, _ times: [Instant]) -> [Watch] {
        let (from, to) = boundaries(window)
        let after = times.map { $0.microseconds + 1 }
        let start = from.map { Watch($0.isInDays ? $0.midnight() : $0, after) }
        let end = to.map { $0.isInDays ? Watch($0.midnight(1), after) : Watch($0, times.map(\.microseconds)) }
        return [start, end].compactMap { $0 }
    }

    /// When a window that asks about the past comes to have a moment, or loses it: it begins, or its ends change places.
    private func watchesOfMoments(_ window: Window, _ moment: RuleMoment) -> [Watch] {
        let (from, to) = boundaries(window)
        let span = moment.span(window) { content($0, nil) }
        guard let point = span.from.point else { return [] }
        let start = point.start(moment.zone).microseconds
        let edge = from.map { $0.isInDays ? $0.midnight() : $0 }
        var watches = [Watch(.now, [start])]
        if let edge, edge.isStepped { watches.append(Watch(edge, [start + 1])) }
        guard let last = span.to.point else { return watches }
        if let to { watches.append(Watch(to.isInDays ? to.midnight(1) : to, [start, start + 1])) }
        if let edge { watches.append(Watch(edge, [last.start(moment.zone).microseconds + 1])) }
        if let edge, let to, !edge.isStepped, !to.isStepped {
            // Two that both slide change places when their months have another length: not before the day is over.
            watches.append(Watch(Boundary.now.midnight(), [Boundary.now.midnight().value(moment) + 1]))
        }
        return watches
    }
}
