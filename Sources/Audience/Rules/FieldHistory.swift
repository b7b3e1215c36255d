// What a field was: `{"field","was":v,"within":W}` and `{"field","changed":W}`.
internal import JSON

/// A question about the past values of one field. A contact has its first value from `created_at` on; each change is
/// a row of `contact_changes`.
public struct HistoryLeaf: Sendable {
    public let source: FieldSource
    public let type: FieldType
    /// The field had, at a moment of the window, a value for which one of these holds. A moment at which it changed
    /// counts for the value before and the one after. Tags are asked for one of the wanted tags, dates and times for the
    /// same day, or for the same instant where the rule names one.
    ///
    /// `nil`: it was changed in the window, to whatever.
    public let was: [FieldLeaf]?
    public let window: Window

    /// What `contact_changes` calls the field: a column, or `attributes.KEY` of the outermost key.
    public let key: String
    /// Keys below the recorded value.
    public let path: [String]
}

extension RuleParser {
    /// Columns whose changes are not recorded.
    private static let withoutHistory = ["created_at", "updated_at", "last_contacted_at"]

    mutating func historyLeaf(_ object: JSONObject, _ pointer: String) -> Node {
        if isInsideEvent {
            faults.add(pointer, "not_here", "A property of an event has no history.")
            return .all([])
        }
        let known = object["changed"] != nil ? ["field", "changed"] : ["field", "was", "within", "case"]
        onlyMembers(object, known, pointer)
        let key = text(object["field"], pointer + "/field", 300)
        guard !key.isEmpty, let (source, type) = resolve(key, object, pointer) else { return .all([]) }
        let recorded: String
        var path: [String] = []
        switch source {
        case .column(let name) where !Self.withoutHistory.contains(name): recorded = name
        case .attribute(let keys): (recorded, path) = ("attributes.\(keys[0])", Array(keys.dropFirst()))
        default:
            faults.add(pointer + "/field", "no_history", "Past values of \(quoted(key)) are not recorded.")
            return .all([])
        }
        if let changed = object["changed"] {
            let window = window(changed, pointer + "/changed")
            return .history(HistoryLeaf(source: source, type: type, was: nil, window: window, key: recorded, path: path))
        }
        let isSensitive = isCaseSensitive(object, pointer)
        let tests = pastValues(object["was"] ?? .null, type, pointer + "/was").map {
            FieldLeaf(
                source: source, type: type,
                operation: recorded == "phone" ? withNumbers($0, object["was"], pointer + "/was") : $0, isCaseSensitive: isSensitive,
                missingMatches: nil)
        }
        guard let within = object["within"] else {
            faults.add(pointer + "/within", "required", "`was` needs a window.")
            return .all([])
        }
        let window = pastWindow(within, pointer + "/within")
        return .history(HistoryLeaf(source: source, type: type, was: tests, window: window, key: recorded, path: path))
    }

    /// A value or several, compared like `is` of the field's type.
    private mutating func pastValues(_ value: JSONValue, _ type: FieldType, _ place: String) -> [Operation] {
        func each(_ list: [JSONValue]) -> [(JSONValue, String)] {
            value.array == nil ? [(value, place)] : list.enumerated().map { ($1, "\(place)/\($0)") }
        }
        let values = each(value.array == nil ? [value] : Array(list(value, place).prefix(RuleLimits.values)))
        switch type {
        case .text, .email, .phone: return [.textIs(values.map { text($0, $1, 10_000) })]
        case .tags: return [.tagsAny(values.map { text($0, $1, 10_000) })]
        case .number, .money: return [.numberIs(values.map { number($0, $1) })]
        case .boolean:
            return values.compactMap { value, place in
                if let truth = value.bool { return truth ? .isTrue : .isFalse }
                faults.add(place, "wrong_type", "Expected true or false.")
                return nil
            }
        case .date: return values.map { .timeOn(time($0, $1)) }
        case .time:
            return values.map { value, place in
                let point = time(value, place)
                if case .day = point { return .timeOn(point) }
                return .timeWithin(.between(point, point))
            }
        }
    }

    /// A window in which something held. One that still lies ahead has no moment yet, so the clock may open it.
    mutating func pastWindow(_ value: JSONValue, _ place: String) -> Window {
        let window = window(value, place)
        if window.mayOpen { dependencies.readsTime = true }
        return window
    }
}

extension RuleCompiler {
    mutating func history(_ leaf: HistoryLeaf) -> String {
        let span = span(leaf.window)
        let key = "h.key = \(bind(leaf.key, "text"))"
        let isWithin = isWithin("h.changed_at", span)
        guard let was = leaf.was else {
            let (before, after) = (missingAsNull("h.before", leaf.path), missingAsNull("h.after", leaf.path))
            return exists("contact_changes h", "h", "\(key) AND \(isWithin) AND \(before) IS DISTINCT FROM \(after)")
        }
        func holds(_ value: FieldValue) -> String { "(" + was.map { testOfValue($0.operation, $0, value) }.joined(separator: " OR ") + ")" }
        let now = holds(FieldValue(leaf.source, leaf.type, &self))
        let before = holds(FieldValue(json: "h.before", leaf.path, leaf.type, &self))
        let after = holds(FieldValue(json: "h.after", leaf.path, leaf.type, &self))
        let changed = exists("contact_changes h", "h", "\(key) AND \(isWithin) AND (\(before) OR \(after))")
        guard let end = span.to else { return during(leaf.window, span, [now, changed]) }
        // Without a change after the end, the value at the end is the present one; else it is what that change replaced.
        let later = "\(key) AND \(isAfter("h.changed_at", end))"
        let existed = isBefore("c.created_at", endOf: span)
        let kept = "(\(now) AND \(existed) AND NOT \(exists("contact_changes h", "h", later)))"
        let replaced = """
            (\(existed) AND EXISTS (SELECT FROM (SELECT DISTINCT ON (h.contact_id) h.contact_id, h.before FROM \(relation("contact_changes h")) \
            WHERE h.workspace_id = \(workspace) AND \(later)\(among("h.contact_id")) ORDER BY h.contact_id, h.changed_at) h \
            WHERE h.contact_id = c.id AND \(before)))
            """
        return during(leaf.window, span, [kept, changed, replaced])
    }

    /// Any of the tests, and there was a moment of the window: one that lies ahead, or ends before it begins, has none.
    mutating func during(_ window: Window, _ span: TimeSpan, _ tests: [String]) -> String {
        let test = "(" + tests.joined(separator: " OR ") + ")"
        switch window {
        case .last, .until: return test
        case .calendar(let offset, _) where offset <= 0: return test
        default: break
        }
        guard let from = span.from else { return test }
        let start = startOfDay(from)
        return "(\(start) <= \(now) AND \(isBefore(start, endOf: span)) AND \(test))"
    }

    /// An absent value, null and empty text are all missing: going from one to the other changes nothing.
    private mutating func missingAsNull(_ json: String, _ path: [String]) -> String {
        let value = path.isEmpty ? json : "(\(json) #> \(bind(path, "text[]")))"
        return "nullif(nullif(\(value), 'null'), '\"\"')"
    }
}
