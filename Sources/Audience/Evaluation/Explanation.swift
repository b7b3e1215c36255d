// Why: the tree of a rule with the truth of every node, what decided it, and when time alone can change it.
internal import JSON
internal import Vocabulary

struct Explanation {
    let evaluator: RuleEvaluator
    let moment: RuleMoment
    private let words: RuleWords
    private let hidden: Set<SegmentID>

    /// - Parameter hidden: segments of which nothing is told but what the rule makes of them as a whole.
    init(_ evaluator: RuleEvaluator, at now: Instant, hiding hidden: Set<SegmentID>) {
        self.hidden = hidden
        self.evaluator = evaluator
        moment = evaluator.moment(now)
        words = RuleWords(moment: moment) { evaluator.content($0, nil) }
    }

    /// Members for the top of an answer, and the tree.
    /// - Throws: `FactsError.tooMuch` when it takes more than some seconds.
    func json() throws(FactsError) -> JSONObject {
        var budget = FlipBudget(200_000)
        let flip = evaluator.nextFlip(of: evaluator.rule.match, after: moment.now, &budget)
        let tree = node(evaluator.rule.match, "/match", &budget, flip: flip)
        if budget.isLate { throw .tooMuch }
        return [
            "contact_id": .string(evaluator.facts.contact.description), "matches": .bool(evaluator.matches(at: moment.now)),
            "as_of": .string(moment.now.description), "timezone": .string(moment.zone.name),
            "next_flip_at": JSONValue(flip?.at.description), "next_flip_is_certain": .bool(flip?.isCertain ?? true),
            "rule": evaluator.rule.json, "tree": tree,
        ]
    }

    // MARK: Nodes

    /// - Parameter known: the node's next flip, where it has been looked for: once, so that the answer agrees with itself.
    private func node(_ node: Node, _ pointer: String, _ budget: inout FlipBudget, flip known: Flip?? = nil) -> JSONValue {
        // The whole answer is refused then.
        if budget.isLate { return .null }
        if isHidden(node) { return ["pointer": .string(pointer), "reason": "(not shared with you)"] }
        let matches = evaluator.holds(node, moment)
        var json: JSONObject = ["pointer": .string(pointer), "matches": .bool(matches)]
        let children: [JSONValue]
        switch node {
        case .all(let nodes):
            children = each(nodes, pointer + "/all", &budget)
            json["reason"] = .string(held(nodes) + "; all are wanted.")
        case .any(let nodes):
            children = each(nodes, pointer + "/any", &budget)
            json["reason"] = .string(held(nodes) + "; one is enough.")
        case .none(let nodes):
            children = each(nodes, pointer + "/none", &budget)
            json["reason"] = .string(held(nodes) + "; none is wanted.")
        case .atLeast(let wanted, let nodes):
            children = each(nodes, pointer + "/of", &budget)
            json["reason"] = .string(held(nodes) + "; at least \(wanted) are wanted.")
        case .not(let child):
            children = [self.node(child, pointer + "/not", &budget)]
            json["reason"] = .string(matches ? "It does not hold, which is wanted." : "It holds, and the opposite is wanted.")
        default:
            children = []
            explain(node, evaluator.rule.json[pointer: pointer] ?? .null, &json)
        }
        let flip = if let known { known } else { evaluator.nextFlip(of: node, after: moment.now, &budget) }
        json["next_flip_at"] = JSONValue(flip?.at.description)
        if let flip, !flip.isCertain { json["next_flip_is_certain"] = false }
        if !children.isEmpty { json["children"] = .array(children) }
        return .object(json)
    }

    private func isHidden(_ node: Node) -> Bool {
        switch node {
        case .segment(let id), .wasInSegment(let id, _): hidden.contains(id)
        default: false
        }
    }

    private func each(_ nodes: [Node], _ pointer: String, _ budget: inout FlipBudget) -> [JSONValue] {
        nodes.enumerated().map { node($1, "\(pointer)/\($0)", &budget) }
    }

    private func held(_ nodes: [Node]) -> String {
        let count = nodes.count { evaluator.holds($0, moment) }
        return nodes.isEmpty ? "There is nothing to hold" : "\(count) of \(nodes.count) \(count == 1 ? "holds" : "hold")"
    }

    // MARK: Leaves

