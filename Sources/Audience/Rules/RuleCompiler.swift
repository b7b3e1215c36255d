// From a rule to one SQL predicate over `contacts c`. No part of a rule reaches the text: values, keys and names
// are parameters.
//
// SQL's third truth value is let through only where it counts as false: under AND and OR at the top of a WHERE.
// Every negation is `IS NOT TRUE`, so the complement of a positive is exact, missing values included.
internal import JSON
public import PostgreSQL
public import Vocabulary

/// A predicate and its parameters. `$1` is the instant of the evaluation, `$2` the workspace's zone.
public struct CompiledRule: Sendable {
    /// True or not true (false or NULL) for a row `c` of contacts.
    public let predicate: String
    public let values: [SQLValue]
}

public struct RuleCompiler {
    private var values: [SQLValue]
    private let zone: String
    /// What fields are columns of: `c`, or an event `e`.
    private var row = "c"

    /// - Parameters:
    ///   - now: the one instant of the whole evaluation.
    ///   - workspaceZone: IANA name.
    public static func compile(_ rule: Rule, now: Instant, workspaceZone: String) -> CompiledRule {
        var compiler = RuleCompiler(rule, now, workspaceZone)
        let predicate = compiler.sql(rule.match)
        return CompiledRule(predicate: predicate, values: compiler.values)
    }

    private init(_ rule: Rule, _ now: Instant, _ workspaceZone: String) {
        switch rule.zone {
        case .named(let name):
            values = [.text(now.description), .text(name)]
            zone = "$2::text"
        case .workspace:
            values = [.text(now.description), .text(workspaceZone)]
            zone = "$2::text"
        case .contact:
            values = [.text(now.description), .text(workspaceZone)]
            zone = "coalesce(c.timezone, $2::text)"
        }
    }

    private mutating func bind(_ value: some SQLEncodable, _ type: String) -> String {
        values.append(value.sqlValue)
        return "$\(values.count)::\(type)"
    }

    // MARK: Nodes

    private mutating func sql(_ node: Node) -> String {
        switch node {
        case .all(let nodes): return joined(nodes, " AND ", empty: "true")
        case .any(let nodes): return joined(nodes, " OR ", empty: "false")
        case .none(let nodes): return "(\(joined(nodes, " OR ", empty: "false")) IS NOT TRUE)"
        case .not(let node): return "(\(sql(node)) IS NOT TRUE)"
        case .atLeast(let wanted, let nodes):
            if nodes.isEmpty { return wanted == 0 ? "true" : "false" }
            let count = nodes.map { "(\(sql($0)) IS TRUE)::int" }.joined(separator: " + ")
            return "(\(count) >= \(bind(wanted, "int")))"
        case .field(let leaf): return field(leaf)
        case .event(let leaf): return event(leaf)
        case .aggregate(let leaf): return aggregate(leaf)
        case .segment(let id):
            return "(c.id IN (SELECT sm.contact_id FROM segment_members sm WHERE sm.workspace_id = current_workspace() AND sm.segment_id = \(bind(id, "uuid"))))"
        case .wasInSegment(let id, let window):
            let segment = bind(id, "uuid")
            let (start, end) = bounds(window)
            // A member at any moment of the window: entered before its end and not gone before its start.
            return """
                (c.id IN (SELECT sm.contact_id FROM segment_members sm WHERE sm.workspace_id = current_workspace() \
                AND sm.segment_id = \(segment) AND sm.entered_at < \(end) \
                UNION ALL SELECT sc.contact_id FROM segment_changes sc WHERE sc.workspace_id = current_workspace() \
                AND sc.segment_id = \(segment) AND ((sc.change = 'entered' AND sc.occurred_at >= \(start) AND sc.occurred_at < \(end)) \
                OR (sc.change = 'exited' AND sc.occurred_at >= \(start) AND EXISTS (SELECT FROM segment_changes se \
                WHERE se.workspace_id = current_workspace() AND se.segment_id = sc.segment_id AND se.contact_id = sc.contact_id \
                AND se.change = 'entered' AND se.occurred_at < \(end) AND se.occurred_at <= sc.occurred_at)))))
                """
        case .list(let id):
            return "(c.id IN (SELECT lm.contact_id FROM list_members lm WHERE lm.workspace_id = current_workspace() AND lm.list_id = \(bind(id, "uuid"))))"
        case .consent(let channel, let state):
            let channel = bind(channel, "text")
            if state == "unknown" {
                return "((c.id IN (SELECT k.contact_id FROM consents k WHERE k.workspace_id = current_workspace() AND k.channel = \(channel))) IS NOT TRUE)"
            }
            return "(c.id IN (SELECT k.contact_id FROM consents k WHERE k.workspace_id = current_workspace() AND k.channel = \(channel) AND k.state = \(bind(state, "text"))))"
        case .bucket(let salt, let from, let to):
            return "(bucket_of(\(bind(salt, "text")), c.id) BETWEEN \(bind(from, "int")) AND \(bind(to, "int")))"
        }
    }

