// One rule for one contact: the second evaluator beside the set compiler, with the same meaning. Pure: all that it reads
// are facts, and any number of instants can be asked about.
public import Vocabulary

public struct RuleEvaluator: Sendable {
    public let rule: Rule
    public let facts: ContactFacts
    let cost: EvaluationCost

    /// - Parameter facts: loaded for this rule.
    public init(_ rule: Rule, _ facts: ContactFacts) {
        self.rule = rule
        self.facts = facts
        cost = EvaluationCost(facts)
    }

    /// Whether the contact, as the facts show it, is found by the rule at an instant.
    public func matches(at now: Instant) -> Bool { holds(rule.match, moment(now)) }

    func moment(_ now: Instant) -> RuleMoment { RuleMoment(now, zone: facts.zone, readingZone: facts.readingZone) }

    /// - Parameter event: whose properties a condition asks about.
    func holds(_ node: Node, _ moment: RuleMoment, _ event: EventFact? = nil) -> Bool {
        switch node {
        case .all(let nodes): return nodes.allSatisfy { holds($0, moment, event) }
        case .any(let nodes): return nodes.contains { holds($0, moment, event) }
        case .none(let nodes): return !nodes.contains { holds($0, moment, event) }
        case .not(let node): return !holds(node, moment, event)
        case .atLeast(let wanted, let nodes): return nodes.count { holds($0, moment, event) } >= wanted
        case .field(let leaf): return holds(leaf, moment, event)
        case .history(let leaf): return holds(leaf, moment)
        case .event(let leaf): return holds(leaf, moment)
        case .aggregate(let leaf): return holds(leaf, moment)
        case .sequence(let leaf): return chain(leaf, moment).count == leaf.steps.count
        case .segment(let id): return facts.memberships[id] != nil
        case .wasInSegment(let id, let window): return wasMember(id, window, moment)
        case .list(let id): return facts.lists.contains(id)
        case .consent(let channel, let state): return (facts.consents[channel] ?? "unknown") == state
        case .engagement(let leaf): return !deeds(leaf, moment).isEmpty
        case .bucket(let salt, let from, let to): return facts.buckets[salt].map { from <= $0 && $0 <= to } ?? false
        }
    }

    /// What a field of the contact, or a property of the event, holds.
    func content(_ source: FieldSource, _ event: EventFact?) -> FieldContent? {
        guard case .property(let keys) = source else { return facts.contents[source] }
        return event.flatMap { event in facts.properties[keys].flatMap { event.contents[$0] } }
    }
}
