import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing

/// What a rule means, asked of the one function that knows.
@Suite struct RecurrenceRuleTests {
    /// - Returns: occurrences as `2026-03-28T01:30Z`.
    private func occurrences(_ rule: JSONValue, after: String = "1990-01-01T00:00:00Z", most: Int = 5, _ db: Connection) throws -> [String]
    {
        try db.dynamic(
            """
            SELECT to_char(o AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"')
              FROM occurrences_after(jsonb_populate_record(NULL::recurring_campaigns, $1::jsonb), $2::text::timestamptz, $3) o
            """, [rule.sqlValue, after.sqlValue, most.sqlValue])
    }

    private func rule(
        _ every: String, _ interval: Int = 1, at: String = "09:00", in zone: String = "UTC", from: String, _ more: JSONObject = [:]
    )
        -> JSONValue
    {
        var rule: JSONObject = [
            "every": .string(every), "interval_count": .integer(Int64(interval)), "wall_time": .string(at), "time_zone": .string(zone),
            "starts_on": .string(from),
        ]
        for member in more { rule[member.key] = member.value }
        return .object(rule)
    }

    private struct Case: Sendable {
        let zone: String
        let at: String
        let from: String
        let expected: [String]
        init(_ zone: String, _ at: String, _ from: String, _ expected: [String]) {
            (self.zone, self.at, self.from, self.expected) = (zone, at, from, expected)
        }
    }
    private static let changes: [Case] = [
        Case("Europe/Paris", "09:00", "2026-03-28", ["2026-03-28T08:00Z", "2026-03-29T07:00Z", "2026-03-30T07:00Z"]),
        Case("Europe/Paris", "09:00", "2026-10-24", ["2026-10-24T07:00Z", "2026-10-25T08:00Z", "2026-10-26T08:00Z"]),
        // 02:30 is skipped on 29 March, and shown twice on 25 October.
        Case("Europe/Paris", "02:30", "2026-03-28", ["2026-03-28T01:30Z", "2026-03-29T01:30Z", "2026-03-30T00:30Z"]),
        Case("Europe/Paris", "02:30", "2026-10-24", ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"]),
        Case("America/New_York", "09:00", "2026-03-07", ["2026-03-07T14:00Z", "2026-03-08T13:00Z", "2026-03-09T13:00Z"]),
        Case("America/New_York", "09:00", "2026-10-31", ["2026-10-31T13:00Z", "2026-11-01T14:00Z", "2026-11-02T14:00Z"]),
        Case("America/New_York", "02:30", "2026-03-07", ["2026-03-07T07:30Z", "2026-03-08T07:30Z", "2026-03-09T06:30Z"]),
        Case("America/New_York", "01:30", "2026-10-31", ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"]),
    ]

    @Test(arguments: changes)
    private func `the clock shows the same time across daylight saving, once a day`(_ change: Case) throws {
        try withDatabase { db throws in
            let rule = rule("day", at: change.at, in: change.zone, from: change.from)
            let expected = change.expected
            #expect(try occurrences(rule, most: 3, db) == expected)
            // One by one, as the worker goes on.
            var found: [String] = []
            for _ in expected {
                found += try occurrences(rule, after: found.last.map { $0.dropLast() + ":00Z" } ?? "1990-01-01T00:00:00Z", most: 1, db)
            }
            #expect(found == expected)
        }
    }

    @Test func `day 31 is the last day of shorter months, in leap years too`() throws {
        try withDatabase { db throws in
            #expect(
                try occurrences(rule("month", from: "2027-12-31", ["day_of_month": 31]), db)
                    == ["2027-12-31T09:00Z", "2028-01-31T09:00Z", "2028-02-29T09:00Z", "2028-03-31T09:00Z", "2028-04-30T09:00Z"])
            #expect(
                try occurrences(rule("month", 12, from: "2026-02-01", ["day_of_month": 30]), most: 3, db)
                    == ["2026-02-28T09:00Z", "2027-02-28T09:00Z", "2028-02-29T09:00Z"])
            // That of the first month may have passed.
            #expect(
                try occurrences(rule("month", 2, from: "2026-01-20", ["day_of_month": 15]), most: 2, db)
                    == ["2026-03-15T09:00Z", "2026-05-15T09:00Z"])
        }
    }

    @Test func `every second week is counted from the week of its start, on several days of it`() throws {
        try withDatabase { db throws in
            let rule = rule("week", 2, from: "2026-01-07", ["weekdays": ["monday", "wednesday", "sunday"]])
            #expect(
                try occurrences(rule, most: 6, db)
                    == ["07", "11", "19", "21", "25"].map { "2026-01-\($0)T09:00Z" } + ["2026-02-02T09:00Z"])
            #expect(try occurrences(rule, after: "2026-01-21T09:00:00Z", most: 1, db) == ["2026-01-25T09:00Z"])
            #expect(try occurrences(rule, after: "2036-01-01T00:00:00Z", most: 1, db) == ["2036-01-07T09:00Z"])
        }
    }

    @Test func `its last day is one of them`() throws {
        try withDatabase { db throws in
            let rule = rule("day", 3, from: "2026-05-01", ["ends_on": "2026-05-07"])
            #expect(try occurrences(rule, db) == ["2026-05-01T09:00Z", "2026-05-04T09:00Z", "2026-05-07T09:00Z"])
            #expect(try occurrences(rule, after: "2026-05-07T08:59:59Z", db) == ["2026-05-07T09:00Z"])
            #expect(try occurrences(rule, after: "2026-05-07T09:00:00Z", db) == [])
        }
    }

    /// Days are gone through one by one, and clocks are Foundation's: nothing of the function's own reckoning is in it.
    @Test func `random rules mean what going through the calendar day by day says`() throws {
        let seed = ProcessInfo.processInfo.environment["MUSTER_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        var dice = Seeded(seed)
        let zones = ["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tokyo"]
        try withDatabase { db throws in
            for _ in 0..<300 {
                let zone = zones.randomElement(using: &dice)!
                let every = ["day", "week", "month"].randomElement(using: &dice)!
                let interval = Int.random(in: 1...(Bool.random(using: &dice) ? 3 : 40), using: &dice)
                let weekdays = (1...7).filter { _ in Int.random(in: 0...2, using: &dice) == 0 }
                let sample = Sample(
                    every: every, interval: interval, weekdays: weekdays.isEmpty ? [3] : weekdays,
                    dayOfMonth: Int.random(in: 1...31, using: &dice), minutes: Int.random(in: 0...47, using: &dice) * 30,
                    start: Int.random(in: 18_600...22_000, using: &dice), end: Int.random(in: 0...2, using: &dice) == 0 ? 400 : nil)
                let after = (sample.start + Int.random(in: -50...1200, using: &dice)) * 86_400 + Int.random(in: 0...86_399, using: &dice)
                let found: [Int] = try db.dynamic(
                    """
                    SELECT extract(epoch FROM o)::bigint
                      FROM occurrences_after(jsonb_populate_record(NULL::recurring_campaigns, $1::jsonb), to_timestamp($2::bigint), 7) o
                    """, [sample.rule(zone).sqlValue, after.sqlValue])
                let expected = sample.occurrences(after: after, most: 7, TimeZone(identifier: zone)!)
                #expect(found == expected, "MUSTER_SEED=\(seed): \(sample.rule(zone).text) after \(after)")
            }
        }
    }
}

