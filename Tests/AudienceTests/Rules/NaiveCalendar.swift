import Foundation
import Vocabulary

/// Days and hours of one zone, by Foundation.
struct NaiveCalendar {
    private var calendar = Calendar(identifier: .gregorian)
    init(_ zone: String) { calendar.timeZone = TimeZone(identifier: zone)! }

    private func date(_ instant: Instant) -> Date { Date(timeIntervalSince1970: Double(instant.microseconds / 1_000_000)) }
    private func instant(_ date: Date, _ microseconds: Int64 = 0) -> Instant {
        Instant(microseconds: Int64(date.timeIntervalSince1970.rounded()) * 1_000_000 + microseconds)
    }

    /// Days since 1970 of the calendar day on which an instant falls.
    func dayNumber(_ instant: Instant) -> Int {
        let parts = calendar.dateComponents([.year, .month, .day], from: date(instant))
        return Day(year: parts.year!, month: parts.month!, day: parts.day!)!.daysSince1970
    }
    func startOfDay(_ number: Int) -> Instant {
        let day = Day(daysSince1970: number)
        return instant(calendar.date(from: DateComponents(year: day.year, month: day.month, day: day.day))!)
    }
    func hour(_ instant: Instant) -> Int { calendar.component(.hour, from: date(instant)) }
    /// 1 is Monday; 1 January 1970 was a Thursday.
    func weekday(_ number: Int) -> Int { ((number + 3) % 7 + 7) % 7 + 1 }

    func first(_ unit: String, _ number: Int) -> Int {
        let day = Day(daysSince1970: number)
        return switch unit {
        case "day": number
        case "week": number - (weekday(number) - 1)
        case "month": Day(year: day.year, month: day.month, day: 1)!.daysSince1970
        case "quarter": Day(year: day.year, month: (day.month - 1) / 3 * 3 + 1, day: 1)!.daysSince1970
        default: Day(year: day.year, month: 1, day: 1)!.daysSince1970
        }
    }
    func next(_ unit: String, _ first: Int) -> Int {
        var number = first + 1
        while self.first(unit, number) != number { number += 1 }
        return number
    }

    /// `length` like `30d`: elapsed time, or months and years at the same time of day.
    func moved(_ instant: Instant, _ length: String, _ sign: Int) -> Instant {
        let number = length.prefix { $0.isNumber }
        let amount = sign * Int(number)!
        let unit = String(length.dropFirst(number.count))
        let rest = instant.microseconds % 1_000_000
        switch unit {
        case "mo": return self.instant(calendar.date(byAdding: .month, value: amount, to: date(instant))!, rest)
        case "y": return self.instant(calendar.date(byAdding: .month, value: amount * 12, to: date(instant))!, rest)
        default:
            let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800][unit]!
            return instant + Double(amount * seconds)
        }
    }

    /// ISO 8601 with the zone's own time where the text names none.
    func instant(ofText text: String?) -> Instant? {
        guard let text, text.utf8.count >= 10, let day = Day(String(text.prefix(10))) else { return nil }
        if text.count == 10 { return startOfDay(day.daysSince1970) }
        if let instant = Instant(rfc3339: text) { return instant }
        guard let local = Instant(rfc3339: text.count == 16 ? text + ":00Z" : text + "Z") else { return nil }
        let seconds = Int(((local.microseconds / 1_000_000) % 86_400 + 86_400) % 86_400)
        let parts = DateComponents(
            year: day.year, month: day.month, day: day.day, hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60)
        let fraction = (local.microseconds % 1_000_000 + 1_000_000) % 1_000_000
        return instant(calendar.date(from: parts)!) + Double(fraction) / 1_000_000
    }

    func dayNumber(ofText text: String?) -> Int? {
        guard let text, let instant = instant(ofText: text) else { return nil }
        return Instant(rfc3339: text) == nil ? Day(String(text.prefix(10)))!.daysSince1970 : dayNumber(instant)
    }
}
