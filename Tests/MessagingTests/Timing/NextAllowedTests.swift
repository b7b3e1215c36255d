import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct NextAllowedTests {
    /// Days around changes of clocks, some of them at midnight, by half an hour or twice a year, and a leap day.
    private static let moments = [
        "2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z", "2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-04-04T15:00:00Z",
        "2026-03-28T22:00:00Z", "2026-09-06T04:00:00Z", "2028-02-29T00:00:00Z",
    ].map { Instant(rfc3339: $0)! }
    private static let zones = [
        "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "Pacific/Honolulu",
        "America/Havana", "America/Santiago", "America/St_Johns", "Europe/Berlin", "Africa/Casablanca", "Asia/Beirut", "Asia/Kathmandu",
        "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Kiritimati",
    ]

    /// Reads every clock each minute, by our own reading of tzdata.
    private func naive(_ zones: [TimeZoneRules], _ opens: [Int], _ closes: [Int], from start: Instant) -> Instant? {
        for minute in 0..<(8 * 1440) {
            let moment = start + Double(minute * 60)
            let suits = zones.allSatisfy { zone in
                let local = zone.local(moment)
                let time = Int((local.microseconds - LocalTime(dayNumber: local.dayNumber).microseconds) / 60_000_000)
                return time >= opens[local.weekday - 1] && time < closes[local.weekday - 1] - 1
            }
            if suits { return moment }
        }
        return nil
    }

    @Test func `the next opening is the minute at which every clock shows an allowed hour first`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        try withDatabase { db throws in
            var (found, none) = (0, 0)
            for _ in 0..<60 {
                let names = Array(Self.zones.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)))
                var (opens, closes): ([Int], [Int]) = ([], [])
                for _ in 0..<7 {
                    let hours = [Int.random(in: 0...96, using: &random), Int.random(in: 0...96, using: &random)].sorted()
                    opens.append(hours[0] * 15)
                    closes.append(hours[1] * 15)
                }
                let start = Self.moments.randomElement(using: &random)! + Double(Int.random(in: -2000...2000, using: &random) * 60)
                let expected = naive(names.map { TimeZoneRules(named: $0)! }, opens, closes, from: start)
                let told: String = try db.value(
                    "SELECT coalesce(rfc3339(nullif(next_allowed($1, $2, $3, $4), 'infinity')), 'never')", names.sqlValue,
                    opens.sqlValue, closes.sqlValue, start.sqlValue)
                #expect(Instant(rfc3339: told) == expected, "\(names) \(opens) \(closes) from \(start): \(told), seed \(seed)")
                if expected == nil { none += 1 } else { found += 1 }
            }
            #expect(found > 0 && none < 60, "seed \(seed)")
        }
    }

    struct Case: CustomTestStringConvertible, Sendable {
        let what: String
        var zone = ""
        var number = ""
        let at: String
        /// `nil`: at once.
        let opens: String?
        var setting = "\"on\""
        var testDescription: String { what }
    }

    @Test(arguments: [
        Case(what: "noon in Washington", number: "+1202", at: "2026-01-15T17:00:00Z", opens: nil),
        Case(what: "night in Washington", number: "+1202", at: "2026-01-15T04:00:00Z", opens: "2026-01-15T13:00:00Z"),
        Case(what: "the last minute of the day", number: "+1202", at: "2026-01-16T01:59:30Z", opens: "2026-01-16T13:00:00Z"),
        Case(what: "the last but one", number: "+1202", at: "2026-01-16T01:58:30Z", opens: nil),
        Case(what: "the morning after clocks went forward", number: "+1202", at: "2026-03-08T05:00:00Z", opens: "2026-03-08T12:00:00Z"),
        Case(what: "the morning after clocks went back", number: "+1202", at: "2026-11-01T05:00:00Z", opens: "2026-11-01T13:00:00Z"),
        Case(what: "Arizona in summer is with California", number: "+1602", at: "2026-07-15T14:00:00Z", opens: "2026-07-15T15:00:00Z"),
        Case(what: "Arizona in winter is with Colorado", number: "+1602", at: "2026-01-15T14:00:00Z", opens: "2026-01-15T15:00:00Z"),
        Case(what: "the Navajo change clocks in Arizona", number: "+1928", at: "2026-07-15T14:30:00Z", opens: "2026-07-15T15:00:00Z"),
        Case(what: "Hawaii", number: "+1808", at: "2026-07-15T12:00:00Z", opens: "2026-07-15T18:00:00Z"),
        Case(
            what: "Indiana 812: eight in Evansville, nine in Columbus", number: "+1812", at: "2026-01-15T13:30:00Z",
            opens: "2026-01-15T14:00:00Z"),
        Case(
            what: "Indiana 219: nine at night in the East already", number: "+1219", at: "2026-01-16T02:30:00Z",
            opens: "2026-01-16T14:00:00Z"),
        Case(what: "Indiana 317 has one zone", number: "+1317", at: "2026-01-15T13:30:00Z", opens: nil),
        Case(what: "an overlay of 812", number: "+1930", at: "2026-01-15T13:30:00Z", opens: "2026-01-15T14:00:00Z"),
        Case(what: "a toll-free number: the East to Hawaii", number: "+1888", at: "2026-01-15T17:00:00Z", opens: "2026-01-15T18:00:00Z"),
        Case(what: "their own zone beats their number", zone: "Europe/Berlin", number: "+1202", at: "2026-01-15T09:00:00Z", opens: nil),
        Case(
            what: "a zone that there is not", zone: "Mars/Olympus", number: "+1202", at: "2026-01-15T09:00:00Z",
            opens: "2026-01-15T13:00:00Z"),
        Case(what: "Germany", number: "+4917", at: "2026-01-15T06:00:00Z", opens: "2026-01-15T07:00:00Z"),
        Case(what: "Russia, from Kaliningrad to Kamchatka", number: "+7916", at: "2026-01-15T05:00:00Z", opens: "2026-01-15T06:00:00Z"),
        Case(what: "an unknown country: the workspace's zone", number: "+9991", at: "2026-01-15T05:00:00Z", opens: "2026-01-15T08:00:00Z"),
        Case(what: "nobody texts Florida after eight", number: "+1305", at: "2026-01-16T01:30:00Z", opens: "2026-01-16T13:00:00Z"),
        Case(
            what: "the law of the number holds wherever they live", zone: "America/New_York", number: "+1401", at: "2026-01-15T23:30:00Z",
            opens: "2026-01-16T14:00:00Z"),
        Case(what: "Rhode Island on Sunday", number: "+1401", at: "2026-01-18T14:30:00Z", opens: "2026-01-18T15:00:00Z"),
        Case(what: "Texas on Sunday", number: "+1214", at: "2026-01-18T15:00:00Z", opens: "2026-01-18T18:00:00Z"),
        Case(what: "Texas before its law", number: "+1214", at: "2025-08-31T14:00:00Z", opens: nil),
        Case(
            what: "strict hours on a leap day", number: "+1202", at: "2028-02-29T13:30:00Z", opens: "2028-02-29T14:00:00Z",
            setting: "\"strict\""),
        Case(
            what: "strict hours on Sunday", number: "+1202", at: "2026-01-18T15:00:00Z", opens: "2026-01-18T17:00:00Z",
            setting: "\"strict\""),
        Case(
            what: "hours of one's own", number: "+4917", at: "2026-01-15T06:00:00Z", opens: "2026-01-15T09:30:00Z",
            setting: #"{"from": "10:30", "to": "24:00"}"#),
        Case(
            what: "hours of one's own do not widen the law's", number: "+1202", at: "2026-01-15T12:00:00Z", opens: "2026-01-15T13:00:00Z",
            setting: #"{"from": "06:00", "to": "23:00"}"#),
        Case(
            what: "hours that no two places share", number: "+1888", at: "2026-01-15T12:00:00Z", opens: "infinity",
            setting: #"{"from": "12:00", "to": "13:00"}"#),
        Case(what: "off", number: "+1202", at: "2026-01-15T04:00:00Z", opens: nil, setting: "\"off\""),
    ])
    func `who may be texted when`(example: Case) throws {
        try withDatabase { db throws in
            let workspace = try db.createWorkspace()
            try db.runDynamic(
                "UPDATE workspaces SET settings = jsonb_build_object('quiet_hours_sms', $2::jsonb) WHERE id = $1",
                [workspace.sqlValue, example.setting.sqlValue])
            try db.act(as: .worker)
            try db.setWorkspace(workspace)
            let told: String = try db.value(
                "SELECT coalesce((quiet_until('sms', ARRAY[nullif($1, ''), 'Asia/Tokyo'], ARRAY[$2, '+8190'], $3::timestamptz) ->> ($1 || '/' || $2)), '')",
                example.zone.sqlValue, example.number.sqlValue, example.at.sqlValue)
            #expect(told.replacing("+00:00", with: "Z") == example.opens ?? "")
        }
    }

    @Test func `quiet hours are on for texts and off for mail until somebody says otherwise`() throws {
        try withDatabase { db throws in
            let workspace = try db.createWorkspace()
            try db.runDynamic("UPDATE workspaces SET settings = '{}' WHERE id = $1", [workspace.sqlValue])
            try db.setWorkspace(workspace)
            func until(_ channel: String) throws -> String {
                try db.value(
                    "SELECT coalesce(quiet_until($1, ARRAY['Europe/Berlin'], ARRAY['+1305'], '2026-01-15T20:30:00Z')::text, 'off')",
                    channel.sqlValue)
            }
            #expect(try until("sms") == #"{"Europe/Berlin/+1305": "2026-01-16T07:00:00+00:00"}"#)
            #expect(try until("email") == "off")
            try db.runDynamic("UPDATE workspaces SET settings = '{\"quiet_hours_email\": \"on\"}' WHERE id = $1", [workspace.sqlValue])
            // Half past nine in the evening is too late for a mail as well, and the law of Florida is not of mails.
            #expect(try until("email") == #"{"Europe/Berlin/+1305": "2026-01-16T07:00:00+00:00"}"#)
        }
    }

    @Test func `every calling code of a country has its zones`() throws {
        try withDatabase { db throws in
            // Those that prices know.
            let missing: [String] = try db.dynamic(
                """
                SELECT '+' || code FROM generate_series(20, 999) code
                 WHERE country_of_number('+' || code || '0000000') IS NOT NULL
                   AND NOT EXISTS (SELECT FROM number_places p WHERE '+' || code || '0000000' LIKE p.prefix || '%')
                """, [])
            #expect(missing == [])
            // tzdata has none for Ascension and Kosovo.
            let others: [String] = try db.dynamic(
                "SELECT unnest(zones) FROM number_places WHERE prefix IN ('+247', '+383') ORDER BY prefix", [])
            #expect(others == ["Atlantic/St_Helena", "Europe/Belgrade"])
        }
    }

    @Test func `the area codes that reach into two clocks have both`() throws {
        try withDatabase { db throws in
            // Those of libphonenumber's data, and the codes that were laid over them.
            let expected = "208 219 270 308 364 423 448 458 541 574 605 606 620 701 775 785 812 850 906 907 928 930 986"
            let split: String = try db.value(
                """
                SELECT string_agg(substr(prefix, 3), ' ' ORDER BY prefix) FROM number_places
                 WHERE region LIKE 'US-%' AND (SELECT count(DISTINCT ('2026-01-15T12:00Z'::timestamptz AT TIME ZONE z,
                                                                     '2026-07-15T12:00Z'::timestamptz AT TIME ZONE z)) FROM unnest(zones) z) > 1
                """)
            #expect(split == expected)
            #expect(try db.value("SELECT count(*) FROM number_places WHERE prefix LIKE '+1___'", as: Int.self) > 400)
            let unknown: [String] = try db.dynamic("SELECT DISTINCT z FROM number_places, unnest(zones) z WHERE NOT is_timezone(z)", [])
            #expect(unknown == [])
        }
    }
}
