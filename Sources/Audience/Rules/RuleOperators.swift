// Operators by type, and the values that they take.
internal import JSON
internal import Vocabulary

extension RuleParser {
    /// Operators that a type has.
    static func operators(_ type: FieldType) -> [String] {
        let any = ["is_known", "is_unknown"]
        let texts = [
            "is", "is_not", "is_any_of", "is_none_of", "contains", "does_not_contain", "contains_any_of", "contains_all_of",
            "starts_with", "ends_with", "matches",
        ]
        return switch type {
        case .text: any + texts
        case .email: any + texts + ["domain_is"]
        case .phone: any + texts + ["country_is"]
        case .number, .money:
            any + ["is", "is_not", "is_any_of", "less_than", "at_most", "more_than", "at_least", "between", "not_between"]
        case .boolean: any + ["is_true", "is_false"]
        case .date, .time:
            any + ["on", "not_on", "before", "after", "between", "within", "not_within", "anniversary_within", "day_of_week_is", "hour_is"]
        case .tags: any + ["has_any_of", "has_all_of", "has_none_of", "is_exactly", "is_empty", "size"]
        }
    }

    mutating func fieldLeaf(_ object: JSONObject, _ pointer: String, _ operatorKey: String) -> Node {
        if object["was"] != nil || object["changed"] != nil { return historyLeaf(object, pointer) }
        onlyMembers(object, ["field", operatorKey, "value", "missing", "case"], pointer)
        let key = text(object["field"], pointer + "/field", 300)
        guard !key.isEmpty, let (source, type) = resolve(key, object, pointer) else { return .all([]) }
        var missing: Bool?
        if let value = object["missing"] {
            switch value.string {
            case "match": missing = true
            case "no_match": missing = false
            default: faults.add(pointer + "/missing", "not_one_of", "Expected match or no_match.")
            }
        }
        let sensitive = isCaseSensitive(object, pointer)
        guard var operation = operation(object, type, pointer, operatorKey) else { return .all([]) }
        if case .column("phone") = source { operation = withNumbers(operation, object["value"], pointer + "/value") }
        return .field(FieldLeaf(source: source, type: type, operation: operation, isCaseSensitive: sensitive, missingMatches: missing))
    }

    mutating func isCaseSensitive(_ leaf: JSONObject, _ pointer: String) -> Bool {
        guard let value = leaf["case"] else { return false }
        if value.string != "sensitive" { faults.add(pointer + "/case", "not_one_of", "Expected sensitive.") }
        return true
    }

    mutating func resolve(_ key: String, _ leaf: JSONObject, _ pointer: String) -> (FieldSource, FieldType)? {
        if isInsideEvent {
            return (.property(keys(key)), impliedType(leaf))
        }
        if let type = RuleContext.builtIn[key] {
            dependencies.fields.insert(key)
            return (.column(key), type)
        }
        if let type = context.attributeTypes[key] {
            dependencies.fields.insert(key)
            return (.attribute(key.split(separator: ".").dropFirst().map(String.init)), type)
        }
        if let model = context.scores[key] {
            dependencies.fields.insert(key)
            return (.score(model), .number)
        }
        if let (column, type) = RuleContext.rfm[key] {
            dependencies.fields.insert(key)
            return (.rfm(column), type)
        }
        faults.add(pointer + "/field", "unknown_field", "There is no field \(quoted(key)).")
        return nil
    }

    /// Properties have no declared type: the operator and its value say which is meant.
    private func impliedType(_ leaf: JSONObject) -> FieldType {
        let operation = leaf["op"]?.string ?? ""
        if ["is_true", "is_false"].contains(operation) { return .boolean }
        if operation.hasPrefix("has_") || ["is_exactly", "is_empty", "size"].contains(operation) { return .tags }
        if ["on", "not_on", "before", "after", "within", "not_within", "anniversary_within", "day_of_week_is", "hour_is"].contains(
            operation)
        {
            return .time
        }
        if ["less_than", "at_most", "more_than", "at_least", "not_between"].contains(operation) { return .number }
        let value = leaf["value"]
        let sample = value?.array?.first ?? value
        if sample?.real != nil { return .number }
        return operation == "between" ? .time : .text
    }

