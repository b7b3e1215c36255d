// Operators on fields. A missing value makes every positive test false, and so every complement true.
internal import Vocabulary

extension RuleEvaluator {
    func holds(_ leaf: FieldLeaf, _ moment: RuleMoment, _ event: EventFact?) -> Bool {
        let content = content(leaf.source, event)
        if let missingMatches = leaf.missingMatches, !(content?.isKnown(as: leaf.type, moment) ?? false) { return missingMatches }
        return holds(leaf.operation, leaf, content, moment, event)
    }

    /// - Parameter content: asked instead of what the field holds now, where its past is meant.
    func holds(_ operation: Operation, _ leaf: FieldLeaf, _ content: FieldContent?, _ moment: RuleMoment, _ event: EventFact?) -> Bool {
        switch operation {
        case .complement(let positive): return !holds(positive, leaf, content, moment, event)
        case .isKnown: return content?.isKnown(as: leaf.type, moment) ?? false
        case .textMatches(let pattern):
            let test = PatternTest(source: leaf.source, pattern: pattern, isCaseSensitive: leaf.isCaseSensitive)
            guard case .property = leaf.source else { return facts.patterns[test] ?? false }
            return event.flatMap { event in facts.propertyPatterns[test].map { event.patterns[$0] } } ?? false
        case .textIs, .textContains, .textStartsWith, .textEndsWith, .countryIs, .domainIs:
            return content?.text.map { textHolds(operation, $0, leaf.isCaseSensitive) } ?? false
        case .numberIs, .numberCompares, .numberBetween: return numberHolds(operation, content?.number)
        case .isTrue: return content?.boolean == true
        case .isFalse: return content?.boolean == false
        case .tagsAny, .tagsAll, .tagsExactly, .tagsEmpty, .tagsSize: return tagsHold(operation, content?.tags, leaf.isCaseSensitive)
        case .timeOn, .timeBefore, .timeAfter, .timeWithin, .anniversaryWithin, .dayOfWeekIs, .hourIs:
            if leaf.type == .date { return content?.day(moment.zone).map { dayHolds(operation, $0, moment, event) } ?? false }
            return content?.instant(moment.readingZone).map { timeHolds(operation, $0, moment, event) } ?? false
        }
    }

    // MARK: Text

    private func textHolds(_ operation: Operation, _ text: String, _ isSensitive: Bool) -> Bool {
        switch operation {
        case .textIs(let wanted):
            let text = Units(text, isSensitive)
            return wanted.contains { Units($0, isSensitive) == text }
        case .textContains(let wanted, let all):
            let text = Units(text, isSensitive)
            return all
                ? wanted.allSatisfy { text.contains(Units($0, isSensitive)) } : wanted.contains { text.contains(Units($0, isSensitive)) }
        case .textStartsWith(let start): return Units(text, isSensitive).bytes.starts(with: Units(start, isSensitive).bytes)
        case .textEndsWith(let end): return Units(text, isSensitive).bytes.reversed().starts(with: Units(end, isSensitive).bytes.reversed())
        case .domainIs(let domains):
            let parts = Units(text, false).bytes.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
            return parts.count > 1 && domains.contains { Units($0, false).bytes == Array(parts[1]) }
        case .countryIs(let countries):
            return countries.contains { country in
                let plan = NumberPlan.of(country)
                return plan.prefixes.contains { text.utf8.starts(with: $0.utf8) }
                    && !plan.except.contains { text.utf8.starts(with: $0.utf8) }
            }
        default: preconditionFailure("not an operator of texts")
        }
    }

    // MARK: Numbers

    /// - Parameter count: what the wanted numbers are multiplied by, for a sum that stands for an average.
    func numberHolds(_ operation: Operation, _ number: ExactDecimal?, timesWanted count: Int = 1) -> Bool {
        func wanted(_ text: String) -> ExactDecimal {
            let number = ExactDecimal(text: text) ?? .zero
            return count == 1 ? number : number * ExactDecimal(count)
        }
        if case .complement(let positive) = operation { return !numberHolds(positive, number, timesWanted: count) }
        guard let number else { return false }
        switch operation {
        case .isKnown: return true
        case .numberIs(let numbers): return numbers.contains { wanted($0) == number }
        case .numberCompares("<", let other): return number < wanted(other)
        case .numberCompares("<=", let other): return number <= wanted(other)
        case .numberCompares(">", let other): return number > wanted(other)
        case .numberCompares(_, let other): return number >= wanted(other)
        case .numberBetween(let low, let high): return wanted(low) <= number && number <= wanted(high)
        default: preconditionFailure("not an operator of numbers")
        }
    }

    // MARK: Times and days

