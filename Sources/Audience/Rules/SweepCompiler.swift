// What time alone has changed, in SQL: whose answer can differ between two instants, and when the next one can.
//
// Nothing is stored per contact. Between two instants an edge like "30 days ago" sweeps over the values between its two
// places; only whose value lies there can have changed sides. So a look costs what the sweep found, where an index
// serves the values, and the truth of the rest needs no evaluation.
//
// A contact that changed between the two instants was looked at when it did, and its answer of then is what the segment
// has. Both edges of "in the last 20 seconds" may have swept over its new value since, so the answers at the two ends
// say nothing of it: what counts is whether an edge has passed, or where that is not asked, whether anything was written.
internal import PostgreSQL
internal import Vocabulary

/// Statements about a rule and time.
struct CompiledSweep {
    typealias Query = (sql: String, values: [SQLValue])
    /// Ids of all contacts, and perhaps of others too, whose answer at the end differs from that at the beginning, or from
    /// that of any instant since at which something of theirs changed.
    let candidates: Query
    /// One row, one column: an instant after the end, before which time alone changes nobody's answer. NULL: never.
    let nextFlip: Query
}

extension RuleCompiler {
    /// How often is looked where an edge moves with no steady distance to now.
    static let pollSeconds = 60

    /// - Parameters:
    ///   - scope: its `now` is the end of the sweep.
    ///   - start: its beginning.
    ///   - contacts: the only ones that are asked about; `nil`: all of the workspace.
    /// - Returns: `nil` for a rule that does not read time.
    static func compileSweep(_ rule: Rule, _ scope: RuleScope, since start: Instant, among contacts: [ContactID]? = nil) -> CompiledSweep? {
        let leaves = rule.match.timedLeaves
        guard !leaves.isEmpty else { return nil }
        var finder = RuleCompiler(rule: rule, scope: scope, contacts: contacts)
        let candidates = finder.candidates(leaves, since: start)
        var clock = RuleCompiler(rule: rule, scope: scope, contacts: contacts)
        let flips = Set(leaves.flatMap { clock.nextFlips($0) } + ["NULL::timestamptz"]).sorted()
        return CompiledSweep(
            candidates: (candidates, finder.values), nextFlip: ("SELECT least(\(flips.joined(separator: ", "))) AS flip", clock.values))
    }

    private mutating func candidates(_ leaves: [Node], since start: Instant) -> String {
        var selects: [String] = []
        var differences: [String] = []
        for leaf in leaves {
            if let select = sweptEvents(leaf, since: start) {
                selects.append(select)
            } else if let swept = sweptValues(leaf, since: start) {
                differences.append(swept)
            } else {
                differences.append(difference(leaf, since: start))
                if let written = written(leaf, since: start + -Self.longestTransaction) { differences.append(written) }
            }
        }
        if !differences.isEmpty {
            let own = "c.workspace_id = \(workspace)" + among("c.id")
            selects.append("SELECT c.id AS contact_id FROM contacts c WHERE \(own) AND (\(differences.joined(separator: " OR ")))")
        }
        return selects.joined(separator: " UNION ")
    }

    private mutating func at<T>(_ instant: Instant, _ work: (inout RuleCompiler) -> T) -> T {
        let end = scope
        scope = RuleScope(workspace: end.workspace, zone: end.zone, now: instant)
        defer { scope = end }
        return work(&self)
    }

    // MARK: Candidates

    /// Contacts with a value that an edge has swept over. `nil`: edges move by days or months, or days are compared; whoever
    /// changes is looked at on the same side of those.
    private mutating func sweptValues(_ leaf: Node, since start: Instant) -> String? {
        guard case .field(let leaf) = leaf, let offsets = leaf.steadyEdges else { return nil }
        let value = FieldValue(leaf.source, leaf.type, &self).time(&self)
        let swept = offsets.map { offset in
            let (from, to) = (start + Double(offset), scope.now + Double(offset))
            return "\(value) BETWEEN \(bind(from, "timestamptz")) AND \(bind(to, "timestamptz"))"
        }
        return "(" + swept.joined(separator: " OR ") + ")"
    }