    mutating func operation(_ leaf: JSONObject, _ type: FieldType, _ pointer: String, _ key: String) -> Operation? {
        guard let name = leaf[key]?.string else {
            faults.add(
                "\(pointer)/\(key)", leaf[key] == nil ? "required" : "wrong_type", "`\(key)` is an operator of a \(type.rawValue) field.")
            return nil
        }
        guard Self.operators(type).contains(name) else {
            faults.add(
                "\(pointer)/\(key)", "unknown_operator",
                "A \(type.rawValue) field has no operator \(quoted(name)); it has \(Self.operators(type).joined(separator: ", ")).")
            return nil
        }
        let place = pointer + "/value"
        if ["is_known", "is_unknown", "is_true", "is_false", "is_empty"].contains(name) {
            if leaf["value"] != nil { faults.add(place, "unknown_member", "`\(name)` takes no value.") }
            return switch name {
            case "is_known": .isKnown
            case "is_unknown": .complement(.isKnown)
            case "is_true": .isTrue
            case "is_false": .isFalse
            default: .tagsEmpty
            }
        }
        guard let value = leaf["value"] else {
            faults.add(place, "required", "`\(name)` needs a value.")
            return nil
        }
        return switch type {
        case .text, .email, .phone: textOperation(name, value, place)
        case .number, .money: numberOperation(name, value, place)
        case .date, .time: timeOperation(name, value, place)
        case .tags: tagsOperation(name, value, place)
        case .boolean: nil
        }
    }

    /// Contacts' numbers are stored as E.164, and another text would never match. A national number is refused: a rule means
    /// the same in every workspace, whatever country its imports are read for.
    mutating func withNumbers(_ operation: Operation, _ value: JSONValue?, _ place: String) -> Operation {
        switch operation {
        case .complement(let positive): return .complement(withNumbers(positive, value, place))
        case .textIs(let texts):
            return .textIs(
                texts.enumerated().map { index, text in
                    if let number = try? phoneNumber(text, country: nil) { return number.description }
                    let pointer = value?.array == nil ? place : "\(place)/\(index)"
                    if !text.isEmpty, !context.isStored {
                        faults.add(pointer, "bad_format", "Expected a phone number with its country, like +12025550123.")
                    }
                    return text
                })
        default: return operation
        }
    }

    // MARK: By type

    private mutating func textOperation(_ name: String, _ value: JSONValue, _ place: String) -> Operation? {
        switch name {
        case "is": return .textIs([text(value, place, 10_000)])
        case "is_not": return .complement(.textIs([text(value, place, 10_000)]))
        case "is_any_of": return .textIs(texts(value, place))
        case "is_none_of": return .complement(.textIs(texts(value, place)))
        case "contains": return .textContains([text(value, place, 10_000)], all: false)
        case "does_not_contain":
            // Several values: it contains none of them.
            let values = value.array == nil ? [text(value, place, 10_000)] : texts(value, place)
            return .complement(.textContains(values, all: false))
        case "contains_any_of": return .textContains(texts(value, place), all: false)
        case "contains_all_of": return .textContains(texts(value, place), all: true)
        case "starts_with": return .textStartsWith(text(value, place, 10_000))
        case "ends_with": return .textEndsWith(text(value, place, 10_000))
        case "country_is":
            let countries = (value.array == nil ? [text(value, place, 2)] : texts(value, place)).map { $0.uppercased() }
            for country in countries where !isKnownCountry(country) {
                faults.add(place, "bad_format", "Expected country codes like US (ISO 3166-1).")
                break
            }
            return .countryIs(countries)
        case "domain_is":
            let domains = value.array == nil ? [text(value, place, 253)] : texts(value, place)
            if domains.contains("@") { faults.add(place, "empty", "Expected a domain like example.com.") }
            return .domainIs(domains.map { $0.hasPrefix("@") ? String($0.dropFirst()) : $0 })
        default:
            let pattern = text(value, place, RuleLimits.patternCharacters)
            if !pattern.isEmpty, pattern.unicodeScalars.count <= RuleLimits.patternCharacters, !pattern.unicodeScalars.contains("\0") {
                patterns.append((pattern, place))
            }
            return .textMatches(pattern)
        }
    }

