// From contacts and their events to published scores, in a real database.
@testable import Audience
import Foundation
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

/// A workspace whose past is made up in SQL.
private struct ScoreWorld {
    let site: AudienceSite
    let worker: Connection
    var owner: Connection { site.owner }

    init(_ site: AudienceSite) throws {
        self.site = site
        worker = try site.database.connect(as: .worker)
        try site.owner.execute("SELECT set_config('muster.workspace_id', '\(site.workspace)', false)")
    }

    func field(_ key: String, _ type: FieldType) throws {
        try owner.runDynamic(
            "INSERT INTO fields (workspace_id, key, type) VALUES (current_workspace(), $1, $2)",
            [.text("attributes." + key), .text(type.rawValue)])
    }

    /// - Parameter attributes: SQL over the number `n`.
    func contacts(_ count: Int, attributes: String) throws {
        try owner.execute(
            """
            INSERT INTO contacts (workspace_id, id, ordinal, external_id, created_at, attributes)
            SELECT current_workspace(), uuid_of_number(n), n, 'N' || n, now() - interval '100 days', \(attributes) FROM generate_series(1, \(count)) n
            """)
    }

    /// An event of every contact of whom `condition` holds. `c.ordinal` is the number, `chance` a stable draw of 0 to 1.
    func event(_ name: String, where condition: String, daysAgo: Double, properties: String = "'{}'::jsonb") throws {
        try owner.execute(
            """
            INSERT INTO events (workspace_id, contact_id, name, occurred_at, properties)
            SELECT current_workspace(), c.id, '\(name)', now() - interval '1 day' * \(daysAgo), \(properties)
              FROM contacts c, LATERAL (SELECT bucket_of('draw \(name)', uuid_of_number(c.ordinal)) / 10000.0 AS chance) d
             WHERE c.workspace_id = current_workspace() AND \(condition)
            """)
    }

    /// With an id of its name: ids of contacts and models decide who is held out, and chance alone looks like knowledge once
    /// in twenty times.
    func model(_ event: String, horizon: Int = 30, where condition: JSONValue? = nil) throws -> ScoreModelID {
        let id = try owner.one(ScoreSQL.insert, "Will \(event)", "will_\(event)", event, condition, horizon, nil)
        return try owner.value("UPDATE score_models SET id = md5(key)::uuid WHERE id = $1::uuid RETURNING id", id.sqlValue)
    }

    func run(_ model: ScoreModelID) throws -> ScoreRun.Result {
        try #require(try ScoreRun(inTransaction: inWorkspace).trainAndScore(model))
    }

    func inWorkspace(_ work: (Connection) throws -> Void) throws {
        try worker.transaction { db in
            try db.setWorkspace(site.workspace)
            try work(db)
        }
    }

    func show(_ model: ScoreModelID) throws -> JSONValue { try site.send("GET", "/api/score-models/\(model)").json }
}

private func withScores(_ body: (ScoreWorld) throws -> Void) throws {
    try withAudience { site throws in
        // Contacts' ids are random; draws must not be.
        try site.owner.execute(
            """
            CREATE FUNCTION uuid_of_number(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
            $$ SELECT lpad(to_hex(n), 32, '0')::uuid $$
            """)
        try body(try ScoreWorld(site))
    }
}

