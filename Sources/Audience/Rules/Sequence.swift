// Events in an order: `{"sequence":[{"event":…},{"event":…,"after":"7d"}…],"within":W}`.
internal import JSON

/// There is a chain of events, one for each step, each at or after the one before and within `after` of it, all of them
/// in the window. It need not be the first that offers itself: any chain will do.
///
/// Neighbours in the chain are two events, also where both have one name; so one purchase is no repeated purchase.
/// Events of one instant may stand in any order.
public struct SequenceLeaf: Sendable {
    public struct Step: Sendable {
        public let name: String
        public let condition: Node?
        /// `nil`: any time later. Always `nil` in the first step.
        public let after: Span?
    }
    /// 2 to 10.
    public let steps: [Step]
    public let window: Window?
}

extension RuleParser {
    mutating func sequenceLeaf(_ object: JSONObject, _ pointer: String, _ depth: Int) -> Node {
        onlyMembers(object, ["sequence", "within"], pointer)
        let place = pointer + "/sequence"
        guard let list = object["sequence"]?.array else {
            faults.add(place, "wrong_type", "Expected an array of steps, each with `event`.")
            return .all([])
        }
        let limits = RuleLimits.sequenceSteps
        if list.count < limits.lowerBound { faults.add(place, "too_few", "A sequence has at least \(limits.lowerBound) steps.") }
        if list.count > limits.upperBound {
            faults.add(place, "too_many", "A sequence has at most \(limits.upperBound) steps; there are \(list.count).")
        }
        let steps = list.prefix(limits.upperBound).enumerated().map { index, json in
            step(json, "\(place)/\(index)", depth, isFirst: index == 0)
        }
        return .sequence(SequenceLeaf(steps: steps, window: object["within"].map { window($0, pointer + "/within") }))
    }

    private mutating func step(_ json: JSONValue, _ pointer: String, _ depth: Int, isFirst: Bool) -> SequenceLeaf.Step {
        nodes += 1
        guard let object = json.object else {
            faults.add(pointer, "wrong_type", "A step is an object with `event`.")
            return SequenceLeaf.Step(name: "", condition: nil, after: nil)
        }
        onlyMembers(object, ["event", "where", "after"], pointer)
        let name = eventName(object, pointer)
        if isFirst, object["after"] != nil {
            faults.add(pointer + "/after", "not_here", "Nothing comes before the first step; `within` bounds the whole sequence.")
        }
        return SequenceLeaf.Step(
            name: name, condition: condition(object["where"], pointer, depth),
            after: isFirst ? nil : object["after"].map { span($0, pointer + "/after") })
    }
}

extension RuleCompiler {
    /// Step by step for all contacts: the events at which a chain of so many steps can end. Each step is one pass over
    /// events in their order, so a contact with thousands of them costs no more than as many contacts with one.
    mutating func sequence(_ leaf: SequenceLeaf) -> String {
        var reached = ""
        for (index, step) in leaf.steps.enumerated() {
            let candidates = events(step.name, leaf.window, step.condition)
            if index == 0 {
                reached = "SELECT e.contact_id, e.occurred_at, e.id FROM \(candidates)"
            } else {
                reached = following(reached, step, candidates, isSameName: leaf.steps[index - 1].name == step.name)
            }
        }
        return "EXISTS (SELECT FROM (\(reached)) g WHERE g.contact_id = c.id)"
    }

    /// Of the candidates, those that some event reached before them allows: it says until when, and the latest word counts.
    private mutating func following(
        _ reached: String, _ step: SequenceLeaf.Step, _ candidates: String, isSameName: Bool
    ) -> String {
        let until: String
        switch step.after {
        case nil: until = "'infinity'::timestamptz"
        case let after? where after.seconds != nil: until = "p.occurred_at + \(bind(after.interval, "interval"))"
        case let after?: until = "(p.occurred_at AT TIME ZONE \(zone) + \(bind(after.interval, "interval"))) AT TIME ZONE \(zone)"
        }
        let allows: String
        let windows: String
        if isSameName {
            // A candidate may itself have been reached, and is not its own successor: of its instant only others count.
            windows = """
                max(u.until) OVER (PARTITION BY u.contact_id ORDER BY u.occurred_at \
                RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING) AS latest, \
                count(u.until) OVER (PARTITION BY u.contact_id, u.occurred_at) \
                - count(u.until) OVER (PARTITION BY u.contact_id, u.occurred_at, u.id) AS others
                """
            allows = "(n.occurred_at <= n.latest OR n.others > 0)"
        } else {
            windows = "max(u.until) OVER (PARTITION BY u.contact_id ORDER BY u.occurred_at) AS latest"
            allows = "n.occurred_at <= n.latest"
        }
        return """
            SELECT n.contact_id, n.occurred_at, n.id FROM (\
            SELECT u.contact_id, u.occurred_at, u.id, u.until, \(windows) FROM (\
            SELECT p.contact_id, p.occurred_at, p.id, \(until) AS until FROM (\(reached)) p \
            UNION ALL SELECT e.contact_id, e.occurred_at, e.id, NULL FROM \(candidates)) u) n \
            WHERE n.until IS NULL AND \(allows)
            """
    }
}
