// Scores and RFM groups as fields of rules.
import JSON
import PostgreSQL
import TestSupport
import Testing

private enum FixtureSQL {
    static let model = """
        INSERT INTO score_models (workspace_id, name, key, event, horizon_days)
        VALUES (current_workspace(), 'Will buy', 'will_buy', 'order', 30) RETURNING id::text
        """
    static let score = """
        INSERT INTO contact_scores (workspace_id, model_id, contact_id, score, decile, scored_at)
        SELECT current_workspace(), m.id, $1::uuid, $2::numeric, 5, now() FROM score_models m WHERE m.workspace_id = current_workspace()
        """
    static let groups = """
        INSERT INTO contact_rfm (workspace_id, contact_id, recency, frequency, monetary, rfm_group, last_at, event_count, calculated_at)
        VALUES (current_workspace(), $1::uuid, 5, 4, NULL, 'champions', now(), 3, now())
        """
}

@Suite struct ScoreFieldTests {
    @Test func `a score is a number of the contact, and missing for one without`() throws {
        try withWorld { world throws in
            let _: [String] = try world.db.dynamic(FixtureSQL.model, [])
            for (name, score) in [("low", "0.1"), ("middle", "0.5"), ("high", "0.9")] {
                let id = try world.contact(name)
                try world.db.runDynamic(FixtureSQL.score, [id.sqlValue, .text(score)])
            }
            try world.contact("none")
            func find(_ op: JSONValue, _ value: JSONValue? = nil, missing: JSONValue? = nil) throws -> [String] {
                var leaf: JSONObject = ["field": "scores.will_buy", "op": op]
                leaf["value"] = value
                leaf["missing"] = missing
                return try world.find(.object(leaf))
            }
            #expect(try find("at_least", 0.5) == ["high", "middle"])
            #expect(try find("is", 0.9) == ["high"])
            #expect(try find("is_not", 0.9) == ["low", "middle", "none"])
            #expect(try find("between", [0.1, 0.5]) == ["low", "middle"])
            #expect(try find("not_between", [0.1, 0.5]) == ["high", "none"])
            #expect(try find("is_known") == ["high", "low", "middle"])
            #expect(try find("is_unknown") == ["none"])
            #expect(try find("less_than", 0.5, missing: "match") == ["low", "none"])
            #expect(try find("is_not", 0.9, missing: "no_match") == ["low", "middle"])
            #expect(try world.find(["not": ["field": "scores.will_buy", "op": "at_least", "value": 0.5]]) == ["low", "none"])
            #expect(try world.faults(["match": ["field": "scores.other", "op": "is", "value": 1]]) == ["unknown_field /rule/match/field"])
        }
    }

    @Test func `fifths are numbers, groups are texts, and whoever never bought has neither`() throws {
        try withWorld { world throws in
            let id = try world.contact("buyer")
            try world.contact("none")
            try world.db.runDynamic(FixtureSQL.groups, [id.sqlValue])
            #expect(try world.find(["field": "rfm.group", "op": "is", "value": "Champions"]) == ["buyer"])
            #expect(try world.find(["field": "rfm.group", "op": "is_none_of", "value": ["champions", "lost"]]) == ["none"])
            #expect(try world.find(["field": "rfm.group", "op": "contains", "value": "champ"]) == ["buyer"])
            #expect(try world.find(["field": "rfm.recency", "op": "at_least", "value": 4]) == ["buyer"])
            #expect(try world.find(["field": "rfm.frequency", "op": "is_known"]) == ["buyer"])
            #expect(try world.find(["field": "rfm.monetary", "op": "is_unknown"]) == ["buyer", "none"])
        }
    }

    @Test func `every cell of the grid has a group`() throws {
        try withDatabase { db throws in
            let cells = try db.value(
                """
                SELECT count(rfm_group(r, f, m)) FROM generate_series(1, 5) r, generate_series(1, 5) f,
                       (SELECT generate_series(1, 5) UNION ALL SELECT NULL) AS g (m)
                """, as: Int.self)
            #expect(cells == 150)
            let named: [String] = try db.dynamic(
                "SELECT rfm_group(r, f, m) FROM (VALUES (5, 5, 5), (4, 1, 1), (3, 4, 5), (2, 3, 3), (1, 5, 4), (1, 1, NULL), (2, 2, 1)) v (r, f, m)",
                [])
            #expect(named == ["champions", "new", "loyal", "at_risk", "cannot_lose", "lost", "hibernating"])
        }
    }
}
