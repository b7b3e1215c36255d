// What an evaluation in Swift costs, known before it is begun: no statement's timeout ends it.

/// Visits of events by the nodes of a rule, for one contact. A visit is about a microsecond; a kilobyte of text that a
/// condition reads counts as 10 more.
struct EvaluationCost: Sendable {
    /// The most that is explained for one contact: each node is evaluated again for every one that it is inside of, and about
    /// five times for itself. A rule of ten events over 50,000 of them is far below.
    static let limit = 3_000_000

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

    /// An evaluation of every node, each with what is below it.
    func each(_ node: Node) -> Int {
        let below =
            switch node {
            case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes): nodes.reduce(0) { $0 + each($1) }
            case .not(let node): each(node)
            default: 0
            }
        return once(node) + below
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