    /// Seconds by which a transaction may have begun, and dated what it wrote, before others see it.
    private static let longestTransaction = 60.0

    /// Whether something that this leaf reads was written since. `nil`: that is no matter, see `sweptValues`.
    private mutating func written(_ leaf: Node, since start: Instant) -> String? {
        func events(_ names: [String]) -> String {
            let names = bind(Set(names).sorted(), "text[]")
            return exists("events e", "e", "e.name = ANY (\(names)) AND e.received_at >= \(bind(start, "timestamptz"))")
        }
        switch leaf {
        case .history: return "(c.updated_at >= \(bind(start, "timestamptz")))"
        case .wasInSegment(let id, _):
            let moved = "h.segment_id = \(bind(id, "uuid")) AND h.occurred_at >= \(bind(start, "timestamptz"))"
            return exists("segment_changes h", "h", moved)
        case .engagement(let leaf):
            return engagement(EngagementLeaf(campaign: leaf.campaign, deed: leaf.deed, window: .since(.instant(start))))
        case .event(let leaf): return events([leaf.name])
        case .aggregate(let leaf): return events([leaf.name])
        case .sequence(let leaf): return events(leaf.steps.map(\.name))
        default: return nil
        }
    }

    /// Whose answer to this leaf differs: exact, and as costly as evaluating the leaf twice.
    private mutating func difference(_ leaf: Node, since start: Instant) -> String {
        let before = at(start) { $0.sql(leaf) }
        return "((\(before)) IS TRUE) <> ((\(sql(leaf))) IS TRUE)"
    }

    /// Contacts with an event that an edge of the window has swept over. An index holds events by name and time.
    private mutating func sweptEvents(_ leaf: Node, since start: Instant) -> String? {
        guard let (names, window) = timedEvents(leaf) else { return nil }
        let ends: [(TimeMotion?, isFirst: Bool)] = [(window.motions.from, true), (window.motions.to, false)]
        let swept = ends.filter { $0.0 != nil }.map { end -> String in
            let (a, b) = (at(start) { $0.edge(window, isFirst: end.isFirst) }, edge(window, isFirst: end.isFirst))
            return "e.occurred_at BETWEEN least(\(a), \(b)) AND greatest(\(a), \(b))"
        }
        return """
            SELECT e.contact_id FROM events e WHERE e.workspace_id = \(workspace) AND e.name = ANY (\(bind(names, "text[]")))\
            \(among("e.contact_id")) AND (\(swept.joined(separator: " OR ")))
            """
    }

    /// Names and window of a leaf about events for which time moves nothing but the window, the same for all contacts.
    private func timedEvents(_ leaf: Node) -> ([String], Window)? {
        func plain(_ names: [String], _ window: Window?, _ conditions: [Node?]) -> ([String], Window)? {
            guard let window, conditions.allSatisfy({ $0?.timedLeaves.isEmpty ?? true }), !window.readsField else { return nil }
            let motions = [window.motions.from, window.motions.to]
            return rule.zone == .contact && motions.contains(where: { $0 == .calendar || $0 == .months }) ? nil : (names, window)
        }
        return switch leaf {
        case .event(let leaf): plain([leaf.name], leaf.window, [leaf.condition])
        case .aggregate(let leaf): plain([leaf.name], leaf.window, [leaf.condition])
        case .sequence(let leaf): plain(Set(leaf.steps.map(\.name)).sorted(), leaf.window, leaf.steps.map(\.condition))
        default: nil
        }
    }

    /// The instant at which a window begins or ends. Only that end is bound: a parameter must not go unused.
    private mutating func edge(_ window: Window, isFirst: Bool) -> String {
        let half: Window =
            switch window {
            case .last(let span): isFirst ? .since(.ago(span)) : .until(.ahead(Span(amount: 0, unit: "s")))
            case .between(let from, let to): isFirst ? .since(from) : .until(to)
            default: window
            }
        let span = span(half)
        if isFirst { return span.from.map { startOfDay($0) } ?? "NULL" }
        return span.to.map { $0.isDay ? endOfDay($0) : $0.sql } ?? "NULL"
    }