    private mutating func joined(_ nodes: [Node], _ separator: String, empty: String) -> String {
        nodes.isEmpty ? empty : "(" + nodes.map { sql($0) }.joined(separator: separator) + ")"
    }

    // MARK: Fields

    private mutating func field(_ leaf: FieldLeaf) -> String {
        let value = FieldValue(source: leaf.source, type: leaf.type, row: row, bind: &values)
        let test = sql(leaf.operation, value, leaf.isCaseSensitive)
        guard let missingMatches = leaf.missingMatches else { return test }
        let known = value.isKnown(zone)
        return missingMatches ? "(\(test) OR (\(known)) IS NOT TRUE)" : "(\(test) AND (\(known)) IS TRUE)"
    }

    private mutating func sql(_ operation: Operation, _ value: FieldValue, _ sensitive: Bool) -> String {
        switch operation {
        case .complement(let positive): return "(\(sql(positive, value, sensitive)) IS NOT TRUE)"
        case .isKnown: return "(\(value.isKnown(zone)))"
        case .textIs(let texts): return textIs(texts, value, sensitive)
        case .textContains(let texts, let all):
            let text = value.text
            let tests = texts.map { "strpos(\(fold(text, sensitive)), \(fold(bind($0, "text"), sensitive))) > 0" }
            if tests.isEmpty { return all ? "(\(value.isKnown(zone)))" : "false" }
            return "(" + tests.joined(separator: all ? " AND " : " OR ") + ")"
        case .textStartsWith(let start):
            return "(starts_with(\(fold(value.text, sensitive)), \(fold(bind(start, "text"), sensitive))))"
        case .textEndsWith(let end):
            let end = fold(bind(end, "text"), sensitive)
            return "(right(\(fold(value.text, sensitive)), length(\(end))) = \(end))"
        case .textMatches(let pattern): return "(\(value.text) \(sensitive ? "~" : "~*") \(bind(pattern, "text")))"
        case .countryIs(let countries): return country(countries, value)
        case .domainIs(let domains):
            return "(split_part(lower(\(value.text)), '@', 2) = ANY (lower_all(\(bind(domains, "text[]")))))"
        case .numberIs(let numbers):
            if numbers.count == 1 { return "(\(value.number) = \(bind(numbers[0], "numeric")))" }
            return "(\(value.number) = ANY (\(bind(numbers, "numeric[]"))))"
        case .numberCompares(let symbol, let number): return "(\(value.number) \(symbol) \(bind(number, "numeric")))"
        case .numberBetween(let a, let b):
            return "(\(value.number) BETWEEN \(bind(a, "numeric")) AND \(bind(b, "numeric")))"
        case .isTrue: return "(\(value.boolean))"
        case .isFalse: return "(NOT \(value.boolean))"
        case .timeOn(let time):
            return "((\(value.time(zone)) AT TIME ZONE \(zone))::date = \(day(time)))"
        case .timeBefore(let time): return "(\(value.time(zone)) < \(instant(time)))"
        case .timeAfter(let time):
            return time.isDay ? "(\(value.time(zone)) >= \(dayAfter(time)))" : "(\(value.time(zone)) > \(instant(time)))"
        case .timeWithin(let window):
            let (start, end) = bounds(window)
            let time = value.time(zone)
            return "(\(time) >= \(start) AND \(time) < \(end))"
        case .anniversaryWithin(let window):
            let (start, end) = bounds(window)
            let first = "(\(start) AT TIME ZONE \(zone))::date"
            let last = "((\(end) - interval '1 microsecond') AT TIME ZONE \(zone))::date"
            let date = "(\(value.time(zone)) AT TIME ZONE \(zone))::date"
            return """
                (EXISTS (SELECT FROM generate_series(extract(year FROM \(first))::int, \
                least(extract(year FROM \(last))::int, extract(year FROM \(first))::int + 400)) y \
                WHERE anniversary(\(date), y) BETWEEN \(first) AND \(last)))
                """
        case .dayOfWeekIs(let days):
            return "(extract(isodow FROM \(value.time(zone)) AT TIME ZONE \(zone))::int = ANY (\(bind(days, "int[]"))))"
        case .hourIs(let hours):
            return "(extract(hour FROM \(value.time(zone)) AT TIME ZONE \(zone))::int = ANY (\(bind(hours, "int[]"))))"
        case .tagsAny(let tags): return "(\(value.tags) && lower_all(\(bind(tags, "text[]"))))"
        case .tagsAll(let tags): return "(\(value.tags) @> lower_all(\(bind(tags, "text[]"))))"
        case .tagsExactly(let tags):
            let wanted = "lower_all(\(bind(tags, "text[]")))"
            return "(\(value.tags) @> \(wanted) AND \(value.tags) <@ \(wanted))"
        case .tagsEmpty: return "(coalesce(cardinality(\(value.tags)), 0) = 0)"
        case .tagsSize(let count): return "(\(self.count("coalesce(cardinality(\(value.tags)), 0)", count)))"
        }
    }

