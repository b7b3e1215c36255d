import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct ExperimentDraftTests {
    private let variants: JSONValue = [["name": "short", "weight": 1, "body": "Yo"], ["name": "own", "weight": 3]]

    @Test func `a draft's experiment is kept, replaced and taken away, and fixed once it has started`() throws {
        try withMessagingSite { site throws in
            #expect(try site.get(site.campaign).json["experiment"]?.isNull == true)
            let plan: JSONValue = [
                "variants": variants, "test_percent": 12.5, "winner": "automatic", "measure": "replied", "decide_after_seconds": 300,
            ]
            let made = try site.post("/api/campaigns", ["name": "Sale", "channel": "sms", "body": "Hi", "experiment": plan])
            #expect(made.status == 201 && made.json["experiment"]?["test_percent"]?.real == 12.5, "\(made.text)")
            let stored = try site.send("PATCH", site.campaign, ["experiment": plan]).json["experiment"]
            #expect(stored?["variants"]?.array?.map { $0["name"]?.string } == ["short", "own"], "\(stored?.text ?? "")")
            #expect(stored?["variants"]?.array?.map { $0["body"]?.string } == ["Yo", nil])
            #expect(stored?["winner"] == "automatic" && stored?["measure"] == "replied" && stored?["decide_after_seconds"] == 300)
            #expect(stored?["decision"]?.isNull == true && stored?["decide_at"]?.isNull == true)
            let other: JSONValue = ["variants": variants, "test_percent": 100, "winner": "none"]
            #expect(try site.send("PATCH", site.campaign, ["experiment": other]).json["experiment"]?["winner"] == "none")
            #expect(try site.send("PATCH", site.campaign, ["experiment": .null]).json["experiment"]?.isNull == true)
            #expect(try site.send("PATCH", site.campaign, ["experiment": other]).status == 200)
            // A list shows no texts.
            let listed = try site.get("/api/campaigns").json["items"]?.array?.last
            #expect(listed?["experiment"]?["variants"]?.array?.first?["weight"] == 1, "\(listed?.text ?? "")")
            #expect(listed?["experiment"]?["variants"]?.array?.first?["body"] == nil)
            #expect(try site.post(site.campaign + "/start").status == 200)
            #expect(try site.send("PATCH", site.campaign, ["experiment": .null]).status == 409)
            for statement in [
                "UPDATE campaign_variants SET weight = 9 WHERE campaign_id = '\(site.scene.campaign)'",
                "DELETE FROM campaign_variants WHERE campaign_id = '\(site.scene.campaign)'",
                "UPDATE campaign_experiments SET test_basis_points = 9 WHERE campaign_id = '\(site.scene.campaign)'",
            ] {
                #expect(throws: PostgresError.self) { try site.owner.execute(statement) }
            }
            // A draft goes with its experiment.
            #expect(try site.send("DELETE", "/api/campaigns/\(made.json["id"]!.string!)").status == 204)
        }
    }

    @Test(arguments: [
        (#"{"variants":[{"name":"a","weight":1}],"test_percent":100,"winner":"none"}"#, "/experiment/variants", "too_few"),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1},{"name":"c","weight":1},{"name":"d","weight":1},{"name":"e","weight":1},{"name":"f","weight":1}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants", "too_many"
        ),
        (
            #"{"variants":[{"name":"a","weight":0},{"name":"b","weight":1}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants/0/weight", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1001}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants/1/weight", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"a","weight":1}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants/1/name", "repeated"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":0,"winner":"by_hand"}"#,
            "/experiment/test_percent", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":100.01,"winner":"by_hand"}"#,
            "/experiment/test_percent", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":1.005,"winner":"by_hand"}"#,
            "/experiment/test_percent", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":99.99,"winner":"none"}"#,
            "/experiment/test_percent", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":9,"winner":"automatic","decide_after_seconds":300}"#,
            "/experiment/measure", "required"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":9,"winner":"automatic","measure":"replied"}"#,
            "/experiment/decide_after_seconds", "required"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":9,"winner":"automatic","measure":"replied","decide_after_seconds":299}"#,
            "/experiment/decide_after_seconds", "out_of_range"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":9,"winner":"by_hand","decide_after_seconds":300}"#,
            "/experiment/decide_after_seconds", "not_expected"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1}],"test_percent":9,"winner":"by_hand","measure":"opened"}"#,
            "/experiment/measure", "email_only"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1,"subject":"Hi"}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants/1/subject", "email_only"
        ),
        (
            #"{"variants":[{"name":"a","weight":1},{"name":"b","weight":1,"body":"{{"}],"test_percent":100,"winner":"none"}"#,
            "/experiment/variants/1/body", "template_unclosed"
        ),
    ])
    func `what makes no experiment is told where it stands`(_ plan: String, _ pointer: String, _ code: String) throws {
        try withMessagingSite { site throws in
            let answer = try site.send("PATCH", site.campaign, ["experiment": JSONValue(parsing: Array(plan.utf8), limits: .trusted)])
            #expect(answer.status == 422, "\(answer.text)")
            #expect(
                answer.json["errors"]?.array?.contains { $0["pointer"]?.string == pointer && $0["code"]?.string == code } == true,
                "\(answer.text)")
            #expect(try site.get(site.campaign).json["experiment"]?.isNull == true)
        }
    }

    @Test func `a campaign starts only with what its measure needs, and with variants that can be written`() throws {
        try withMessagingSite { site throws in
            func faults(_ change: JSONValue) throws -> [String] {
                let answer = try site.send("PATCH", site.campaign, change)
                #expect(answer.status == 200, "\(answer.text)")
                let report = try site.post(site.campaign + "/preflight").json
                let faults = report["faults"]?.array?.map { "\($0["pointer"]?.string ?? "") \($0["code"]?.string ?? "")" } ?? []
                #expect(report["can_start"]?.bool == faults.isEmpty)
                return faults
            }
            func plan(_ measure: String, body: String = "Yo") -> JSONValue {
                [
                    "variants": [["name": "a", "weight": 1, "body": .string(body)], ["name": "b", "weight": 1]], "test_percent": 10,
                    "winner": "automatic", "measure": .string(measure), "decide_after_seconds": 3600,
                ]
            }
            #expect(try faults(["experiment": plan("clicked")]) == ["/track_links required"])
            #expect(try faults(["track_links": true]) == [])
            #expect(try faults(["experiment": plan("converted")]) == ["/goal_event required"])
            #expect(try faults(["goal_event": "bought"]) == [])
            #expect(
                try faults(["experiment": plan("replied", body: "Hi {{ attributes.nickname }}")]) == [
                    "/experiment/variants/0/body unknown_variable"
                ])
            #expect(try faults(["experiment": plan("replied")]) == [])
            let soon = Instant.now() + 1800
            #expect(try faults(["send_until": .string(soon.description)]) == ["/experiment/decide_after_seconds out_of_range"])
            #expect(try site.post(site.campaign + "/start").status == 422)
            #expect(try faults(["send_until": .string((soon + 86_400).description)]) == [])
        }
    }

    @Test func `a campaign is scheduled only for a time at which its experiment can still have a winner`() throws {
        try withMessagingSite { site throws in
            let plan: JSONValue = [
                "variants": variants, "test_percent": 10, "winner": "automatic", "measure": "replied", "decide_after_seconds": 3600,
            ]
            let day = Instant.now() + 86_400
            let draft: JSONValue = ["experiment": plan, "send_until": .string((day + 1800).description)]
            #expect(try site.send("PATCH", site.campaign, draft).status == 200)
            // It could start now.
            #expect(try site.post(site.campaign + "/preflight").json["can_start"] == true)
            let late = try site.post(site.campaign + "/schedule", ["at": .string(day.description)])
            #expect(late.status == 422, "\(late.text)")
            #expect(late.json["errors"]?.array?.map { $0["pointer"]?.string } == ["/experiment/decide_after_seconds"])
            #expect(try site.post(site.campaign + "/schedule", ["at": .string((day + -7200).description)]).status == 200)
        }
    }

    @Test func `preflight warns when the winner is chosen before the test is sent`() throws {
        try withMessagingSite(contacts: 400) { site throws in
            func isWarned(_ percent: Double, _ seconds: Int, _ winner: String = "automatic") throws -> Bool {
                let isAutomatic = winner == "automatic"
                let plan: JSONValue = [
                    "variants": variants, "test_percent": .real(percent), "winner": .string(winner),
                    "measure": isAutomatic ? "replied" : .null, "decide_after_seconds": isAutomatic ? JSONValue(seconds) : .null,
                ]
                let answer = try site.send("PATCH", site.campaign, ["experiment": plan])
                #expect(answer.status == 200, "\(answer.text)")
                let warnings = try #require(try site.post(site.campaign + "/preflight").json["warnings"]?.array)
                return warnings.contains { $0["code"] == "decided_too_early" && $0["pointer"] == "/experiment/decide_after_seconds" }
            }
            // 400 seconds for everybody.
            try site.owner.execute("UPDATE senders SET rate_parts_per_second = 1")
            #expect(try isWarned(90, 300))
            #expect(try !isWarned(70, 300))
            #expect(try isWarned(100, 300))
            #expect(try !isWarned(100, 600))
            #expect(try !isWarned(90, 0, "by_hand"))
            // Clocks on earth take 26 hours, and the time runs from the first message.
            _ = try isWarned(10, 86_400)
            let soon = Instant.now() + 3 * 86_400
            let scheduled = try site.post(site.campaign + "/schedule", ["at_local": .string(String(soon.description.prefix(16)))])
            #expect(scheduled.status == 200, "\(scheduled.text)")
            let warnings = try site.post(site.campaign + "/preflight").json["warnings"]?.array ?? []
            #expect(warnings.contains { $0["code"] == "decided_too_early" })
        }
    }

    @Test func `preflight counts each variant for those who would get it`() throws {
        try withMessagingSite(contacts: 200) { site throws in
            let long = String(repeating: "x", count: 161)
            let plan: JSONValue = [
                "variants": [["name": "short", "weight": 3, "body": "Yo"], ["name": "long", "weight": 1, "body": .string(long)]],
                "test_percent": 100, "winner": "none",
            ]
            #expect(try site.send("PATCH", site.campaign, ["experiment": plan]).status == 200)
            let parts = try site.post(site.campaign + "/preflight").json["parts"]
            let inLong = try site.scene.places(site.owner).values.filter { $0.place == 1 }.count
            #expect(inLong > 0 && parts?["histogram"]?["2"]?.integer == inLong, "\(parts?.text ?? "")")
            #expect(parts?["histogram"]?["1"]?.integer == 200 - inLong && parts?["total"]?.integer == 200 + inLong)
            // Of those who wait nobody knows yet: each variant for as many as its weight says.
            var waiting = plan.object!
            waiting["winner"] = "by_hand"
            waiting["test_percent"] = 1
            #expect(try site.send("PATCH", site.campaign, ["experiment": .object(waiting)]).status == 200)
            #expect(try site.post(site.campaign + "/preflight").json["parts"]?["histogram"]?["2"]?.integer == inLong)
        }
    }
}