    private func explain(_ node: Node, _ leaf: JSONValue, _ json: inout JSONObject) {
        switch node {
        case .field(let field): explain(field, leaf["field"]?.string ?? "", &json)
        case .history(let history): explain(history, leaf["field"]?.string ?? "", &json)
        case .event(let event): explain(event, &json)
        case .aggregate(let aggregate): explain(aggregate, &json)
        case .sequence(let sequence): explain(sequence, &json)
        case .segment(let id):
            let entered = evaluator.facts.memberships[id]
            json["entered_at"] = JSONValue(entered?.description)
            json["reason"] = .string(entered.map { "Is in the segment since \($0)." } ?? "Is not in the segment.")
        case .wasInSegment(let id, let window):
            let stays = evaluator.facts.stays[id] ?? []
            json["entered_at"] = JSONValue(evaluator.facts.memberships[id]?.description)
            json["changes"] = .array(
                stays.suffix(5).map { ["change": $0.isEntry ? "entered" : "exited", "occurred_at": .string($0.at.description)] })
            let was = evaluator.wasMember(id, window, moment) ? "Was" : "Was not"
            json["reason"] = .string("\(was) in the segment \(words.words(window)).")
            json["compared_with"] = bounds(window)
        case .list(let id): json["reason"] = .string(evaluator.facts.lists.contains(id) ? "Is on the list." : "Is not on the list.")
        case .consent(let channel, let wanted):
            let state = evaluator.facts.consents[channel] ?? "unknown"
            json["value"] = .string(state)
            json["reason"] = .string("Consent to \(channel.rawValue) is \(state); the rule wants \(wanted).")
        case .engagement(let engagement): explain(engagement, &json)
        case .bucket(let salt, let from, let to):
            let slice = evaluator.facts.buckets[salt]
            json["value"] = JSONValue(slice)
            json["reason"] = .string("The contact's slice is \(slice ?? 0); the rule wants \(from) to \(to).")
        case .all, .any, .none, .not, .atLeast: break
        }
    }

    private func explain(_ leaf: FieldLeaf, _ name: String, _ json: inout JSONObject) {
        let content = evaluator.content(leaf.source, nil)
        let isKnown = content?.isKnown(as: leaf.type, moment) ?? false
        json["value"] = content?.json ?? .null
        json["is_missing"] = .bool(!isKnown)
        json["compared_with"] = bounds(leaf.operation)
        var reason = "\(name) \(found(content, isKnown, leaf.type)); the rule wants \(words.wanted(leaf.operation))"
        if let matches = leaf.missingMatches, !isKnown { reason += ", and says that a missing value \(matches ? "is" : "is not") enough" }
        json["reason"] = .string(reason + ".")
    }

    private func found(_ content: FieldContent?, _ isKnown: Bool, _ type: FieldType) -> String {
        guard let content else { return "has no value" }
        if isKnown { return "is \(content.words)" }
        if content == .text("") || content == .texts([]) { return "is empty" }
        let kind =
            switch type {
            case .number, .money: "no number"
            case .boolean: "neither true nor false"
            case .date, .time: "no date or time"
            case .tags: "no list of texts"
            case .text, .email, .phone: "no text"
            }
        return "is \(content.words), which is \(kind), so it counts as missing"
    }

    private func explain(_ leaf: HistoryLeaf, _ name: String, _ json: inout JSONObject) {
        let changes = evaluator.changes(leaf)
        let span = moment.span(leaf.window) { evaluator.content($0, nil) }
        let inside = changes.filter { $0.isChange && span.contains($0.at, moment.zone) }
        json["value"] = evaluator.content(leaf.source, nil)?.json ?? .null
        json["changes"] = .array(
            inside.suffix(5).map {
                ["changed_at": .string($0.at.description), "before": $0.before?.json ?? .null, "after": $0.after?.json ?? .null]
            })
        json["compared_with"] = bounds(leaf.window)
        var reason = "\(name) changed \(counted(inside.count, "time")) \(words.words(leaf.window))"
        if let was = leaf.was {
            let wanted = was.map { words.wanted($0.operation) }.joined(separator: ", or ")
            reason += ", and is \(evaluator.content(leaf.source, nil)?.words ?? "missing") now; the rule wants that it was \(wanted)"
        }
        json["reason"] = .string(reason + ".")
    }

