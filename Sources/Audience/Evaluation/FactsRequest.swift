// What to load of a contact before a rule can be decided.
internal import JSON
internal import Vocabulary

/// Gathered from the rule's tree; what stands in it twice is loaded once.
struct FactsRequest {
    private(set) var attributes: [[String]] = []
    private(set) var properties: [[String]] = []
    private(set) var fieldPatterns: [PatternTest] = []
    private(set) var propertyPatterns: [PatternTest] = []
    private(set) var eventNames: [String] = []
    /// Segments whose present members count, and those whose past does.
    private(set) var segments: [SegmentID] = []
    private(set) var pastSegments: [SegmentID] = []
    private(set) var lists: [ListID] = []
    private(set) var history: [HistoryKey] = []
    private(set) var deeds: [EngagementLeaf.Deed] = []
    private(set) var campaigns: [CampaignID] = []
    private(set) var readsAnyCampaign = false
    private(set) var models: [ScoreModelID] = []
    private(set) var salts: [String] = []

    init(_ rule: Rule) { add(rule.match) }

    var readsPast: Bool { !(eventNames.isEmpty && pastSegments.isEmpty && history.isEmpty && deeds.isEmpty) }

    private mutating func add(_ node: Node) {
        switch node {
        case .all(let nodes), .any(let nodes), .none(let nodes), .atLeast(_, let nodes): for node in nodes { add(node) }
        case .not(let node): add(node)
        case .field(let leaf): add(leaf)
        case .history(let leaf):
            add(leaf.source)
            history.addOnce(HistoryKey(key: leaf.key, path: leaf.path))
            for test in leaf.was ?? [] { add(test) }
            add(leaf.window)
        case .event(let leaf): add(leaf.name, leaf.window, leaf.condition)
        case .aggregate(let leaf):
            add(leaf.name, leaf.window, leaf.condition)
            if !leaf.property.isEmpty { properties.addOnce(leaf.property) }
        case .sequence(let leaf): for step in leaf.steps { add(step.name, leaf.window, step.condition) }
        case .segment(let id): segments.addOnce(id)
        case .wasInSegment(let id, let window):
            segments.addOnce(id)
            pastSegments.addOnce(id)
            add(window)
        case .list(let id): lists.addOnce(id)
        // There are two consents: both are always loaded.
        case .consent: break
        case .engagement(let leaf):
            deeds.addOnce(leaf.deed)
            if let campaign = leaf.campaign { campaigns.addOnce(campaign) } else { readsAnyCampaign = true }
            leaf.window.map { add($0) }
        case .bucket(let salt, _, _): salts.addOnce(salt)
        }
    }

    private mutating func add(_ name: String, _ window: Window?, _ condition: Node?) {
        eventNames.addOnce(name)
        window.map { add($0) }
        condition.map { add($0) }
    }

    private mutating func add(_ leaf: FieldLeaf) {
        add(leaf.source)
        add(leaf.operation, leaf)
    }

    private mutating func add(_ operation: Operation, _ leaf: FieldLeaf) {
        switch operation {
        case .complement(let positive): add(positive, leaf)
        case .textMatches(let pattern):
            let test = PatternTest(source: leaf.source, pattern: pattern, isCaseSensitive: leaf.isCaseSensitive)
            if case .property = leaf.source { propertyPatterns.addOnce(test) } else { fieldPatterns.addOnce(test) }
        case .timeOn(let time), .timeBefore(let time), .timeAfter(let time): add(time)
        case .timeWithin(let window), .anniversaryWithin(let window): add(window)
        default: break
        }
    }

    private mutating func add(_ window: Window) {
        switch window {
        case .between(let from, let to):
            add(from)
            add(to)
        case .since(let time), .until(let time): add(time)
        case .last, .calendar: break
        }
    }

    private mutating func add(_ time: TimeExpression) { if case .field(let source, _) = time { add(source) } }

    private mutating func add(_ source: FieldSource) {
        switch source {
        case .attribute(let keys): attributes.addOnce(keys)
        case .property(let keys): properties.addOnce(keys)
        case .score(let model): models.addOnce(model)
        // The row of the contact and its groups are small: they are always loaded.
        case .column, .rfm: break
        }
    }
}

extension Array where Element: Equatable {
    fileprivate mutating func addOnce(_ element: Element) { if !contains(element) { append(element) } }
}
