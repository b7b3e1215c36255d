// Operators on fields, in SQL. A test is true, false, or NULL where its value is missing, which counts as false.
internal import PostgreSQL
internal import Vocabulary

extension RuleCompiler {
    mutating func field(_ leaf: FieldLeaf) -> String {
        let value = FieldValue(leaf.source, leaf.type, &self)
        let test = self.test(leaf.operation, leaf, value)
        guard let missingMatches = leaf.missingMatches else { return test }
        let known = self.test(.isKnown, leaf, value)
        return missingMatches ? "(\(test) OR \(complement(known)))" : "(\(test) AND \(known))"
    }

    private mutating func test(_ operation: Operation, _ leaf: FieldLeaf, _ value: FieldValue) -> String {
        if case .complement(let positive) = operation { return complement(test(positive, leaf, value)) }
        // A row beside the contact: a question about its existence is one join for all contacts, and false without it.
        switch leaf.source {
        case .score(let model):
            let row = "v.model_id = \(bind(model, "uuid"))"
            return exists("contact_scores v", "v", "\(row) AND \(testOfValue(operation, leaf, value))")
        case .rfm: return exists("contact_rfm v", "v", testOfValue(operation, leaf, value))
        default: return testOfValue(operation, leaf, value)
        }
    }

    mutating func testOfValue(_ operation: Operation, _ leaf: FieldLeaf, _ value: FieldValue) -> String {
        switch operation {
        case .isKnown: return value.isKnown(&self)
        case .textIs, .textContains, .textStartsWith, .textEndsWith, .textMatches, .countryIs, .domainIs:
            return text(operation, value, leaf.isCaseSensitive)
        case .numberIs, .numberCompares, .numberBetween: return number(operation, value.number)
        case .isTrue: return "\(value.boolean)"
        case .isFalse: return "(NOT \(value.boolean))"
        case .tagsAny, .tagsAll, .tagsExactly, .tagsEmpty, .tagsSize: return tags(operation, value, leaf.isCaseSensitive)
        default: return leaf.type == .date ? date(operation, value) : time(operation, value)
        }
    }

    // MARK: Text

    private mutating func text(_ operation: Operation, _ value: FieldValue, _ sensitive: Bool) -> String {
        switch operation {
        case .textIs(let texts):
            let text = fold(texts.contains(where: mayBeJSON) ? value.text : value.looseText, sensitive)
            if texts.count == 1 { return "(\(text) = \(fold(bind(texts[0], "text"), sensitive)))" }
            return "(\(text) = ANY (\(foldAll(texts, sensitive))))"
        case .textContains(let texts, let all): return like(texts.map { "%\(literal($0))%" }, all, texts, value, sensitive)
        case .textStartsWith(let text): return like([literal(text) + "%"], false, [text], value, sensitive)
        case .textEndsWith(let text): return like(["%" + literal(text)], false, [text], value, sensitive)
        case .textMatches(let pattern): return "(\(value.text) \(sensitive ? "~" : "~*") \(bind(pattern, "text")))"
        case .domainIs(let domains): return "(split_part(lower(\(value.text)), '@', 2) = ANY (\(foldAll(domains, false))))"
        case .countryIs(let countries): return country(countries, value)
        default: preconditionFailure("not an operator of texts")
        }
    }

    /// Patterns in one pass over the text, however many there are.
    private mutating func like(
        _ patterns: [String], _ all: Bool, _ texts: [String], _ value: FieldValue, _ sensitive: Bool
    ) -> String {
        let careful = texts.contains(where: mayBeJSON)
        let text = fold(careful ? value.text : value.looseText, sensitive)
        let test =
            patterns.count == 1
            ? "\(text) LIKE \(fold(bind(patterns[0], "text"), sensitive))"
            : "\(text) LIKE \(all ? "ALL" : "ANY") (\(foldAll(patterns, sensitive)))"
        // What is inside an array or an object is not text of this field.
        guard !careful, let json = value.json else { return "(\(test))" }
        return "(\(test) AND jsonb_typeof(\(json)) <> ALL ('{array,object}'))"
    }

