// The instant of an evaluation and the calendar around it: times and windows, as TimeCompiler says them in SQL.
internal import JSON
internal import Vocabulary

struct RuleMoment {
    let now: Instant
    /// Whose days and hours count.
    let zone: TimeZoneRules
    /// Of times that were written without one.
    let readingZone: TimeZoneRules
    let localNow: LocalTime

    init(_ now: Instant, zone: TimeZoneRules, readingZone: TimeZoneRules) {
        self.now = now
        self.zone = zone
        self.readingZone = readingZone
        localNow = zone.local(now)
    }

    /// The same clocks at another instant.
    func at(_ instant: Instant) -> RuleMoment { RuleMoment(instant, zone: zone, readingZone: readingZone) }
}

/// A point in time: an instant, or a whole day of the calendar, by its number since 1970.
enum RulePoint: Hashable {
    case day(Int)
    case instant(Instant)

    func start(_ zone: TimeZoneRules) -> Instant {
        switch self {
        case .day(let number): zone.instant(LocalTime(dayNumber: number))
        case .instant(let instant): instant
        }
    }

    /// The day on which it falls.
    func day(_ zone: TimeZoneRules) -> Int {
        switch self {
        case .day(let number): number
        case .instant(let instant): zone.local(instant).dayNumber
        }
    }

    func isAfter(_ instant: Instant, _ zone: TimeZoneRules) -> Bool { instant < start(zone) }

    func isBefore(_ instant: Instant, _ zone: TimeZoneRules) -> Bool {
        switch self {
        case .day(let number): instant >= zone.instant(LocalTime(dayNumber: number + 1))
        case .instant(let end): instant > end
        }
    }
}

/// From a point to a point, both included, days as a whole.
struct RuleSpan {
    enum End {
        case open
        /// A field says when, and has no value: then nothing lies in the span.
        case missing
        case at(RulePoint)
        init(_ point: RulePoint?) { self = point.map { .at($0) } ?? .missing }

        var point: RulePoint? { if case .at(let point) = self { point } else { nil } }
        var isOpen: Bool { if case .open = self { true } else { false } }
    }
    let from: End
    let to: End

    func begins(by instant: Instant, _ zone: TimeZoneRules) -> Bool {
        from.isOpen || from.point.map { !$0.isAfter(instant, zone) } ?? false
    }
    func ends(notBefore instant: Instant, _ zone: TimeZoneRules) -> Bool {
        to.isOpen || to.point.map { !$0.isBefore(instant, zone) } ?? false
    }
    func contains(_ instant: Instant, _ zone: TimeZoneRules) -> Bool { begins(by: instant, zone) && ends(notBefore: instant, zone) }
    func contains(day: Int, _ zone: TimeZoneRules) -> Bool {
        (from.isOpen || from.point.map { $0.day(zone) <= day } ?? false) && (to.isOpen || to.point.map { day <= $0.day(zone) } ?? false)
    }
}

extension RuleMoment {
    /// - Parameter content: what a field holds.
    func point(_ time: TimeExpression, _ content: (FieldSource) -> FieldContent?) -> RulePoint? {
        switch time {
        case .day(let day): .day(day.daysSince1970)
        case .instant(let instant): .instant(instant)
        case .ago(let span): .instant(shifted(span, by: -1))
        case .ahead(let span): .instant(shifted(span, by: 1))
        case .startOf(let unit, let plus): .instant(start(of: unit, plus: plus))
        case .field(let source, .date): content(source)?.day(zone).map { .day($0) }
        case .field(let source, _): content(source)?.instant(readingZone).map { .instant($0) }
        }
    }

    func span(_ window: Window, _ content: (FieldSource) -> FieldContent?) -> RuleSpan {
        switch window {
        case .last(let span): return RuleSpan(from: .at(.instant(shifted(span, by: -1))), to: .at(.instant(now)))
        case .calendar(let offset, let unit):
            let first = startOfCalendar(unit, offset).dayNumber
            return RuleSpan(from: .at(.day(first)), to: .at(.day(startOfCalendar(unit, offset + 1).dayNumber - 1)))
        case .between(let from, let to): return RuleSpan(from: .init(point(from, content)), to: .init(point(to, content)))
        case .since(let time): return RuleSpan(from: .init(point(time, content)), to: .open)
        case .until(let time): return RuleSpan(from: .open, to: .init(point(time, content)))
        }
    }

    func shifted(_ span: Span, by sign: Int) -> Instant {
        if let seconds = span.seconds { return now.adding(seconds: sign * seconds) }
        return zone.instant(shiftedLocal(span, by: sign))
    }
    /// For months and years.
    func shiftedLocal(_ span: Span, by sign: Int) -> LocalTime { localNow.adding(months: sign * span.months) }

    func start(of unit: String, plus: Span?) -> Instant {
        let start = zone.instant(localStart(of: unit, plus: plus))
        guard let plus, plus.calendarDays == nil, let seconds = plus.seconds else { return start }
        return start.adding(seconds: seconds)
    }
    /// Days and longer are steps of the calendar; what is shorter comes after.
    func localStart(of unit: String, plus: Span?) -> LocalTime {
        let start = localNow.start(of: unit)
        guard let plus else { return start }
        if let days = plus.calendarDays { return start.adding(days: days) }
        return plus.seconds == nil ? start.adding(months: plus.months) : start
    }

    /// The first midnight of the unit so many from the present one.
    func startOfCalendar(_ unit: String, _ offset: Int) -> LocalTime {
        let start = localNow.start(of: unit)
        return switch unit {
        case "day": start.adding(days: offset)
        case "week": start.adding(days: 7 * offset)
        case "month": start.adding(months: offset)
        case "quarter": start.adding(months: 3 * offset)
        default: start.adding(months: 12 * offset)
        }
    }
}

extension Span {
    /// For months and years.
    var months: Int { unit == "y" ? amount * 12 : amount }
    var calendarDays: Int? { unit == "d" ? amount : unit == "w" ? amount * 7 : nil }
}

extension Instant {
    func adding(seconds: Int) -> Instant { Instant(microseconds: microseconds + Int64(seconds) * 1_000_000) }
    func adding(microseconds more: Int64) -> Instant { Instant(microseconds: microseconds + more) }
}