    private mutating func textIs(_ texts: [String], _ value: FieldValue, _ sensitive: Bool) -> String {
        if texts.isEmpty { return "false" }
        // An array's or an object's text begins with its bracket: only values that begin so need the careful reading.
        let plain = !texts.contains { $0.hasPrefix("[") || $0.hasPrefix("{") }
        let text = plain ? value.looseText : value.text
        if texts.count == 1 { return "(\(fold(text, sensitive)) = \(fold(bind(texts[0], "text"), sensitive)))" }
        let list = bind(texts, "text[]")
        return "(\(fold(text, sensitive)) = ANY (\(sensitive ? list : "lower_all(\(list))")))"
    }

    /// The database's ctype is C.UTF-8: simple lower-casing, the same on every server.
    private func fold(_ sql: String, _ sensitive: Bool) -> String { sensitive ? sql : "lower(\(sql))" }

    private mutating func country(_ countries: [String], _ value: FieldValue) -> String {
        if countries.isEmpty { return "false" }
        let tests = countries.map { country -> String in
            let plan = NumberPlan.of(country)
            var test = "\(value.text) LIKE ANY (\(bind(plan.prefixes.map { $0 + "%" }, "text[]")))"
            if !plan.except.isEmpty { test += " AND NOT \(value.text) LIKE ANY (\(bind(plan.except.map { $0 + "%" }, "text[]")))" }
            return "(\(test))"
        }
        return "(" + tests.joined(separator: " OR ") + ")"
    }

    private mutating func count(_ expression: String, _ condition: CountCondition) -> String {
        switch condition {
        case .compares(let symbol, let number): "\(expression) \(symbol) \(bind(number, "bigint"))"
        case .between(let a, let b): "\(expression) BETWEEN \(bind(a, "bigint")) AND \(bind(b, "bigint"))"
        }
    }

    // MARK: Events

    /// Contacts with a number of events. Where none would do, it is those with a wrong number that are left out:
    /// whoever has no event is in no group.
    private mutating func event(_ leaf: EventLeaf) -> String {
        let source = events(leaf.name, leaf.window, leaf.condition, leaf.which)
        let zeroHolds = leaf.count.holds(0)
        let condition = count("count(*)", leaf.count)
        let having = zeroHolds ? "(\(condition)) IS NOT TRUE" : condition
        let groups = "(c.id IN (SELECT e.contact_id FROM \(source) GROUP BY e.contact_id HAVING \(having)))"
        return zeroHolds ? "(\(groups) IS NOT TRUE)" : groups
    }

    private mutating func aggregate(_ leaf: AggregateLeaf) -> String {
        let source = events(leaf.name, leaf.window, leaf.condition, .any)
        var property = "e.properties"
        if !leaf.property.isEmpty { property = "(e.properties #> \(bind(leaf.property, "text[]")))" }
        let number = "number_of(\(property))"
        let result: String
        switch leaf.function {
        case .sum: result = "coalesce(sum(\(number)), 0)"
        case .avg: result = "avg(\(number))"
        case .min: result = "min(\(number))"
        case .max: result = "max(\(number))"
        case .count: result = leaf.property.isEmpty ? "count(*)" : "count(text_of(\(property)))"
        case .distinct: result = "count(DISTINCT text_of(\(property)))"
        }
        let value = FieldValue(number: "(\(result))::numeric")
        let condition = sql(leaf.operation, value, false)
        let groups = { (having: String) in "(c.id IN (SELECT e.contact_id FROM \(source) GROUP BY e.contact_id HAVING \(having)))" }
        // Without events a sum and a count are 0; there is no average, least or greatest of nothing.
        guard [.sum, .count, .distinct].contains(leaf.function) else {
            let none = FieldValue(number: "NULL::numeric")
            return "(\(groups(condition)) OR ((\(groups("true")) IS NOT TRUE) AND \(sql(leaf.operation, none, false))))"
        }
        let zero = FieldValue(number: "0::numeric")
        return "(\(groups(condition)) OR ((\(groups("true")) IS NOT TRUE) AND \(sql(leaf.operation, zero, false))))"
    }

