// Counts that were made, and whether they still hold (migration 0065 says how that is known).
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// What was counted of a rule, at one instant.
struct RuleCount: RowDecodable {
    let asOf: Instant
    /// What the API shows of it, with the ids of the sample in place of its contacts: `sample_ids`.
    let answer: JSONValue

    init(asOf: Instant, answer: JSONValue) {
        self.asOf = asOf
        self.answer = answer
    }
    init(_ row: borrowing Row) throws(PostgresError) {
        asOf = try row["as_of"]
        answer = try row["answer"]
    }
}

enum CountSQL {
    static let snapshot = Statement<String>("SELECT pg_current_snapshot()::text")

    /// A count whose snapshot sees every transaction that is known to have written into the workspace.
    static let stillHolds = Statement<RuleCount, String>(
        """
        SELECT r.as_of, r.answer FROM rule_counts r
         WHERE r.workspace_id = current_workspace() AND r.key = sha256(convert_to($1, 'UTF8')) AND r.expires_at > clock_timestamp()
           AND NOT EXISTS (SELECT FROM workspace_writes w
                            WHERE w.workspace_id = current_workspace() AND NOT pg_visible_in_snapshot(w.xid::text::xid8, r.snapshot))
        """)
    static let keep = Statement<Int, String, JSONValue, Instant, String, Double>(
        """
        INSERT INTO rule_counts AS r (workspace_id, key, answer, as_of, snapshot, expires_at)
        VALUES (current_workspace(), sha256(convert_to($1, 'UTF8')), $2, $3, $4::text::pg_snapshot,
                clock_timestamp() + make_interval(secs => $5))
        ON CONFLICT (workspace_id, key) DO UPDATE
           SET answer = excluded.answer, as_of = excluded.as_of, snapshot = excluded.snapshot, expires_at = excluded.expires_at
         WHERE r.as_of < excluded.as_of
        """)
    /// Old ones, and what is more than 500. Whoever is at them already does it.
    static let forget = Statement<Int>(
        """
        DELETE FROM rule_counts r USING (
            SELECT k.key FROM rule_counts k
             WHERE k.workspace_id = current_workspace()
               AND (k.expires_at < now() OR k.as_of < (SELECT min(n.as_of) FROM (
                        SELECT as_of FROM rule_counts WHERE workspace_id = current_workspace() ORDER BY as_of DESC LIMIT 500) n))
               FOR UPDATE SKIP LOCKED) old
         WHERE r.workspace_id = current_workspace() AND r.key = old.key
        """)
    static let contacts = Statement<JSONValue, [ContactID]>(
        """
        SELECT contact_json(c) FROM contacts c
         WHERE c.workspace_id = current_workspace() AND c.id = ANY ($1::uuid[]) ORDER BY c.id
        """)

    // MARK: Estimates

    /// Ordinals that were ever given out.
    static let places = Statement<Int>(
        """
        SELECT last_ordinal FROM contact_ordinals WHERE workspace_id = current_workspace()
        """)
    /// Places drawn at random, all equally likely: how many, and the contacts that are there.
    static let draw = Statement<Drawn, Int, Int>(
        """
        WITH drawn AS MATERIALIZED (SELECT DISTINCT 1 + floor(random() * $1::bigint)::bigint AS place FROM generate_series(1, $2::bigint))
        SELECT (SELECT count(*) FROM drawn) AS places,
               ARRAY(SELECT c.id FROM contacts c
                      WHERE c.workspace_id = current_workspace() AND c.ordinal = ANY (ARRAY(SELECT d.place FROM drawn d))) AS contacts
        """)
}

struct Drawn: RowDecodable {
    let places: Int
    let contacts: [ContactID]
    init(_ row: borrowing Row) throws(PostgresError) {
        places = try row["places"]
        contacts = try row["contacts"]
    }
}

extension Dependencies {
    /// How long a count may be kept while nothing is written. What moves by time alone, or is read from where no writes
    /// are noted, is soon another.
    var secondsOfCount: Double {
        let noted = inputs.allSatisfy { input in
            RuleContext.builtIn[input] != nil || ["attributes.", "event:", "list:", "consent:"].contains { input.hasPrefix($0) }
        }
        return readsTime || !noted ? 5 : 600
    }
}
