// What an evaluation in Swift costs, known before it is begun: no statement's timeout ends it.

/// Visits of events by the nodes of a rule, for one contact. A visit is one to three microseconds; a kilobyte of
/// text that a condition reads counts as 10 more.
struct EvaluationCost: Sendable {
    /// The most that one evaluation of a rule may cost for its contact to be explained: some seconds. An explanation
    /// evaluates every node several times, so it has a deadline besides, which is looked at between nodes.
    static let limit = 2_000_000

    private let weights: [String: (events: Int, contents: Int)]
    private let changes: Int

    init(_ facts: ContactFacts) {
        weights = facts.events.mapValues { events in
            let bytes = events.reduce(0) { $0 + $1.contents.reduce(0) { $0 + ($1?.byteCount ?? 0) } }
            return (events.count, bytes / 100)
        }
        changes = facts.changes.values.reduce(0) { $0 + $1.count } + facts.stays.values.reduce(0) { $0 + $1.count }
    }

    /// One evaluation of a node, and of what is below it.
    func once(_ node: Node) -> Int {
        switch node {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes): 1 + nodes.reduce(0) { $0 + once($1) }
        case .not(let node): 1 + once(node)
        case .event(let leaf): over(leaf.name, leaf.condition)
        case .aggregate(let leaf): over(leaf.name, leaf.condition) + (weights[leaf.name].map { $0.events + $0.contents } ?? 0)
        case .sequence(let leaf): leaf.steps.reduce(0) { $0 + over($1.name, $1.condition) }
        case .history, .wasInSegment: 1 + changes
        case .field, .segment, .list, .consent, .engagement, .bucket: 1
        }
    }

    private func over(_ name: String, _ condition: Node?) -> Int {
        let (events, contents) = weights[name] ?? (0, 0)
        return 1 + events + (condition.map { size($0) * (events + contents) } ?? 0)
    }

    /// Nodes of a condition.
    private func size(_ node: Node) -> Int {
        switch node {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes): 1 + nodes.reduce(0) { $0 + size($1) }
        case .not(let node): 1 + size(node)
        default: 1
        }
    }
}

extension FieldContent {
    fileprivate var byteCount: Int {
        switch self {
        case .text(let text), .number(let text), .json(let text): text.utf8.count
        case .texts(let texts): texts.reduce(0) { $0 + $1.utf8.count }
        case .boolean, .instant: 1
        }
    }
}
