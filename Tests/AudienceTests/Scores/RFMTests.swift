// Recency, frequency and monetary fifths, and their groups.
@testable import Audience
import JSON
@testable import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

extension AudienceSite {
    /// Runs the score jobs that wait, and gives their results or problems.
    fileprivate func workOnScores() throws -> [JSONValue] {
        let db = try database.connect(as: .worker)
        var rows: [JSONValue] = []
        while let claimed = try JobQueue(scoreJobs).take(db).first {
            Worker(try testConfiguration(database: database.conninfo(as: .worker)), scoreJobs, []).perform(claimed, db)
            rows.append(try owner.value("SELECT coalesce(result, problem) FROM jobs WHERE id = $1::uuid", claimed.id.sqlValue))
        }
        return rows
    }

    /// `count` contacts; the n-th orders n times, each time for n, last n days ago.
    fileprivate func buyers(_ count: Int) throws {
        try owner.execute(
            """
            SELECT set_config('muster.workspace_id', '\(workspace)', false);
            INSERT INTO contacts (workspace_id, ordinal, external_id) SELECT current_workspace(), n, 'N' || n FROM generate_series(1, \(count)) n;
            INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            SELECT current_workspace(), c.id, 'order', now() - interval '1 day' * (c.ordinal + k / 1000.0), jsonb_build_object('amount', c.ordinal)
              FROM contacts c CROSS JOIN LATERAL generate_series(0, c.ordinal - 1) k WHERE c.workspace_id = current_workspace()
            """)
    }

    fileprivate func fifths(_ column: String) throws -> [Int] {
        try owner.dynamic("SELECT r.\(column)::int FROM contact_rfm r JOIN contacts c ON c.id = r.contact_id ORDER BY c.ordinal", [])
    }
}

@Suite struct RFMTests {
    @Test func `groups that nobody wants any more go, unless a rule reads them`() throws {
        try withAudience { site throws in
            #expect(try site.send("DELETE", "/api/rfm").status == 404)
            try site.buyers(50)
            _ = try site.send("PUT", "/api/rfm", json: ["event": "order"])
            _ = try site.workOnScores()
            let path = try site.segment("Champions", ["field": "rfm.group", "op": "is", "value": "champions"])
            let refused = try site.send("DELETE", "/api/rfm")
            #expect(refused.code == "rfm_in_use" && refused.json["detail"]?.string?.contains("Champions") == true)
            #expect(try site.send("DELETE", path).status == 204)
            #expect(try site.send("DELETE", "/api/rfm").status == 204)
            #expect(try site.workOnScores() == [["contacts": 0, "changed": 50]])
            let shown = try site.send("GET", "/api/rfm").json
            #expect(shown["state"] == "unset" && shown["contacts"] == 0)
            // What a cancelled job left goes at night.
            _ = try site.send("PUT", "/api/rfm", json: ["event": "order"])
            _ = try site.workOnScores()
            #expect(try site.send("DELETE", "/api/rfm").status == 204)
            try site.owner.execute("DELETE FROM jobs")
            #expect(try site.count("contact_rfm") == 50)
            let counts = try #require(scoreChores.first).run(try site.database.connect(as: .maintenance))
            #expect(counts.first { $0.0 == "groups_changed" }?.1 == 50)
            #expect(try site.count("contact_rfm") == 0)
        }
    }

    @Test func `buyers are in fifths by each measure, and a second calculation writes nothing`() throws {
        try withAudience { site throws in
            #expect(try site.send("GET", "/api/rfm").json["state"] == "unset")
            #expect(try site.send("POST", "/api/rfm/calculate").code == "rfm_not_set")
            try site.buyers(50)
            let set = try site.send("PUT", "/api/rfm", json: ["event": "order", "value_property": "amount"])
            #expect(set.status == 200 && set.json["window_days"] == 365 && set.json["state"] == "uncalculated")
            #expect(try site.workOnScores() == [["contacts": 50, "changed": 50]])
            #expect(try site.fifths("recency") == (0..<50).map { 5 - $0 / 10 })
            #expect(try site.fifths("frequency") == (0..<50).map { 1 + $0 / 10 })
            #expect(try site.fifths("monetary") == (0..<50).map { 1 + $0 / 10 })
            let shown = try site.send("GET", "/api/rfm").json
            #expect(shown["state"] == "ready" && shown["contacts"] == 50 && shown["grid"]?.array?.count == 5)
            #expect(shown["grid"]?.array?.first == ["recency": 5, "frequency": 1, "contacts": 10, "mean_value": 38.5])
            #expect(shown["groups"]?.array?.compactMap { $0["contacts"]?.integer }.reduce(0, +) == 50)
            #expect(try site.send("POST", "/api/rfm/calculate").status == 202)
            let again = try #require(try site.workOnScores().first)
            #expect(again["changed"] == 0)
            let cannotLose: JSONValue = ["rule": ["match": ["field": "rfm.group", "op": "is", "value": "cannot_lose"]]]
            #expect(try site.send("POST", "/api/segments/preview", json: cannotLose).json["count"] == 20)
        }
    }