    private func timeHolds(_ operation: Operation, _ time: Instant, _ moment: RuleMoment, _ event: EventFact?) -> Bool {
        let zone = moment.zone
        func point(_ wanted: TimeExpression) -> RulePoint? { moment.point(wanted) { content($0, event) } }
        switch operation {
        case .timeOn(let wanted):
            guard let day = point(wanted).map({ RulePoint.day($0.day(zone)) }) else { return false }
            return !day.isAfter(time, zone) && !day.isBefore(time, zone)
        case .timeBefore(let wanted): return point(wanted)?.isAfter(time, zone) ?? false
        case .timeAfter(let wanted): return point(wanted)?.isBefore(time, zone) ?? false
        case .timeWithin(let window): return moment.span(window) { content($0, event) }.contains(time, zone)
        case .anniversaryWithin(let window): return anniversaryHolds(zone.local(time).dayNumber, window, moment, event)
        case .dayOfWeekIs(let days): return days.contains(zone.local(time).weekday)
        case .hourIs(let hours): return hours.contains(zone.local(time).hour)
        default: preconditionFailure("not an operator of times")
        }
    }

    /// A date is a day of the calendar and has no instant: it is compared with the days on which instants fall.
    private func dayHolds(_ operation: Operation, _ day: Int, _ moment: RuleMoment, _ event: EventFact?) -> Bool {
        func wantedDay(_ wanted: TimeExpression) -> Int? { moment.point(wanted) { content($0, event) }?.day(moment.zone) }
        switch operation {
        case .timeOn(let wanted): return wantedDay(wanted) == day
        case .timeBefore(let wanted): return wantedDay(wanted).map { day < $0 } ?? false
        case .timeAfter(let wanted): return wantedDay(wanted).map { day > $0 } ?? false
        case .timeWithin(let window): return moment.span(window) { content($0, event) }.contains(day: day, moment.zone)
        case .anniversaryWithin(let window): return anniversaryHolds(day, window, moment, event)
        case .dayOfWeekIs(let days): return days.contains(LocalTime.weekday(ofDay: day))
        case .hourIs(let hours): return hours.contains(0)
        default: preconditionFailure("not an operator of dates")
        }
    }

    private func anniversaryHolds(_ day: Int, _ window: Window, _ moment: RuleMoment, _ event: EventFact?) -> Bool {
        let span = moment.span(window) { content($0, event) }
        switch (span.from, span.to) {
        case (.missing, _), (_, .missing): return false
        // Without one of its ends it holds an anniversary of every day.
        case (.open, _), (_, .open): return true
        case (.at(let from), .at(let to)): return nextAnniversary(of: day, from: from.day(moment.zone)) <= to.day(moment.zone)
        }
    }

    // MARK: Tags

    /// Without a value there are no tags, which is what `is_empty` and `size` ask.
    private func tagsHold(_ operation: Operation, _ tags: [String]?, _ isSensitive: Bool) -> Bool {
        func set(_ texts: [String]) -> Set<Units> { Set(texts.map { Units($0, isSensitive) }) }
        switch operation {
        case .tagsEmpty: return (tags ?? []).isEmpty
        case .tagsSize(let condition): return condition.holds(tags?.count ?? 0)
        case .tagsAny(let wanted): return tags.map { !set($0).isDisjoint(with: set(wanted)) } ?? false
        case .tagsAll(let wanted): return tags.map { set($0).isSuperset(of: set(wanted)) } ?? false
        case .tagsExactly(let wanted): return tags.map { set($0) == set(wanted) } ?? false
        default: preconditionFailure("not an operator of tags")
        }
    }
}

/// Text compared byte by byte, as the database does. Swift's own `==` would take "é" in one character for "é" in two.
struct Units: Hashable {
    let bytes: [UInt8]
    init(_ text: String, _ isSensitive: Bool) { bytes = Array((isSensitive ? text : simplyLowercased(text)).utf8) }

    func contains(_ part: Units) -> Bool {
        guard bytes.count >= part.bytes.count else { return false }
        return (0...(bytes.count - part.bytes.count)).contains { bytes[$0...].starts(with: part.bytes) }
    }
}

/// The first anniversary of a day that is not before another; all are numbers of days since 1970. 29 February falls on
/// 1 March in other years, which counting days from the month's first gives by itself.
func nextAnniversary(of day: Int, from: Int) -> Int {
    let born = Day(daysSince1970: day)
    let year = LocalTime(dayNumber: from).start(of: "year")
    func anniversary(in years: Int) -> Int { year.adding(months: 12 * years + born.month - 1).dayNumber + born.day - 1 }
    let this = anniversary(in: 0)
    return this >= from ? this : anniversary(in: 1)
}
