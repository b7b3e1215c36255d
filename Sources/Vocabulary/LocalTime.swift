// What clocks and calendars of some place show: PostgreSQL's `timestamp without time zone`.

/// A day and a time of day that say nothing of their zone.
public struct LocalTime: Hashable, Comparable, Sendable {
    /// Since 1970-01-01T00:00:00 of the same clock.
    public let microseconds: Int64
    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// Midnight, at which a day begins.
    /// - Parameter dayNumber: days since 1970-01-01.
    public init(dayNumber: Int) { microseconds = Int64(dayNumber) * LocalTime.day }

    private static let day: Int64 = 86_400_000_000

    /// Days since 1970-01-01.
    public var dayNumber: Int { Int(floored(microseconds, LocalTime.day)) }
    /// 0 to 23.
    public var hour: Int { Int((microseconds - Int64(dayNumber) * LocalTime.day) / 3_600_000_000) }
    /// ISO: 1 is Monday. 1 January 1970 was a Thursday.
    public var weekday: Int { LocalTime.weekday(ofDay: dayNumber) }
    public static func weekday(ofDay number: Int) -> Int { ((number + 3) % 7 + 7) % 7 + 1 }

    /// The beginning of the day, week, month, quarter or year in which it lies; weeks begin on Monday.
    public func start(of unit: String) -> LocalTime {
        let number = dayNumber
        let date = Day(daysSince1970: number)
        let first =
            switch unit {
            case "day": number
            case "week": number - (weekday - 1)
            case "month": Day.daysSince1970(year: date.year, month: date.month, day: 1)
            case "quarter": Day.daysSince1970(year: date.year, month: (date.month - 1) / 3 * 3 + 1, day: 1)
            case "year": Day.daysSince1970(year: date.year, month: 1, day: 1)
            default: preconditionFailure("\(unit) is no unit of the calendar")
            }
        return LocalTime(dayNumber: first)
    }

    public func adding(days: Int) -> LocalTime { LocalTime(microseconds: microseconds + Int64(days) * LocalTime.day) }

    /// The same day of another month at the same time of day, or that month's last day when it is shorter.
    public func adding(months: Int) -> LocalTime {
        let number = dayNumber
        let date = Day(daysSince1970: number)
        let total = date.year * 12 + date.month - 1 + months
        let year = Int(floored(Int64(total), 12))
        let month = total - year * 12 + 1
        let day = Day.daysSince1970(year: year, month: month, day: min(date.day, Day.length(year, month)))
        return LocalTime(microseconds: microseconds + Int64(day - number) * LocalTime.day)
    }

    public static func < (a: LocalTime, b: LocalTime) -> Bool { a.microseconds < b.microseconds }
}

/// Division that rounds down, as calendars before 1970 need it.
func floored(_ value: Int64, _ divisor: Int64) -> Int64 {
    let quotient = value / divisor
    return value % divisor < 0 ? quotient - 1 : quotient
}
