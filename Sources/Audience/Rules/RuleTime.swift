// How the truth of a rule moves with time alone.

/// What "now" does to an edge that values are compared with.
enum TimeMotion: Hashable {
    /// Seconds from now to the edge: it moves steadily.
    case elapsed(Int)
    /// It stands still until a day ends in the rule's zone.
    case calendar
    /// Months and years: it moves steadily, but jumps where months differ in length.
    case months

    init?(_ time: TimeExpression) {
        switch time {
        case .day, .instant, .field: return nil
        case .ago(let span): self = span.seconds.map { .elapsed(-$0) } ?? .months
        case .ahead(let span): self = span.seconds.map { .elapsed($0) } ?? .months
        case .startOf: self = .calendar
        }
    }
}

extension Window {
    /// The motion of its first and of its last instant; `nil` for an end that stands still or is not there.
    var motions: (from: TimeMotion?, to: TimeMotion?) {
        switch self {
        case .last(let span): (span.seconds.map { .elapsed(-$0) } ?? .months, .elapsed(0))
        case .calendar: (.calendar, .calendar)
        case .between(let from, let to): (TimeMotion(from), TimeMotion(to))
        case .since(let time): (TimeMotion(time), nil)
        case .until(let time): (nil, TimeMotion(time))
        }
    }
    var readsTime: Bool { motions.from != nil || motions.to != nil }

    /// Whether time alone can bring its first moment: what holds now then has held in it.
    var mayOpen: Bool {
        switch self {
        case .between, .since: true
        case .last, .calendar, .until: readsTime
        }
    }

    /// Whether an end is a field of the contact.
    var readsField: Bool {
        func isField(_ time: TimeExpression) -> Bool { if case .field = time { true } else { false } }
        return switch self {
        case .last, .calendar: false
        case .between(let from, let to): isField(from) || isField(to)
        case .since(let time), .until(let time): isField(time)
        }
    }
}

extension Operation {
    /// The motions of all edges that it compares with.
    var motions: [TimeMotion] {
        switch self {
        case .complement(let positive): positive.motions
        case .timeOn(let time), .timeBefore(let time), .timeAfter(let time): [TimeMotion(time)].compactMap { $0 }
        case .timeWithin(let window), .anniversaryWithin(let window): [window.motions.from, window.motions.to].compactMap { $0 }
        default: []
        }
    }

    /// Whether it compares instants, and not the days on which they fall.
    var comparesInstants: Bool {
        switch self {
        case .complement(let positive): positive.comparesInstants
        case .timeBefore, .timeAfter, .timeWithin: true
        default: false
        }
    }
}

extension Node {
    /// Leaves whose truth time alone can change.
    var timedLeaves: [Node] {
        switch self {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes): nodes.flatMap(\.timedLeaves)
        case .not(let node): node.timedLeaves
        case .field(let leaf): leaf.operation.motions.isEmpty ? [] : [self]
        case .event(let leaf): isTimed(leaf.window, [leaf.condition]) ? [self] : []
        case .aggregate(let leaf): isTimed(leaf.window, [leaf.condition]) ? [self] : []
        case .sequence(let leaf): isTimed(leaf.window, leaf.steps.map(\.condition)) ? [self] : []
        case .history(let leaf):
            isTimed(leaf.window, (leaf.was ?? []).map { .field($0) }) || (leaf.was != nil && leaf.window.mayOpen) ? [self] : []
        case .wasInSegment(_, let window): window.mayOpen ? [self] : []
        case .engagement(let leaf): isTimed(leaf.window, []) ? [self] : []
        case .segment, .list, .consent, .bucket: []
        }
    }

    private func isTimed(_ window: Window?, _ conditions: [Node?]) -> Bool {
        window?.readsTime == true || conditions.contains { $0?.timedLeaves.isEmpty == false }
    }
}