private struct Sample {
    let every: String
    let interval: Int
    /// 1 is Monday.
    let weekdays: [Int]
    let dayOfMonth: Int
    let minutes: Int
    /// Days since 1970.
    let start: Int
    /// Days after the start.
    let end: Int?

    private static let calendar = {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "UTC")!
        return calendar
    }()
    private static func date(_ day: Int) -> DateComponents {
        calendar.dateComponents([.year, .month, .day, .weekday], from: Date(timeIntervalSince1970: Double(day) * 86_400))
    }
    private static func text(_ day: Int) -> String {
        let date = date(day)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(date.year!)-\(two(date.month!))-\(two(date.day!))"
    }

    func rule(_ zone: String) -> JSONValue {
        let names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        return [
            "every": .string(every), "interval_count": .integer(Int64(interval)), "time_zone": .string(zone),
            "wall_time": .string("\(minutes / 60):\(minutes % 60 == 0 ? "00" : "30")"), "starts_on": .string(Sample.text(start)),
            "ends_on": end.map { .string(Sample.text(start + $0)) } ?? .null,
            "weekdays": every == "week" ? .array(weekdays.map { .string(names[$0 - 1]) }) : .null,
            "day_of_month": every == "month" ? .integer(Int64(dayOfMonth)) : .null,
        ]
    }

    func occurrences(after: Int, most: Int, _ zone: TimeZone) -> [Int] {
        var found: [Int] = []
        var (day, days, weeks, months) = (start, 0, 0, 0)
        while found.count < most, day < start + 40_000, end.map({ day <= start + $0 }) ?? true {
            let date = Sample.date(day)
            let isLast = Sample.date(day + 1).month != date.month
            let isIn =
                switch every {
                case "day": days % interval == 0
                case "week": weeks % interval == 0 && weekdays.contains((date.weekday! + 5) % 7 + 1)
                default: months % interval == 0 && (date.day! == dayOfMonth || isLast && date.day! < dayOfMonth)
                }
            if isIn {
                let moment = instant(day * 86_400 + minutes * 60, zone)
                if moment > after { found.append(moment) }
            }
            day += 1
            days += 1
            if Sample.date(day).weekday == 2 { weeks += 1 }
            if isLast { months += 1 }
        }
        return found
    }

    /// Of the offsets before and after a change, the earliest that makes the clock show it; else the one before.
    private func instant(_ local: Int, _ zone: TimeZone) -> Int {
        func offset(_ moment: Int) -> Int { zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(moment))) }
        let before = offset(local - 2 * 86_400)
        let all = [before, offset(local + 2 * 86_400)].map { local - $0 }.sorted()
        return all.first { offset($0) == local - $0 } ?? local - before
    }
}
