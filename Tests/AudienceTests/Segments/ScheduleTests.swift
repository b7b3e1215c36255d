// When segments are brought up to date, as their users say it.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing

@Suite struct ScheduleTests {
    @Test func `a segment is live unless its schedule says otherwise, and tells how far it can lag`() throws {
        try withAudience { site throws in
            let live = try site.send("GET", try site.segment("Live", ["all": []])).json
            #expect(live["schedule"] == ["kind": "live"] && live["lag_seconds"] == 5 && live["next_refresh_at"] == .null)
            for (schedule, lag) in [
                (["kind": "every", "minutes": 30], 1800), (["kind": "daily", "at": "06:30"], 86400), (["kind": "manual"], .null),
            ] as [(JSONValue, JSONValue)] {
                let answer = try site.send(
                    "POST", "/api/segments", json: ["name": schedule["kind"]!, "rule": ["match": ["all": []]], "schedule": schedule])
                #expect(answer.status == 201 && answer.json["schedule"] == schedule && answer.json["lag_seconds"] == lag)
                #expect((answer.json["next_refresh_at"] == .null) == (schedule == ["kind": "manual"]))
            }
        }
    }

    @Test func `faults of a schedule are told where they are`() throws {
        try withAudience { site throws in
            for (schedule, pointers) in [
                (["kind": "every"], ["/schedule/minutes"]), (["kind": "daily"], ["/schedule/at"]),
                (["kind": "daily", "at": "24:00"], ["/schedule/at"]), (["kind": "daily", "at": "06:3x"], ["/schedule/at"]),
                (["kind": "live", "minutes": 3, "at": "06:30"], ["/schedule/minutes", "/schedule/at"]),
                (["kind": "every", "minutes": 0], ["/schedule/minutes"]), (["kind": "hourly"], ["/schedule/kind"]),
            ] as [(JSONValue, [String])] {
                let answer = try site.send(
                    "POST", "/api/segments", json: ["name": "Faulty", "rule": ["match": ["all": []]], "schedule": schedule])
                #expect(answer.status == 422)
                #expect(answer.json["errors"]?.array?.compactMap { $0["pointer"]?.string } == pointers, "\(schedule.text)")
            }
        }
    }

    @Test func `a segment that becomes live is calculated, one that stays what it is is not`() throws {
        try withAudience { site throws in
            let path = try site.segment("Quiet", ["all": []])
            #expect(try site.calculate().count == 1)
            #expect(try site.send("PATCH", path, json: ["schedule": ["kind": "manual"]]).json["state"] == "ready")
            #expect(try site.calculate().isEmpty)
            #expect(try site.send("PATCH", path, json: ["schedule": ["kind": "live"]]).json["state"] == "stale")
            #expect(try site.calculate().count == 1)
            #expect(try site.send("PATCH", path, json: ["schedule": ["kind": "live"]]).json["state"] == "ready")
            #expect(try site.calculate().isEmpty)
        }
    }

    @Test(arguments: [
        // Berlin: 06:30 before and after it has passed; a time that the change to summer time skips; and one that comes twice.
        ("2026-11-21T05:00:00Z", "06:30", "2026-11-21T05:30:00.000000Z"), ("2026-11-21T05:30:00Z", "06:30", "2026-11-22T05:30:00.000000Z"),
        ("2026-03-28T23:00:00Z", "02:30", "2026-03-29T01:30:00.000000Z"), ("2026-10-24T22:00:00Z", "02:30", "2026-10-25T01:30:00.000000Z"),
    ]) func `a daily schedule follows the workspace's clock`(after: String, at: String, next: String) throws {
        try withDatabase { db in
            let found: String = try db.value(
                "SELECT rfc3339(next_refresh('daily', NULL, $1::time, $2::timestamptz, 'Europe/Berlin'))", at.sqlValue, after.sqlValue)
            #expect(found == next)
        }
    }
}
