// Times and windows in SQL. What does not depend on the contact is computed once per statement: by us where elapsed
// time suffices, by an uncorrelated subselect where the calendar of a zone is needed.
internal import PostgreSQL
internal import Vocabulary

/// A point in time in SQL: an instant, or a whole calendar day in the rule's zone.
struct TimePoint {
    let sql: String
    let isDay: Bool
}

/// From a point to a point, both included, days as a whole; `nil` has no end.
struct TimeSpan {
    let from: TimePoint?
    let to: TimePoint?
}

extension RuleCompiler {
    /// Whose days and hours count. A contact's zone that does not exist is not one: it must not fail the statement.
    var zone: String {
        mutating get {
            switch rule.zone {
            case .workspace: readingZone
            case .named(let name): bind(name, "text")
            case .contact:
                "(CASE WHEN c.timezone IN (SELECT time_zone_names()) THEN c.timezone ELSE \(readingZone) END)"
            }
        }
    }

    /// The zone of times that were written without one.
    var readingZone: String { mutating get { bind(scope.zone, "text") } }

    var now: String { mutating get { bind(scope.now, "timestamptz") } }

    /// Evaluated once per statement, unless the contact's own zone matters.
    private func once(_ sql: String) -> String { rule.zone == .contact ? "(\(sql))" : "(SELECT \(sql))" }

    // MARK: Points

    mutating func point(_ time: TimeExpression) -> TimePoint {
        switch time {
        case .day(let day): return TimePoint(sql: bind(day, "date"), isDay: true)
        case .instant(let instant): return TimePoint(sql: bind(instant, "timestamptz"), isDay: false)
        case .ago(let span): return TimePoint(sql: shifted(span, by: -1), isDay: false)
        case .ahead(let span): return TimePoint(sql: shifted(span, by: 1), isDay: false)
        case .startOf(let unit, let plus):
            let start = "date_trunc(\(bind(unit, "text")), \(localNow))"
            guard let plus else { return TimePoint(sql: once("(\(start) AT TIME ZONE \(zone))"), isDay: false) }
            // Days and longer are steps of the calendar: a day on which clocks change has 23 or 25 hours.
            if let days = plus.days {
                return TimePoint(sql: once("((\(start) + \(bind(days, "interval"))) AT TIME ZONE \(zone))"), isDay: false)
            }
            return TimePoint(sql: once("((\(start) AT TIME ZONE \(zone)) + \(bind(plus.interval, "interval")))"), isDay: false)
        case .field(let source, let type):
            let value = FieldValue(source, type, &self)
            return type == .date
                ? TimePoint(sql: value.date(&self), isDay: true) : TimePoint(sql: value.time(&self), isDay: false)
        }
    }

    private var localNow: String { mutating get { "(\(now) AT TIME ZONE \(zone))" } }

    private mutating func shifted(_ span: Span, by sign: Int) -> String {
        if let seconds = span.seconds { return bind(scope.now + Double(sign * seconds), "timestamptz") }
        return once("((\(localNow) \(sign < 0 ? "-" : "+") \(bind(span.interval, "interval"))) AT TIME ZONE \(zone))")
    }

    mutating func span(_ window: Window) -> TimeSpan {
        switch window {
        case .last(let span):
            return TimeSpan(from: TimePoint(sql: shifted(span, by: -1), isDay: false), to: TimePoint(sql: now, isDay: false))
        case .calendar(let offset, let unit):
            let start = "date_trunc(\(bind(unit, "text")), \(localNow))"
            let step = bind(unit == "quarter" ? "3 months" : "1 \(unit)", "interval")
            let first = once("(\(start) + \(bind(offset, "int")) * \(step))::date")
            let last = once("(\(start) + \(bind(offset + 1, "int")) * \(step))::date - 1")
            return TimeSpan(from: TimePoint(sql: first, isDay: true), to: TimePoint(sql: last, isDay: true))
        case .between(let from, let to): return TimeSpan(from: point(from), to: point(to))
        case .since(let time): return TimeSpan(from: point(time), to: nil)
        case .until(let time): return TimeSpan(from: nil, to: point(time))
        }
    }

    // MARK: Edges

    /// The first instant of a point.
    mutating func startOfDay(_ point: TimePoint) -> String {
        point.isDay ? once("(\(point.sql)::timestamp AT TIME ZONE \(zone))", point) : point.sql
    }

    /// The first instant after a day.
    mutating func endOfDay(_ point: TimePoint) -> String {
        once("((\(point.sql) + 1)::timestamp AT TIME ZONE \(zone))", point)
    }

    /// The calendar day of a point.
    mutating func day(_ point: TimePoint) -> String {
        point.isDay ? point.sql : once("(\(point.sql) AT TIME ZONE \(zone))::date", point)
    }

    /// A point may be a field of the contact, and then it differs from row to row.
    private func once(_ sql: String, _ point: TimePoint) -> String {
        point.sql.hasPrefix("$") || point.sql.hasPrefix("(SELECT ") ? once(sql) : "(\(sql))"
    }

    // MARK: Comparisons of an instant

    mutating func isBefore(_ instant: String, endOf span: TimeSpan) -> String {
        guard let to = span.to else { return "true" }
        return to.isDay ? "\(instant) < \(endOfDay(to))" : "\(instant) <= \(to.sql)"
    }

    mutating func isAfter(_ instant: String, _ point: TimePoint) -> String {
        point.isDay ? "\(instant) >= \(endOfDay(point))" : "\(instant) > \(point.sql)"
    }

    mutating func isWithin(_ instant: String, _ span: TimeSpan) -> String {
        let start = span.from.map { "\(instant) >= \(startOfDay($0))" }
        let end = span.to == nil ? nil : isBefore(instant, endOf: span)
        return [start, end].compactMap { $0 }.joined(separator: " AND ")
    }
}

extension Span {
    /// Elapsed seconds; `nil` for months and years, whose length the calendar knows.
    var seconds: Int? {
        switch unit {
        case "s": amount
        case "m": amount * 60
        case "h": amount * 3600
        case "d": amount * 86_400
        case "w": amount * 604_800
        default: nil
        }
    }

    /// Steps of the calendar in PostgreSQL's words; `nil` for units shorter than a day.
    fileprivate var days: String? {
        switch unit {
        case "d": "\(amount) days"
        case "w": "\(amount * 7) days"
        case "mo", "y": interval
        default: nil
        }
    }
}