    private func explain(_ leaf: EventLeaf, _ json: inout JSONObject) {
        let found = evaluator.events(leaf, moment)
        let when = leaf.window.map { " " + words.words($0) } ?? ""
        json["count"] = JSONValue(found.count)
        json["event"] = found.last.map { event(leaf.name, $0) } ?? .null
        json["compared_with"] = leaf.window.flatMap { bounds($0) }
        var reason: String
        if leaf.which == .any {
            reason = "\(counted(found.count, "event")) \(leaf.name)\(when)"
        } else {
            let all = evaluator.events(leaf.name)
            let asked = leaf.which == .first ? all.first : all.last
            json["event"] = asked.map { event(leaf.name, $0) } ?? .null
            reason = "The \(leaf.which.rawValue) event \(leaf.name) \(found.isEmpty ? "does not count" : "counts")"
            if asked == nil { reason = "There is no event \(leaf.name)" }
        }
        if leaf.condition != nil { reason += ", as far as the condition holds" }
        let others = evaluator.events(leaf.name).count - found.count
        if leaf.which == .any, others > 0 { reason += " (\(others) more do not count)" }
        json["reason"] = .string("\(reason); the rule wants \(words.words(leaf.count)).")
    }

    private func explain(_ leaf: AggregateLeaf, _ json: inout JSONObject) {
        let found = evaluator.events(leaf.name, leaf.window, leaf.condition, moment)
        let result = evaluator.aggregate(leaf, found)
        let numbers = evaluator.numbers(leaf, found)
        json["count"] = JSONValue(found.count)
        json["compared_with"] = leaf.window.flatMap { bounds($0) }
        let of = leaf.property.isEmpty ? "" : " of " + leaf.property.joined(separator: ".")
        let over = "over \(counted(found.count, "event")) \(leaf.name)" + (leaf.window.map { " " + words.words($0) } ?? "")
        var shown = result?.description ?? "missing"
        if leaf.function == .avg {
            // For people; the comparison divides nothing.
            let mean = numbers.isEmpty ? nil : result.flatMap { Double($0.description) }.map { $0 / Double(numbers.count) }
            shown = mean.map { "\($0)" } ?? "missing"
            json["sum"] = JSONValue(result?.description)
        }
        json["value"] = shown == "missing" ? .null : .string(shown)
        let name = ["sum": "sum", "avg": "average", "min": "least", "max": "greatest", "count": "count"][leaf.function.rawValue]
        json["reason"] = .string(
            "The \(name ?? "number of distinct values")\(of) \(over) is \(shown); the rule wants \(words.wanted(leaf.operation)).")
    }

    private func explain(_ leaf: SequenceLeaf, _ json: inout JSONObject) {
        let taken = evaluator.chain(leaf, moment)
        json["count"] = JSONValue(taken.count)
        json["steps"] = .array(zip(leaf.steps, taken).map { event($0.name, $1) })
        json["compared_with"] = leaf.window.flatMap { bounds($0) }
        var reason = "\(taken.count) of \(leaf.steps.count) steps were taken"
        if taken.count < leaf.steps.count { reason += "; \(leaf.steps[taken.count].name) did not follow" }
        json["reason"] = .string(reason + ".")
    }

    private func explain(_ leaf: EngagementLeaf, _ json: inout JSONObject) {
        let found = evaluator.deeds(leaf, moment)
        let last = found.compactMap(\.at).max()
        let deed = leaf.deed.rawValue.split(separator: "_").joined(separator: " ")
        let when = leaf.window.map { " " + words.words($0) } ?? ""
        json["count"] = JSONValue(found.count)
        json["occurred_at"] = JSONValue(last?.description)
        json["compared_with"] = leaf.window.flatMap { bounds($0) }
        let campaign = leaf.campaign == nil ? "any campaign" : "the campaign"
        json["reason"] = .string(
            found.isEmpty
                ? "For \(campaign) nothing was noted as \(deed)\(when)."
                : "For \(campaign) \(deed) was noted\(when), last at \(last?.description ?? "an unknown time").")
    }

    private func event(_ name: String, _ event: EventFact) -> JSONValue {
        ["id": .string(event.id.description), "name": .string(name), "occurred_at": .string(event.at.description)]
    }

    // MARK: What was compared with

    private func bounds(_ operation: Operation) -> JSONValue? {
        func point(_ time: TimeExpression) -> JSONValue? {
            moment.point(time) { evaluator.content($0, nil) }.map { ["at": .string($0.description)] }
        }
        return switch operation {
        case .complement(let positive): bounds(positive)
        case .timeOn(let time), .timeBefore(let time), .timeAfter(let time): point(time)
        case .timeWithin(let window), .anniversaryWithin(let window): bounds(window)
        default: nil
        }
    }

    private func bounds(_ window: Window) -> JSONValue? {
        let span = moment.span(window) { evaluator.content($0, nil) }
        return ["from": JSONValue(span.from.point?.description), "to": JSONValue(span.to.point?.description)]
    }
}
