// Rules in plain English, for people who ask why.
internal import JSON
internal import Vocabulary

/// What an operator, a count or a window asks for, in words that fit behind "the rule wants".
struct RuleWords {
    let moment: RuleMoment
    /// What fields hold, where a time is read from one.
    let content: (FieldSource) -> FieldContent?

    func wanted(_ operation: Operation) -> String {
        switch operation {
        case .isKnown: "any value"
        case .complement(.isKnown): "no value"
        case .complement(let positive): "anything but " + wanted(positive)
        case .textIs(let texts): oneOf(texts.map(inQuotes))
        case .textContains(let texts, let all):
            "text that contains " + (texts.count == 1 ? inQuotes(texts[0]) : (all ? "all of " : "any of ") + listed(texts.map(inQuotes)))
        case .textStartsWith(let text): "text that starts with " + inQuotes(text)
        case .textEndsWith(let text): "text that ends with " + inQuotes(text)
        case .textMatches(let pattern): "text that matches the pattern " + inQuotes(pattern)
        case .countryIs(let countries): "a number of " + oneOf(countries)
        case .domainIs(let domains): "an address at " + oneOf(domains)
        case .numberIs(let numbers): oneOf(numbers)
        case .numberCompares(let symbol, let number): "\(comparison(symbol)) \(number)"
        case .numberBetween(let low, let high): "a number from \(low) to \(high)"
        case .isTrue: "true"
        case .isFalse: "false"
        case .timeOn(let time): "a time on \(point(time, asDay: true))"
        case .timeBefore(let time): "a time before \(point(time))"
        case .timeAfter(let time): "a time after \(point(time))"
        case .timeWithin(let window): "a time \(words(window))"
        case .anniversaryWithin(let window): "an anniversary \(words(window))"
        case .dayOfWeekIs(let days): "a " + oneOf(days.map { Self.weekdays[$0 - 1] })
        case .hourIs(let hours): "the hour " + oneOf(hours.map { "\($0)" })
        case .tagsAny(let tags): "any of " + listed(tags.map(inQuotes))
        case .tagsAll(let tags): "all of " + listed(tags.map(inQuotes))
        case .tagsExactly(let tags): "exactly " + listed(tags.map(inQuotes))
        case .tagsEmpty: "no tags"
        case .tagsSize(let count): "\(words(count)) tags"
        }
    }

    func words(_ count: CountCondition) -> String {
        switch count {
        case .compares("=", let number): "exactly \(number)"
        case .compares(let symbol, let number): "\(comparison(symbol)) \(number)"
        case .between(let low, let high): "from \(low) to \(high)"
        }
    }

    func words(_ window: Window) -> String {
        switch window {
        case .last(let span): "in the last \(span.amount) \(Self.units[span.unit] ?? span.unit)\(span.amount == 1 ? "" : "s")"
        case .calendar(let offset, let unit): offset == 0 ? "this \(unit)" : offset < 0 ? "last \(unit)" : "next \(unit)"
        case .between(let from, let to): "from \(point(from)) to \(point(to))"
        case .since(let from): "since \(point(from))"
        case .until(let to): "until \(point(to))"
        }
    }

    private func point(_ time: TimeExpression, asDay: Bool = false) -> String {
        guard let point = moment.point(time, content) else { return "a time that the contact lacks" }
        return asDay ? Day(daysSince1970: point.day(moment.zone)).description : point.description
    }

    private func comparison(_ symbol: String) -> String {
        switch symbol {
        case "<": "less than"
        case "<=": "at most"
        case ">": "more than"
        default: "at least"
        }
    }

    private static let weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    private static let units = ["s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"]
}

extension RulePoint: CustomStringConvertible {
    var description: String {
        switch self {
        case .day(let number): Day(daysSince1970: number).description
        case .instant(let instant): instant.description
        }
    }
}

/// In quotation marks, and cut where it would be tiring.
func inQuotes(_ text: String) -> String {
    text.unicodeScalars.count <= 100 ? "\"\(text)\"" : "\"\(String(String.UnicodeScalarView(text.unicodeScalars.prefix(100))))…\""
}

func listed(_ words: [String]) -> String {
    words.count <= 10 ? words.joined(separator: ", ") : words.prefix(10).joined(separator: ", ") + " and \(words.count - 10) more"
}

private func oneOf(_ words: [String]) -> String { words.count == 1 ? words[0] : "one of " + listed(words) }

func counted(_ number: Int, _ thing: String) -> String { "\(number) \(thing)\(number == 1 ? "" : "s")" }

extension FieldContent {
    /// As it stands in the field.
    var words: String {
        switch self {
        case .text(let text): inQuotes(text)
        case .number(let text): text
        case .boolean(let truth): truth ? "true" : "false"
        case .texts(let texts): texts.isEmpty ? "an empty list" : listed(texts.map(inQuotes))
        case .json(let text): text.utf8.first == UInt8(ascii: "{") ? "an object" : "a list of other things than texts"
        case .instant(let instant): instant.description
        }
    }

    /// Numbers that JSON's readers would round stay text.
    var json: JSONValue {
        switch self {
        case .text(let text): .string(text)
        case .number(let text): Int64(text).map { .integer($0) } ?? .string(text)
        case .boolean(let truth): .bool(truth)
        case .texts(let texts): .array(texts.map { .string($0) })
        case .json(let text): .string(text)
        case .instant(let instant): .string(instant.description)
        }
    }
}