    /// Whether the loose text of a number, array or object could equal or begin with this text: those are written
    /// in more than one way, so they must be read carefully. Anything else saves that.
    private func mayBeJSON(_ text: String) -> Bool {
        text.hasPrefix("[") || text.hasPrefix("{")
            || text.utf8.allSatisfy { (48...57).contains($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") }
    }

    /// `%`, `_` and `\` mean themselves.
    private func literal(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            if scalar == "%" || scalar == "_" || scalar == "\\" { escaped.unicodeScalars.append("\\") }
            escaped.unicodeScalars.append(scalar)
        }
        return escaped
    }

    /// The database's ctype is C.UTF-8, which migration 0021 makes sure of: simple lower-casing, the same everywhere.
    private func fold(_ sql: String, _ sensitive: Bool) -> String { sensitive ? sql : "lower(\(sql))" }

    private mutating func foldAll(_ texts: [String], _ sensitive: Bool) -> String {
        let list = bind(texts, "text[]")
        return sensitive ? list : "lower_all(\(list))"
    }

    private mutating func country(_ countries: [String], _ value: FieldValue) -> String {
        let tests = countries.map { country -> String in
            let plan = NumberPlan.of(country)
            var test = "\(value.text) LIKE ANY (\(bind(plan.prefixes.map { $0 + "%" }, "text[]")))"
            if !plan.except.isEmpty { test += " AND NOT \(value.text) LIKE ANY (\(bind(plan.except.map { $0 + "%" }, "text[]")))" }
            return "(\(test))"
        }
        return tests.isEmpty ? "false" : "(" + tests.joined(separator: " OR ") + ")"
    }

    // MARK: Numbers

    mutating func number(_ operation: Operation, _ value: String) -> String {
        switch operation {
        case .complement(let positive): return complement(number(positive, value))
        case .isKnown: return "(\(value) IS NOT NULL)"
        case .numberIs(let numbers):
            if numbers.count == 1 { return "(\(value) = \(bind(numbers[0], "numeric")))" }
            return "(\(value) = ANY (\(bind(numbers, "numeric[]"))))"
        case .numberCompares(let symbol, let number): return "(\(value) \(symbol) \(bind(number, "numeric")))"
        case .numberBetween(let low, let high):
            // A range reads the value once, where BETWEEN reads it twice.
            return "(\(value) <@ numrange(\(bind(low, "numeric")), \(bind(high, "numeric")), '[]'))"
        default: preconditionFailure("not an operator of numbers")
        }
    }

    mutating func count(_ expression: String, _ condition: CountCondition) -> String {
        switch condition {
        case .compares(let symbol, let number): "\(expression) \(symbol) \(bind(number, "bigint"))"
        case .between(let low, let high): "\(expression) BETWEEN \(bind(low, "bigint")) AND \(bind(high, "bigint"))"
        }
    }

    // MARK: Times and days

    private mutating func time(_ operation: Operation, _ value: FieldValue) -> String {
        let time = value.time(&self)
        switch operation {
        case .timeOn(let wanted):
            let day = TimePoint(sql: day(point(wanted)), isDay: true)
            return "(\(time) >= \(startOfDay(day)) AND \(time) < \(endOfDay(day)))"
        case .timeBefore(let wanted): return "(\(time) < \(startOfDay(point(wanted))))"
        case .timeAfter(let wanted): return "(\(isAfter(time, point(wanted))))"
        case .timeWithin(let window): return "(\(isWithin(time, span(window))))"
        case .anniversaryWithin(let window): return anniversary("(\(time) AT TIME ZONE \(zone))::date", window)
        case .dayOfWeekIs(let days):
            return "(extract(isodow FROM \(time) AT TIME ZONE \(zone))::int = ANY (\(bind(days, "int[]"))))"
        case .hourIs(let hours):
            return "(extract(hour FROM \(time) AT TIME ZONE \(zone))::int = ANY (\(bind(hours, "int[]"))))"
        default: preconditionFailure("not an operator of times")
        }
    }

    /// A date is a day of the calendar and has no instant: it is compared with the days on which instants fall.
    private mutating func date(_ operation: Operation, _ value: FieldValue) -> String {
        let date = value.date(&self)
        switch operation {
        case .timeOn(let wanted): return "(\(date) = \(day(point(wanted))))"
        case .timeBefore(let wanted): return "(\(date) < \(day(point(wanted))))"
        case .timeAfter(let wanted): return "(\(date) > \(day(point(wanted))))"
        case .timeWithin(let window):
            let span = span(window)
            let start = span.from.map { "\(date) >= \(day($0))" }
            let end = span.to.map { "\(date) <= \(day($0))" }
            return "(" + [start, end].compactMap { $0 }.joined(separator: " AND ") + ")"
        case .anniversaryWithin(let window): return anniversary(date, window)
        case .dayOfWeekIs(let days): return "(extract(isodow FROM \(date))::int = ANY (\(bind(days, "int[]"))))"
        case .hourIs(let hours): return "(CASE WHEN \(date) IS NOT NULL THEN 0 END = ANY (\(bind(hours, "int[]"))))"
        default: preconditionFailure("not an operator of dates")
        }
    }

    private mutating func anniversary(_ date: String, _ window: Window) -> String {
        let span = span(window)
        guard let from = span.from, let to = span.to else {
            // Without one of its ends it holds an anniversary of every day, if its other end is known.
            let end = span.from ?? span.to
            return "(\(date) IS NOT NULL\(end.map { " AND \($0.sql) IS NOT NULL" } ?? ""))"
        }
        return "(next_anniversary(\(date), \(day(from))) <= \(day(to)))"
    }

    // MARK: Tags

    /// Without a value there are no tags, which is what `is_empty` and `size` ask.
    private mutating func tags(_ operation: Operation, _ value: FieldValue, _ sensitive: Bool) -> String {
        let tags = value.tags(sensitive)
        let isColumn = value.json == nil
        let size = "coalesce(\(isColumn ? "cardinality" : "jsonb_array_length")(\(tags)), 0)"
        switch operation {
        case .tagsAny(let wanted): return "(\(tags) \(isColumn ? "&&" : "?|") \(foldAll(wanted, sensitive)))"
        case .tagsAll(let wanted): return "(\(tags) \(isColumn ? "@>" : "?&") \(foldAll(wanted, sensitive)))"
        case .tagsExactly(let wanted):
            let list = foldAll(wanted, sensitive)
            let set = isColumn ? list : "to_jsonb(\(list))"
            return "(\(tags) @> \(set) AND \(tags) <@ \(set))"
        case .tagsEmpty: return "(\(size) = 0)"
        case .tagsSize(let condition): return "(\(count(size, condition)))"
        default: preconditionFailure("not an operator of tags")
        }
    }
}