    private mutating func numberOperation(_ name: String, _ value: JSONValue, _ place: String) -> Operation? {
        let symbols = ["less_than": "<", "at_most": "<=", "more_than": ">", "at_least": ">="]
        if let symbol = symbols[name] { return .numberCompares(symbol, number(value, place)) }
        switch name {
        case "is": return .numberIs([number(value, place)])
        case "is_not": return .complement(.numberIs([number(value, place)]))
        case "is_any_of": return .numberIs(list(value, place).prefix(RuleLimits.values).enumerated().map { number($1, "\(place)/\($0)") })
        default:
            let pair = list(value, place)
            guard pair.count == 2 else {
                faults.add(place, "wrong_type", "Expected two numbers, the lower first.")
                return nil
            }
            let between = Operation.numberBetween(number(pair[0], place + "/0"), number(pair[1], place + "/1"))
            if isReversed(pair[0], pair[1]) {
                faults.add(place, "reversed_range", "The lower number comes first.")
            }
            return name == "between" ? between : .complement(between)
        }
    }

    /// Beyond 2^53 doubles cannot tell whole numbers apart; PostgreSQL can, and takes no reversed range.
    private func isReversed(_ low: JSONValue, _ high: JSONValue) -> Bool {
        if low == high { return false }
        if let low = low.integer, let high = high.integer { return low > high }
        guard let low = low.real, let high = high.real else { return false }
        return low > high || (low == high && low.magnitude >= 9_007_199_254_740_992)
    }

    private mutating func timeOperation(_ name: String, _ value: JSONValue, _ place: String) -> Operation? {
        switch name {
        case "on": return .timeOn(time(value, place))
        case "not_on": return .complement(.timeOn(time(value, place)))
        case "before": return .timeBefore(time(value, place))
        case "after": return .timeAfter(time(value, place))
        case "between":
            let pair = list(value, place)
            guard pair.count == 2 else {
                faults.add(place, "wrong_type", "Expected two times, the earlier first.")
                return nil
            }
            return .timeWithin(between(pair, place))
        case "within": return .timeWithin(window(value, place))
        case "not_within": return .complement(.timeWithin(window(value, place)))
        case "anniversary_within": return .anniversaryWithin(window(value, place))
        case "day_of_week_is":
            let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
            let days = (value.array ?? [value]).compactMap { day -> Int? in
                day.integer.flatMap { (1...7).contains($0) ? $0 : nil }
                    ?? day.string.flatMap { names.firstIndex(of: $0.lowercased()) }.map { $0 + 1 }
            }
            if days.isEmpty || days.count != (value.array ?? [value]).count {
                faults.add(place, "not_one_of", "Expected days: monday to sunday, or 1 (Monday) to 7.")
            }
            return .dayOfWeekIs(days)
        default:
            if value.array == nil { return .hourIs([whole(value, place, 0...23)]) }
            return .hourIs(list(value, place).enumerated().map { whole($1, "\(place)/\($0)", 0...23) })
        }
    }

    private mutating func tagsOperation(_ name: String, _ value: JSONValue, _ place: String) -> Operation? {
        switch name {
        case "has_any_of": .tagsAny(texts(value, place))
        case "has_all_of": .tagsAll(texts(value, place))
        case "has_none_of": .complement(.tagsAny(texts(value, place)))
        case "is_exactly": .tagsExactly(texts(value, place))
        default: .tagsSize(countCondition(value, place))
        }
    }
}