    /// Whether candidates are whoever an edge has swept over, for all instants between.
    func sweepsEdges(_ leaf: Node) -> Bool {
        if case .field(let field) = leaf { field.steadyEdges != nil } else { timedEvents(leaf) != nil }
    }

    // MARK: The next flip

    /// Whether a window that stands still began long ago: then time brings it nothing more.
    private func hasOpened(_ leaf: Node) -> Bool {
        let window: Window
        switch leaf {
        case .history(let history) where (history.was ?? []).allSatisfy { $0.operation.motions.isEmpty }: window = history.window
        case .wasInSegment(_, let within): window = within
        default: return false
        }
        guard !window.readsTime else { return false }
        switch window {
        case .between(.instant(let start), _), .since(.instant(let start)): return start <= scope.now
        // A day has begun everywhere on Earth when the next one has begun in UTC.
        case .between(.day(let day), _), .since(.day(let day)):
            return Int64(day.daysSince1970 + 1) * 86_400_000_000 <= scope.now.microseconds
        default: return false
        }
    }

    private mutating func nextFlips(_ leaf: Node) -> [String] {
        if let (names, window) = timedEvents(leaf) {
            return [window.motions.from, window.motions.to].compactMap { $0 }.flatMap { motion in
                guard case .elapsed(let offset) = motion else { return [motion == .calendar ? endOfDay(offset: 0) : poll] }
                let edge = bind(scope.now + Double(offset), "timestamptz")
                return names.map { name in
                    let event = "e.workspace_id = \(workspace) AND e.name = \(bind(name, "text"))" + among("e.contact_id")
                    return "(SELECT min(e.occurred_at) FROM events e WHERE \(event) AND e.occurred_at >= \(edge))" + leaving(offset)
                }
            }
        }
        guard case .field(let leaf) = leaf else { return hasOpened(leaf) ? [] : [poll] }
        return leaf.operation.motions.map { motion in
            guard case .elapsed(let offset) = motion else { return motion == .calendar ? endOfDay(offset: 0) : poll }
            guard leaf.type == .time, leaf.operation.comparesInstants else { return endOfDay(offset: offset) }
            let edge = bind(scope.now + Double(offset), "timestamptz")
            let own = "c.workspace_id = \(workspace)" + among("c.id")
            let value = FieldValue(leaf.source, leaf.type, &self).time(&self)
            return "(SELECT min(\(value)) FROM contacts c WHERE \(own) AND \(value) >= \(edge))" + leaving(offset)
        }
    }

    /// From a value to when the edge has passed it. At the edge a value is still inside; a microsecond later it is not.
    private mutating func leaving(_ offset: Int) -> String { " + \(bind("\(-offset) seconds 1 microsecond", "interval"))" }

    private var poll: String { mutating get { bind(scope.now + Double(Self.pollSeconds), "timestamptz") } }

    /// When the day ends that it is `offset` seconds from now. Wherever contacts are, days end at a quarter of an hour.
    private mutating func endOfDay(offset: Int) -> String {
        let quarter = Instant(microseconds: ((scope.now + Double(offset)).microseconds / 900_000_000 + 1) * 900_000_000)
        guard rule.zone != .contact else { return bind(quarter + Double(-offset), "timestamptz") }
        let edge = bind(scope.now + Double(offset), "timestamptz")
        let end = "((date_trunc('day', \(edge) AT TIME ZONE \(zone)) + '1 day') AT TIME ZONE \(zone))"
        return "\(end) - \(bind("\(offset) seconds", "interval"))"
    }
}

extension FieldLeaf {
    /// Seconds from now to each edge, where instants are compared with edges that move steadily.
    fileprivate var steadyEdges: [Int]? {
        guard type == .time, operation.comparesInstants else { return nil }
        var offsets: [Int] = []
        for motion in operation.motions {
            guard case .elapsed(let offset) = motion else { return nil }
            offsets.append(offset)
        }
        return offsets
    }
}