@Suite struct ScoreTrainingTests {
    @Test func `what tells who will buy is found, measured on others, and becomes a score`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.field("visits", .number)
            try world.contacts(4000, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2], 'visits', n % 7)")
            // Gold buys with 0.5, iron with 0.1; visits say nothing.
            try world.event("order", where: "d.chance < CASE c.attributes ->> 'plan' WHEN 'gold' THEN 0.5 ELSE 0.1 END", daysAgo: 10)
            let model = try world.model("order")
            let result = try world.run(model)
            #expect(result.problem == nil && result.contacts == 4000 && result.changed == 4000)
            let shown = try world.show(model)
            #expect(shown["state"] == "ready" && shown["field"] == "scores.will_order" && shown["scored_count"] == 4000)
            let heldOut = try #require(shown["report"]?["held_out"])
            let loss = try #require(heldOut["log_loss"]?.real), base = try #require(heldOut["base_rate_log_loss"]?.real)
            #expect(loss < base - 0.05)
            // The truth itself has the area 0.72.
            #expect((0.66...0.78).contains(heldOut["auc"]?.real ?? 0), "\(heldOut)")
            let features = try #require(shown["report"]?["features"]?.array)
            #expect(features.first?["feature"]?.string?.hasPrefix("attributes.plan is ") == true, "\(features)")
            for row in heldOut["calibration"]?.array ?? [] {
                #expect(abs((row["predicted"]?.real ?? 0) - (row["observed"]?.real ?? 1)) < 0.2, "\(row)")
            }
            let means: [Double] = try world.owner.dynamic(
                """
                SELECT avg(s.score)::float8 FROM contact_scores s JOIN contacts c ON c.id = s.contact_id
                 GROUP BY c.attributes ->> 'plan' ORDER BY c.attributes ->> 'plan'
                """, [])
            #expect(abs(means[0] - 0.5) < 0.06 && abs(means[1] - 0.1) < 0.06, "\(means)")
            let rule: JSONValue = ["rule": ["match": ["field": "scores.will_order", "op": "at_least", "value": 0.3]]]
            #expect(try world.site.send("POST", "/api/segments/preview", json: rule).json["count"] == 2000)
        }
    }

    @Test func `a night on which nothing happened writes no score`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.contacts(2000, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2])")
            try world.event("order", where: "d.chance < CASE c.attributes ->> 'plan' WHEN 'gold' THEN 0.6 ELSE 0.1 END", daysAgo: 10)
            let model = try world.model("order")
            #expect(try world.run(model).changed == 2000)
            #expect(try world.run(model).changed == 0)
        }
    }

    @Test func `segments that read a score follow it, and nobody else is asked to`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.contacts(1000, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2])")
            try world.event("order", where: "d.chance < CASE c.attributes ->> 'plan' WHEN 'gold' THEN 0.6 ELSE 0.1 END", daysAgo: 10)
            let model = try world.model("order")
            let marked = "SELECT count(*) FROM dirty_contacts WHERE reads = '{scores.will_order}'"
            _ = try world.run(model)
            #expect(try world.owner.value(marked, as: Int.self) == 0)
            try world.owner.execute("DELETE FROM contact_scores")
            let segment = try world.site.segment("Likely", ["field": "scores.will_order", "op": "at_least", "value": 0.3])
            _ = try world.run(model)
            #expect(try world.owner.value(marked, as: Int.self) == 1000)
            let answer = try world.site.send("DELETE", "/api/score-models/\(model)")
            #expect(answer.status == 409 && answer.code == "score_model_in_use" && answer.text.contains("Likely"))
            #expect(try world.site.send("DELETE", segment).status == 204)
            #expect(try world.site.send("DELETE", "/api/score-models/\(model)").status == 204)
            #expect(try world.site.count("contact_scores") == 0)
        }
    }

    @Test func `with too few who did it, nothing is published and the reason is told`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.contacts(500, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2])")
            try world.event("order", where: "c.ordinal <= 49", daysAgo: 10)
            try world.event("visit", where: "c.ordinal > 49", daysAgo: 10)
            let few = try world.model("order"), nearlyAll = try world.model("visit"), none = try world.model("nothing")
            #expect(try world.run(few).problem?.contains("Only 49 of the 500 contacts") == true)
            #expect(try world.run(nearlyAll).problem?.contains("Too few did not") == true)
            #expect(try world.run(none).problem?.contains("Only 0 of the 500") == true)
            #expect(try world.show(few)["state"] == "unfit" && world.site.count("contact_scores") == 0)
        }
    }

    @Test func `a model that is no better than the base rate is not published, and its old scores go`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.contacts(3000, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2])")
            try world.event("order", where: "d.chance < CASE c.attributes ->> 'plan' WHEN 'gold' THEN 0.6 ELSE 0.1 END", daysAgo: 10)
            let model = try world.model("order")
            #expect(try world.run(model).problem == nil)
            // Whoever did it is as much gold as iron now.
            try world.owner.execute("ALTER TABLE contacts DISABLE TRIGGER changed_contacts_are_noted")
            try world.owner.execute(
                "UPDATE contacts SET attributes = jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + (ordinal / 2) % 2])")
            let result = try world.run(model)
            #expect(result.problem?.contains("not reliably better") == true, "\(result)")
            let shown = try world.show(model)
            #expect(shown["state"] == "unfit" && shown["report"]?["held_out"]?["auc"] != nil)
            #expect(try world.site.count("contact_scores") == 0)
        }
    }

    @Test func `a goal may ask for more than the event's name`() throws {
        try withScores { world throws in
            try world.field("plan", .text)
            try world.contacts(1000, attributes: "jsonb_build_object('plan', (ARRAY['gold', 'iron'])[1 + n % 2])")
            try world.event("order", where: "true", daysAgo: 10, properties: "jsonb_build_object('amount', c.ordinal % 100)")
            let model = try world.model("order", where: ["field": "amount", "op": "less_than", "value": 4])
            #expect(try world.run(model).problem?.contains("Only 40 of the 1000") == true)
        }
    }

    // MARK: Nothing from after the cutoff

    /// Everything that features can be made of, as of ten days ago.
    private func observe(_ world: ScoreWorld, isPast: Bool = true) throws -> [Observation] {
        try world.worker.transaction { db in
            try db.setWorkspace(world.site.workspace)
            let cutoff = Instant.now() - 10 * 86_400
            let origins: [FeatureOrigin] = [
                .attribute("plan", .category), .attribute("visits", .number), .attribute("since", .time), .attribute("paid", .boolean),
                .column("status"), .has("email"), .tag("vip"), .event("order", .count), .event("order", .recentCount),
                .event("order", .daysSince), .event("order", .sum("amount")), .messages(.sent), .messages(.daysSince),
                .messages(.delivered),
                .responses("clicked"), .consent("sms"),
            ]
            let batch = FeatureQuery.Batch(after: ContactID(UUID(high: 0, low: 0)), size: 100, salt: "s")
            let (sql, values) = FeatureQuery.observe(origins, asOf: cutoff, isPast: isPast, goal: nil, batch)
            return try db.dynamic(sql, values)
        }
    }

    @Test func `what came after the cutoff changes no feature`() throws {
        try withScores { world throws in
            try world.contacts(3, attributes: #"'{"plan": "Gold", "visits": "12", "since": "2026-01-31", "paid": "yes"}'"#)
            try world.event("order", where: "true", daysAgo: 20, properties: #"'{"amount": 50}'::jsonb"#)
            let before = try observe(world)
            #expect(before.count == 3 && before[0].raw.texts == ["gold", "", ""])
            let numbers = before[0].raw.numbers.map { ($0 * 100).rounded() / 100 }
            #expect(numbers[0] == 12 && numbers[2...4] == [1, 0, 0] && numbers[5...8] == [1, 1, 10, 50])

            try world.event("order", where: "true", daysAgo: 5, properties: #"'{"amount": 1000}'::jsonb"#)
            try world.owner.execute(
                """
                UPDATE contacts SET attributes = '{"plan": "iron", "visits": 99}', status = 'customer', email = external_id || '@example.com',
                                    tags = '{vip}';
                DO $$ BEGIN
                    PERFORM record_consent(id, 'sms', 'opted_in', 'test', at => now() - interval '1 day') FROM contacts;
                END $$;
                UPDATE contacts SET attributes = '{"plan": "lead"}', status = NULL;
                INSERT INTO contacts (workspace_id, ordinal, created_at) VALUES (current_workspace(), 99, now() - interval '2 days')
                """)
            let after = try observe(world)
            #expect(after.map(\.id) == before.map(\.id), "who came later was not there")
            for (a, b) in zip(after, before) {
                #expect(a.raw.texts == b.raw.texts)
                for (x, y) in zip(a.raw.numbers, b.raw.numbers) { #expect(abs(x - y) < 0.001 || (x.isNaN && y.isNaN)) }
            }
            let now = try observe(world, isPast: false)
            #expect(now[0].raw.texts[0] == "lead" && now[0].raw.numbers[4] == 1, "as they are now")
        }
    }

    @Test func `an event at the cutoff is known, one right after it is the outcome`() throws {
        let goal = ScoreGoal(event: "order", condition: nil, horizonDays: 10)
        let rule = goal.rule(from: Instant(rfc3339: "2026-05-01T00:00:00Z")!, to: Instant(rfc3339: "2026-05-11T00:00:00Z")!)
        try withWorld { world throws in
            for (name, time) in [
                ("at", "2026-05-01T00:00:00Z"), ("right after", "2026-05-01T00:00:00.000001Z"), ("last", "2026-05-11T00:00:00Z"),
                ("later", "2026-05-11T00:00:00.000001Z"),
            ] {
                try world.contact(name)
                try world.event(name, "order", at: time)
            }
            #expect(try world.find(rule: rule) == ["last", "right after"])
        }
    }

    @Test func `wild values fail no feature`() throws {
        try withScores { world throws in
            try world.contacts(
                6,
                attributes:
                    #"(ARRAY['{"visits": 1e300, "since": "9999-12-31"}', '{"visits": "-9e999", "since": "0001-01-01"}', '{"visits": 1e-300, "paid": 7}', '{"visits": [1], "plan": {"a": 1}}', '{"visits": null, "plan": ""}', '{"since": "2026-02-30"}'])[n]::jsonb"#
            )
            try world.event("order", where: "true", daysAgo: 20, properties: #"'{"amount": "9e999"}'::jsonb"#)
            let rows = try observe(world)
            #expect(rows.count == 6 && rows.allSatisfy { row in row.raw.numbers.allSatisfy { $0.isNaN || $0.isFinite } })
        }
    }
}

private let hillstrom =
    ProcessInfo.processInfo.environment["CONTACTS"].map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
    ?? repositoryRoot + "/../shared/data"

extension ScoreTrainingTests {
    /// 64,000 customers of 2008 and who of them visited the shop within two weeks (Hillstrom's e-mail challenge).
    @Test(.enabled(if: FileManager.default.fileExists(atPath: hillstrom + "/hillstrom_outcomes.csv"), "the data set is absent"))
    func `of 64,000 real customers the model foresees visits better than the base rate does`() throws {
        try withScores { world throws in
            func rows(_ file: String) throws -> String {
                // Two values have a comma in them.
                try String(contentsOfFile: "\(hillstrom)/\(file).csv", encoding: .utf8).replacingOccurrences(of: "$1,000", with: "$1000")
                    .replacingOccurrences(of: "\"", with: "").replacingOccurrences(of: "\r\n", with: "\n")
            }
            for key in ["recency", "history", "mens", "womens", "newbie"] { try world.field(key, .number) }
            for key in ["history_segment", "zip_code", "channel"] { try world.field(key, .text) }
            try world.owner.runDynamic(
                """
                INSERT INTO contacts (workspace_id, id, ordinal, external_id, created_at, attributes)
                SELECT current_workspace(), uuid_of_number(n), n, r[1], now() - interval '60 days',
                       jsonb_build_object('recency', r[4], 'history_segment', r[5], 'history', r[6], 'mens', r[7], 'womens', r[8],
                                          'zip_code', r[9], 'newbie', r[10], 'channel', r[11])
                  FROM (SELECT string_to_array(line, ',') AS r, n FROM string_to_table(trim(E'\\n' FROM $1), E'\\n') WITH ORDINALITY t (line, n)
                         WHERE n > 1) s
                """, [.text(try rows("hillstrom_contacts"))])
            try world.owner.runDynamic(
                """
                INSERT INTO events (workspace_id, contact_id, name, occurred_at)
                SELECT current_workspace(), c.id, 'visit', now() - interval '7 days'
                  FROM string_to_table($1, E'\\n') AS line
                  JOIN contacts c ON c.workspace_id = current_workspace() AND c.external_id = split_part(line, ',', 1)
                 WHERE split_part(line, ',', 3) = '1'
                """, [.text(try rows("hillstrom_outcomes"))])
            try world.owner.execute("ANALYZE contacts; ANALYZE events")
            let training = ScoreTraining(
                goal: ScoreGoal(event: "visit", condition: nil, horizonDays: 14), salt: "hillstrom", now: .now(),
                inTransaction: world.inWorkspace)
            guard case .trained(_, let report) = try training.run() else {
                Issue.record("not trained")
                return
            }
            let heldOut = try #require(report["held_out"])
            #expect(report["contacts"] == 64_000 && (18_500...20_000).contains(heldOut["contacts"]?.integer ?? 0))
            let loss = try #require(heldOut["log_loss"]?.real), base = try #require(heldOut["base_rate_log_loss"]?.real)
            #expect(loss < base && (heldOut["auc"]?.real ?? 0) > 0.58, "\(report.text)")
            for row in heldOut["calibration"]?.array ?? [] {
                #expect(abs((row["predicted"]?.real ?? 0) - (row["observed"]?.real ?? 1)) < 0.04, "\(row)")
            }
            print("Hillstrom visits, held out: log-loss \(loss) against \(base), AUC \(heldOut["auc"]?.real ?? 0)")
        }
    }
}