    /// `events e …` up to its WHERE.
    private mutating func events(_ name: String, _ window: Window?, _ condition: Node?, _ which: EventLeaf.Which) -> String {
        var tests: [String] = []
        if let window {
            // Zones of contacts cannot be read here: the set is made before the contact is looked at.
            let (start, end) = bounds(window, zone: "$2::text")
            tests.append("e.occurred_at >= \(start) AND e.occurred_at < \(end)")
        }
        if let condition {
            let outside = row
            row = "e"
            tests.append(sql(condition))
            row = outside
        }
        let named = "e.workspace_id = current_workspace() AND e.name = \(bind(name, "text"))"
        switch which {
        case .any: return "events e WHERE " + ([named] + tests).joined(separator: " AND ")
        case .first, .last:
            // The first of all its events is looked at, and only then whether it fits.
            let order = which == .first ? "ASC" : "DESC"
            let source = "(SELECT DISTINCT ON (e.contact_id) e.* FROM events e WHERE \(named) ORDER BY e.contact_id, e.occurred_at \(order), e.id \(order)) e"
            return source + (tests.isEmpty ? " WHERE true" : " WHERE " + tests.joined(separator: " AND "))
        }
    }

    // MARK: Time

    private let now = "$1::timestamptz"

    private mutating func instant(_ time: TimeExpression, zone given: String? = nil) -> String {
        let zone = given ?? self.zone
        switch time {
        case .day(let day): return "(\(bind(day, "date"))::timestamp AT TIME ZONE \(zone))"
        case .instant(let instant): return bind(instant, "timestamptz")
        case .ago(let span): return shifted(now, span, "-", zone)
        case .ahead(let span): return shifted(now, span, "+", zone)
        case .startOf(let unit, let plus):
            let start = "date_trunc(\(bind(unit, "text")), \(now) AT TIME ZONE \(zone))"
            guard let plus else { return "(\(start) AT TIME ZONE \(zone))" }
            // Days of a calendar, not 24 hours: a day before a change of clocks is 23 or 25 hours long.
            return "((\(start) + \(bind(calendarInterval(plus), "interval"))) AT TIME ZONE \(zone))"
        case .field(let source):
            let type: FieldType = if case .column = source { .time } else { .time }
            return FieldValue(source: source, type: type, row: row, bind: &values).time(zone)
        }
    }

    private mutating func shifted(_ start: String, _ span: Span, _ sign: String, _ zone: String) -> String {
        let interval = bind(span.interval, "interval")
        return span.isCalendar
            ? "(((\(start) AT TIME ZONE \(zone)) \(sign) \(interval)) AT TIME ZONE \(zone))" : "(\(start) \(sign) \(interval))"
    }

    private func calendarInterval(_ span: Span) -> String {
        switch span.unit {
        case "d": "\(span.amount) days"
        case "w": "\(span.amount * 7) days"
        default: span.interval
        }
    }

    private mutating func day(_ time: TimeExpression) -> String {
        if case .day(let day) = time { return bind(day, "date") }
        return "(\(instant(time)) AT TIME ZONE \(zone))::date"
    }

    private mutating func dayAfter(_ time: TimeExpression, zone given: String? = nil) -> String {
        let zone = given ?? self.zone
        if case .day(let day) = time { return "((\(bind(day, "date")) + 1)::timestamp AT TIME ZONE \(zone))" }
        return instant(time, zone: zone)
    }

    /// Start, included, and end, excluded. A day as an end is included whole.
    private mutating func bounds(_ window: Window, zone given: String? = nil) -> (String, String) {
        let zone = given ?? self.zone
        switch window {
        case .last(let span): return (shifted(now, span, "-", zone), "(\(now) + interval '1 microsecond')")
        case .calendar(let offset, let unit):
            let unitText = bind(unit, "text")
            let step = unit == "quarter" ? "3 months" : "1 \(unit)"
            let start = "date_trunc(\(unitText), \(now) AT TIME ZONE \(zone))"
            let from = "\(start) + \(bind(offset, "int")) * \(bind(step, "interval"))"
            let to = "\(start) + \(bind(offset + 1, "int")) * \(bind(step, "interval"))"
            return ("((\(from)) AT TIME ZONE \(zone))", "((\(to)) AT TIME ZONE \(zone))")
        case .between(let a, let b):
            let end = b.isDay ? dayAfter(b, zone: zone) : "(\(instant(b, zone: zone)) + interval '1 microsecond')"
            return (instant(a, zone: zone), end)
        case .since(let time): return (instant(time, zone: zone), "'infinity'::timestamptz")
        case .until(let time):
            return ("'-infinity'::timestamptz", time.isDay ? dayAfter(time, zone: zone) : "(\(instant(time, zone: zone)) + interval '1 microsecond')")
        }
    }
}
