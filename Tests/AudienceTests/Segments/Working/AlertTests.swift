// Alerts: told once when it begins, armed again when it has ended.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension AudienceSite {
    /// What whoever writes membership calls. Returns how many alerts fired.
    fileprivate func check(_ path: String, size: Int? = nil) throws -> Int {
        if let size {
            try owner.runDynamic(
                "UPDATE segments SET member_count = $2 WHERE id = $1::uuid", [.text(idOf(path).string ?? ""), size.sqlValue])
        }
        return try checkAlerts(path, database, workspace)
    }
}

private func checkAlerts(_ path: String, _ database: TestDatabase, _ workspace: WorkspaceID) throws -> Int {
    try database.connect(as: .worker).transaction { db in
        try db.setWorkspace(workspace)
        let fired: [Int] = try db.dynamic("SELECT check_segment_alerts($1::uuid)", [.text(idOf(path).string ?? "")])
        return fired[0]
    }
}

@Suite struct AlertTests {
    @Test func `an alert fires once when its number is passed, and again after it was not`() throws {
        try withAudience { site throws in
            let path = try site.segment("S", ["all": []])
            let made = try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 10])
            #expect(made.status == 201 && made.json["is_armed"] == true && made.json["last_fired_at"] == .null)
            try site.send("POST", path + "/alerts", json: ["kind": "below", "threshold": 3])
            let fired = try [2, 10, 11, 15, 10, 12, 2, 1, 3].map { try site.check(path, size: $0) }
            // Below 3 holds from the beginning: that is no news.
            #expect(fired == [0, 0, 1, 0, 0, 1, 1, 0, 0])
            let told = try site.send("GET", "/api/segments/notifications").json["items"]?.array ?? []
            #expect(
                Set(told.map { "\($0["kind"]?.string ?? "") \($0["figures"]?["member_count"]?.text ?? "")" }) == [
                    "above 11", "above 12", "below 2",
                ])
            #expect(told.allSatisfy { $0["segment_name"] == "S" && $0["segment_id"] == idOf(path) })
            let alerts = try site.send("GET", path + "/alerts").json["items"]?.array ?? []
            #expect(alerts.count == 2 && alerts.allSatisfy { $0["last_fired_at"]?.string != nil && $0["is_armed"] == true })
            #expect(Set(alerts.map { $0["last_figures"] }) == [["member_count": 12], ["member_count": 2]])
        }
    }

    @Test func `whatever changes the size tells the alerts: a calculation and the deletion of a contact`() throws {
        try withAudience { site throws in
            let contacts = try (0..<3).map { _ in try site.add(["name": "A"])["id"]?.string ?? "" }
            let path = try site.segment("S", ["all": []])
            try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 2])
            try site.send("POST", path + "/alerts", json: ["kind": "changes_by", "threshold": 0.5])
            try site.calculate()
            func told() throws -> [String] {
                let items = try site.send("GET", "/api/segments/notifications").json["items"]?.array ?? []
                return items.map { "\($0["kind"]?.string ?? "") \($0["figures"]?["member_count"]?.text ?? "")" }.reversed()
            }
            #expect(try told() == ["above 3"])
            try site.send("POST", path + "/alerts", json: ["kind": "below", "threshold": 2])
            for contact in contacts[..<2] { #expect(try site.send("DELETE", "/api/contacts/\(contact)").status == 204) }
            #expect(try told() == ["above 3", "below 1"])
            // Of a day before nothing is known; of one that had three, the worker finds it when it looks.
            let worker = try site.database.connect(as: .worker)
            try ShareAlerts.round(worker)
            #expect(try told() == ["above 3", "below 1"])
            try site.owner.execute("UPDATE segment_changes SET occurred_at = now() - interval '2 days' WHERE change = 'entered'")
            for _ in 0..<2 { try ShareAlerts.round(worker) }
            #expect(try told() == ["above 3", "below 1", "changes_by 1"])
        }
    }

    @Test func `a share is of the size of a day before, up or down`() throws {
        try withAudience { site throws in
            let path = try site.segment("S", ["all": []])
            try site.send("POST", path + "/alerts", json: ["kind": "changes_by", "threshold": 0.2])
            func change(_ kind: String, _ count: Int, ago: String) throws {
                try site.owner.execute(
                    """
                    INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
                    SELECT '\(site.workspace)', '\(idOf(path).string ?? "")', uuid_v7(), '\(kind)', now() - interval '\(ago)' FROM generate_series(1, \(count))
                    """)
            }
            // All of it came today: of nothing no share is known.
            try change("entered", 100, ago: "1 hour")
            #expect(try site.check(path, size: 100) == 0)
            try site.owner.execute("DELETE FROM segment_changes")
            try change("entered", 100, ago: "2 days")
            try change("entered", 19, ago: "1 hour")
            #expect(try site.check(path, size: 119) == 0)
            try change("entered", 1, ago: "1 minute")
            #expect(try site.check(path, size: 120) == 1 && site.check(path) == 0)
            try change("exited", 20, ago: "1 minute")
            #expect(try site.check(path, size: 100) == 0)
            try change("exited", 30, ago: "1 minute")
            #expect(try site.check(path, size: 70) == 1)
            let figures = try site.send("GET", "/api/segments/notifications").json["items"]?.array?.map { $0["figures"] } ?? []
            #expect(
                Set(figures) == [
                    ["member_count": 120, "day_before": 100, "share": 0.2], ["member_count": 70, "day_before": 100, "share": -0.3],
                ])
        }
    }

    @Test func `of many who check at once one tells`() throws {
        try withAudience { site throws in
            let path = try site.segment("S", ["all": []])
            try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 1])
            try site.owner.execute("UPDATE segments SET member_count = 5")
            let (database, workspace) = (site.database, site.workspace)
            let fired = try inParallel(6) { _ throws in try checkAlerts(path, database, workspace) }
            #expect(fired.reduce(0, +) == 1)
            #expect(try site.count("segment_notifications") == 1)
        }
    }

    @Test func `alerts are checked when they are made, changed and deleted, and belong to who may use the segment`() throws {
        try withAudience { site throws in
            let path = try site.segment("S", ["all": []])
            for (kind, threshold, code) in [
                ("above", 1.5, "out_of_range"), ("above", -1, "out_of_range"), ("changes_by", 0, "out_of_range"),
                ("changes_by", 101, "out_of_range"),
                ("sideways", 1, "not_one_of"),
            ] as [(String, Double, String)] {
                #expect(
                    try site.send("POST", path + "/alerts", json: ["kind": .string(kind), "threshold": .real(threshold)]).code == code,
                    "\(kind) \(threshold)")
            }
            try site.owner.execute("UPDATE segments SET member_count = 5")
            let made = try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 4])
            #expect(made.json["is_armed"] == false, "what holds already is no news")
            let alert = try #require(made.header("location"))
            #expect(try site.send("PATCH", alert, json: ["threshold": 5], headers: [("If-Match", "\"v1\"")]).json["is_armed"] == true)
            #expect(try site.owner.value("SELECT count(*) FROM audit_log WHERE action = 'segment.alert_changed'", as: Int.self) == 1)
            #expect(try site.send("PATCH", alert, json: ["threshold": 0.5]).code == "out_of_range")
            #expect(try site.check(path, size: 6) == 1)
            // On another segment it is not there.
            let other = try site.segment("Other", ["all": []])
            let elsewhere = other + "/alerts/" + (idOf(alert).string ?? "")
            #expect(try site.send("DELETE", elsewhere).status == 404)
            let user = try site.owner.createUser("manager", in: site.workspace)
            try site.send("PUT", path + "/shares", json: ["sharing": "restricted"])
            #expect(try site.send("GET", path + "/alerts", as: user.token).status == 404)
            #expect(try site.send("GET", "/api/segments/notifications", as: user.token).json["items"] == [])
            try site.send("PUT", path + "/shares/\(user.id)", json: ["permission": "view"])
            #expect(try site.send("GET", "/api/segments/notifications", as: user.token).json["items"]?.array?.count == 1)
            #expect(try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 9], as: user.token).status == 403)
            #expect(try site.send("DELETE", alert).status == 204 && site.send("DELETE", alert).status == 404)
            #expect(try site.send("GET", "/api/segments/notifications").json["items"]?.array?.count == 1, "what was told was told")
            for _ in 0..<20 { try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 9]) }
            #expect(try site.send("POST", path + "/alerts", json: ["kind": "above", "threshold": 9]).code == "too_many_alerts")
        }
    }
}