    @Test func `those who are equal are in one fifth, and without a value there is no monetary one`() throws {
        try withAudience { site throws in
            try site.owner.execute("SELECT set_config('muster.workspace_id', '\(site.workspace)', false)")
            try site.owner.execute(
                """
                INSERT INTO contacts (workspace_id, ordinal) SELECT current_workspace(), n FROM generate_series(1, 40) n;
                INSERT INTO events (workspace_id, contact_id, name, occurred_at)
                SELECT current_workspace(), c.id, 'order', now() - interval '3 days' FROM contacts c
                 CROSS JOIN LATERAL generate_series(1, CASE WHEN c.ordinal <= 30 THEN 1 ELSE 2 END);
                """)
            try site.send("PUT", "/api/rfm", json: ["event": "order"])
            #expect(try site.workOnScores() == [["contacts": 40, "changed": 40]])
            #expect(try site.fifths("recency") == Array(repeating: 3, count: 40), "all on the same day: the middle")
            #expect(try site.fifths("frequency") == Array(repeating: 2, count: 30) + Array(repeating: 5, count: 10))
            #expect(try site.owner.value("SELECT count(monetary) FROM contact_rfm", as: Int.self) == 0)
        }
    }

    @Test func `too few buyers are in no group, and whoever stops being a buyer leaves`() throws {
        try withAudience { site throws in
            try site.buyers(30)
            try site.send("PUT", "/api/rfm", json: ["event": "order", "value_property": "amount"])
            #expect(try site.workOnScores().first?["contacts"] == 30)
            let segment = try site.segment("Buyers", ["field": "rfm.recency", "op": "is_known"])
            try site.owner.execute("DELETE FROM dirty_contacts")
            // Ten days back are ten buyers.
            try site.send("PUT", "/api/rfm", json: ["event": "order", "value_property": "amount", "window_days": 10])
            #expect(try site.workOnScores().first?["contacts"] == 0)
            let shown = try site.send("GET", "/api/rfm").json
            #expect(shown["state"] == "too_few" && shown["problem"]?.string?.hasPrefix("Only ") == true && shown["contacts"] == 0)
            #expect(
                try site.owner.value("SELECT count(*) FROM dirty_contacts WHERE reads = '{rfm.recency}'", as: Int.self) == 30, "\(segment)")
        }
    }

    @Test func `a model's name becomes a field, and its goal is checked`() throws {
        try withAudience { site throws in
            func create(_ name: String, _ more: JSONObject = [:]) throws -> TestAnswer {
                var body: JSONObject = ["name": .string(name), "event": "order", "horizon_days": 30]
                for (key, value) in more { body[key] = value }
                return try site.send("POST", "/api/score-models", json: .object(body))
            }
            let first = try create("Likely to buy!")
            #expect(first.status == 201 && first.json["field"] == "scores.likely_to_buy" && first.json["state"] == "untrained")
            #expect(try create("likely, to buy").json["field"] == "scores.likely_to_buy_2")
            // Whoever writes rules finds them among the fields.
            let fields = try site.send("GET", "/api/fields?limit=200").json["items"]?.array ?? []
            let scores = fields.filter { $0["key"]?.string?.hasPrefix("scores.") == true }
            #expect(scores.map { $0["key"] } == ["scores.likely_to_buy", "scores.likely_to_buy_2"])
            #expect(scores.allSatisfy { $0["type"] == "number" && $0["built_in"] == true && $0["statistics"] == .null })
            #expect(!fields.contains { $0["key"] == "rfm.group" })
            #expect(try site.send("PUT", "/api/rfm", json: ["event": "order"]).status < 300)
            #expect(try site.send("GET", "/api/fields/rfm.group").json["type"] == "text")
            #expect(try site.send("GET", "/api/fields/scores.likely_to_buy").json["label"] == "Likely to buy!")
            #expect(try create("Ärger").json["field"] == "scores.rger" && create("誰").json["field"] == "scores.model")
            #expect(try create("Likely to buy!").code == "name_taken")
            let wrong = try create("Wrong", ["where": ["field": "amount", "op": "has_any_of", "value": 3]])
            #expect(wrong.status == 422 && wrong.json["errors"]?.array?.first?["pointer"] == "/where/value")
            #expect(try create("Far", ["horizon_days": 366]).status == 422)

            let path = "/api/score-models/\(first.json["id"]?.string ?? "")"
            #expect(try site.workOnScores().first?["state"] == "unfit")
            #expect(try site.send("GET", path).json["problem"]?.string?.contains("Only 0 of the 0") == true)
            let renamed = try site.send("PATCH", path, json: ["name": "Other"])
            #expect(renamed.json["field"] == "scores.likely_to_buy" && renamed.json["state"] == "unfit")
            let changed = try site.send("PATCH", path, json: ["horizon_days": 7])
            #expect(changed.json["state"] == "untrained" && changed.json["problem"] == .null && changed.json["version"] == 3)
            let job = try site.send("POST", path + "/train")
            #expect(job.status == 202 && job.json["job"]?["kind"] == "train_score_model")
            #expect(try site.workOnScores().count == 1, "the change's training is the same job")
        }
    }

    @Test func `what segments themselves tell of is not learned from`() throws {
        try withAudience { site throws in
            for (method, target, body) in [
                ("PUT", "/api/rfm", ["event": "segment.entered"]),
                ("POST", "/api/score-models", ["name": "S", "event": "segment.entered", "horizon_days": 30]),
            ] as [(String, String, JSONValue)] {
                let answer = try site.send(method, target, json: body)
                #expect(answer.status == 422 && answer.code == "reserved_event", "\(answer.text)")
                #expect(answer.json["errors"]?.array?.first?["pointer"] == "/event")
            }
        }
    }

    @Test func `a workspace has at most 20 score models, and always a key for the next`() throws {
        try withAudience { site throws in
            try site.owner.execute(
                """
                SELECT set_config('muster.workspace_id', '\(site.workspace)', false);
                INSERT INTO score_models (workspace_id, name, key, event, horizon_days)
                SELECT current_workspace(), 'M' || n, CASE n WHEN 1 THEN 'model' ELSE 'model_' || n END, 'order', 30 FROM generate_series(1, 1200) n
                """)
            let next = try site.owner.one(ScoreSQL.insert, "Next", "model", "order", nil, 30, nil)
            #expect(try site.send("GET", "/api/score-models/\(next)").json["field"] == "scores.model_1201")
            func create() throws -> TestAnswer {
                try site.send("POST", "/api/score-models", json: ["name": "One more", "event": "order", "horizon_days": 30])
            }
            let refused = try create()
            #expect(refused.status == 409 && refused.code == "too_many_score_models")
            try site.owner.execute("DELETE FROM score_models WHERE name NOT IN (SELECT 'M' || n FROM generate_series(1, 19) n)")
            #expect(try create().status == 201)
            #expect(try create().code == "too_many_score_models")
        }
    }

    @Test func `the nightly chore trains, scores and groups in every workspace`() throws {
        try withAudience { site throws in
            try site.buyers(30)
            try site.send("PUT", "/api/rfm", json: ["event": "order"])
            try site.send("POST", "/api/score-models", json: ["name": "S", "event": "order", "horizon_days": 30])
            let maintenance = try site.database.connect(as: .maintenance)
            let counts = Dictionary(uniqueKeysWithValues: try scoreChores[0].run(maintenance))
            #expect(counts == ["models": 1, "unfit": 1, "scores_changed": 0, "groups_changed": 30, "failed": 0])
        }
    }
}
