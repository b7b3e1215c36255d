// Loading facts: what is, and what was.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// How much history of one contact is looked at: far more than people do, and a bound for the memory that it takes.
enum FactsLimit {
    static let rows = 50_000
    static let bytes = 32 << 20
}

enum FactsSQL {
    // Rows of several kinds. `texts` holds contents by the first letter of their JSON type. Paths, tests and history keys
    // come as JSON arrays, because their lengths differ.

    /// The contact itself and what it belongs to. One row of the kind `contact`, unless there is none.
    static let present = Statement<FactRow, ContactID, JSONValue, JSONValue, [SegmentID], [ListID], [ScoreModelID], [String]>(
        """
        WITH contact AS MATERIALIZED (
                SELECT c.* FROM contacts c WHERE c.workspace_id = current_workspace() AND c.id = $1),
             attribute_paths AS MATERIALIZED (
                SELECT p.i, ARRAY(SELECT jsonb_array_elements_text(p.path)) AS path
                  FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY p (path, i)),
             field_tests AS MATERIALIZED (
                SELECT t.i, t.test ->> 'column' AS name, ARRAY(SELECT jsonb_array_elements_text(t.test -> 'path')) AS path,
                       t.test ->> 'pattern' AS pattern, (t.test -> 'sensitive')::boolean AS is_sensitive
                  FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY t (test, i))
        SELECT 'contact' AS kind, NULL AS name, NULL::uuid AS id, c.created_at AS at,
               ARRAY[c.external_id, c.email, c.phone, c.name, c.first_name, c.last_name, c.status, c.timezone, c.country,
                     rfc3339(c.updated_at), rfc3339(c.last_contacted_at)] AS texts, NULL::boolean[] AS tests
          FROM contact c
        UNION ALL
        SELECT 'tags', NULL, NULL, NULL, c.tags, NULL FROM contact c
        UNION ALL
        SELECT 'attributes', NULL, NULL, NULL,
               ARRAY(SELECT left(jsonb_typeof(c.attributes #> p.path), 1) || (c.attributes #>> p.path)
                       FROM attribute_paths p ORDER BY p.i),
               ARRAY(SELECT coalesce(CASE WHEN t.is_sensitive THEN v.text ~ t.pattern ELSE v.text ~* t.pattern END, false)
                       FROM field_tests t
                      CROSS JOIN LATERAL (SELECT CASE WHEN t.name IS NULL THEN text_of(c.attributes #> t.path)
                                                      ELSE (to_jsonb(c) || coalesce(to_jsonb(g), '{}')) ->> t.name END) AS v (text)
                      ORDER BY t.i)
          FROM contact c
          LEFT JOIN (SELECT g.rfm_group FROM contact_rfm g
                      WHERE g.workspace_id = current_workspace() AND g.contact_id = $1) g ON true
        UNION ALL
        SELECT 'member', NULL, m.segment_id, m.entered_at, NULL, NULL FROM segment_members m
         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.segment_id = ANY ($4::uuid[])
        UNION ALL
        SELECT 'list', NULL, m.list_id, NULL, NULL, NULL FROM list_members m
         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.list_id = ANY ($5::uuid[])
        UNION ALL
        SELECT 'consent', k.channel, NULL, k.occurred_at, ARRAY[k.state], NULL FROM consents k
         WHERE k.workspace_id = current_workspace() AND k.contact_id = $1
        UNION ALL
        SELECT 'score', NULL, v.model_id, NULL, ARRAY[v.score::text], NULL FROM contact_scores v
         WHERE v.workspace_id = current_workspace() AND v.contact_id = $1 AND v.model_id = ANY ($6::uuid[])
        UNION ALL
        SELECT 'rfm', NULL, NULL, NULL, ARRAY[v.recency::text, v.frequency::text, v.monetary::text, v.rfm_group], NULL
          FROM contact_rfm v WHERE v.workspace_id = current_workspace() AND v.contact_id = $1
        UNION ALL
        SELECT 'bucket', s.salt, NULL, NULL, ARRAY[bucket_of(s.salt, $1)::text], NULL FROM unnest($7::text[]) s (salt)
        """)

    /// What happened: events, entries and exits, changes of fields, what became of campaigns. Counted and measured as it
    /// comes, and past the limits cut off by one row that says so.
    static let past = Statement<
        FactRow, ContactID, JSONValue, JSONValue, [String], [SegmentID], JSONValue, [String], [CampaignID]?, Int, Int
    >(
        """
        WITH property_paths AS MATERIALIZED (
                SELECT p.i, ARRAY(SELECT jsonb_array_elements_text(p.path)) AS path
                  FROM jsonb_array_elements($2::jsonb) WITH ORDINALITY p (path, i)),
             property_tests AS MATERIALIZED (
                SELECT t.i, ARRAY(SELECT jsonb_array_elements_text(t.test -> 'path')) AS path,
                       t.test ->> 'pattern' AS pattern, (t.test -> 'sensitive')::boolean AS is_sensitive
                  FROM jsonb_array_elements($3::jsonb) WITH ORDINALITY t (test, i)),
             happened AS (
                SELECT 'event' AS kind, e.name, e.id, e.occurred_at AS at,
                       ARRAY(SELECT left(jsonb_typeof(e.properties #> p.path), 1) || (e.properties #>> p.path)
                               FROM property_paths p ORDER BY p.i) AS texts,
                       ARRAY(SELECT coalesce(CASE WHEN t.is_sensitive THEN text_of(e.properties #> t.path) ~ t.pattern
                                                  ELSE text_of(e.properties #> t.path) ~* t.pattern END, false)
                               FROM property_tests t ORDER BY t.i) AS tests
                  FROM events e
                 WHERE e.workspace_id = current_workspace() AND e.contact_id = $1 AND e.name = ANY ($4::text[])
                UNION ALL
                SELECT 'stay', h.change, h.segment_id, h.occurred_at, NULL, NULL
                  FROM segment_changes h
                 WHERE h.workspace_id = current_workspace() AND h.segment_id = ANY ($5::uuid[]) AND h.contact_id = $1
                UNION ALL
                SELECT 'change', k.i::text, NULL, h.changed_at,
                       ARRAY[left(jsonb_typeof(h.before #> k.path), 1) || (h.before #>> k.path),
                             left(jsonb_typeof(h.after #> k.path), 1) || (h.after #>> k.path)],
                       ARRAY[nullif(nullif(h.before #> k.path, 'null'), '""') IS DISTINCT FROM
                             nullif(nullif(h.after #> k.path, 'null'), '""')]
                  FROM (SELECT k.i, k.key -> 'key' #>> '{}' AS key,
                               ARRAY(SELECT jsonb_array_elements_text(k.key -> 'path')) AS path
                          FROM jsonb_array_elements($6::jsonb) WITH ORDINALITY k (key, i)) k
                  JOIN contact_changes h
                    ON h.workspace_id = current_workspace() AND h.contact_id = $1 AND h.key = k.key
                UNION ALL
                SELECT 'deed', d.deed, NULL, d.at, ARRAY[d.campaign], NULL
                  FROM (SELECT v.deed, m.campaign_id::text AS campaign, v.at
                          FROM messages m
                         CROSS JOIN LATERAL (VALUES
                            ('sent', m.sent_at, m.sent_at IS NOT NULL), ('delivered', m.settled_at, m.state = 'delivered'),
                            ('failed', m.settled_at, m.state IN ('undelivered', 'failed'))) AS v (deed, at, holds)
                         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.kind = 'campaign' AND v.holds
                           AND '{sent,delivered,failed}' && $7::text[]
                        UNION ALL
                        SELECT r.kind, r.campaign_id::text, r.occurred_at FROM campaign_responses r
                         WHERE r.workspace_id = current_workspace() AND r.contact_id = $1
                           AND '{clicked,converted,replied,opted_out}' && $7::text[]
                        UNION ALL
                        SELECT v.deed, i.campaign_id::text, i.received_at
                          FROM inbound_messages i
                         CROSS JOIN LATERAL (VALUES ('replied', true), ('opted_out', i.intent = 'stop')) AS v (deed, holds)
                         WHERE i.workspace_id = current_workspace() AND i.contact_id = $1 AND i.campaign_id IS NOT NULL
                           AND v.holds AND '{replied,opted_out}' && $7::text[]
                        UNION ALL
                        SELECT CASE e.name WHEN 'message.opened' THEN 'opened' ELSE 'clicked' END,
                               lower(text_of(e.properties -> 'campaign_id')), e.occurred_at
                          FROM events e
                         WHERE e.workspace_id = current_workspace() AND e.contact_id = $1
                           AND e.name IN ('message.opened', 'message.clicked')
                           AND text_of(e.properties -> 'campaign_id') IS NOT NULL
                           AND '{opened,clicked}' && $7::text[]) d
                 WHERE d.deed = ANY ($7::text[]) AND ($8::uuid[] IS NULL OR d.campaign = ANY ($8::uuid[]::text[]))),
             measured AS (
                SELECT s.*, count(*) OVER w AS row, coalesce(sum(s.size) OVER w, 0) AS bytes
                  FROM (SELECT h.*, coalesce(octet_length(h.texts::text), 0) AS size FROM happened h) s
                WINDOW w AS (ROWS UNBOUNDED PRECEDING))
        SELECT CASE WHEN m.row > $9 OR m.bytes > $10 THEN 'too_much' ELSE m.kind END AS kind, m.name, m.id, m.at,
               CASE WHEN m.row <= $9 AND m.bytes <= $10 THEN m.texts END AS texts, m.tests
          FROM measured m
         WHERE m.row <= $9 + 1 AND m.bytes - m.size <= $10
        """)
}

struct FactRow: RowDecodable {
    let kind: String
    let name: String?
    let id: UUID?
    let at: Instant?
    let texts: [String?]?
    let tests: [Bool]?
    init(_ row: borrowing Row) throws(PostgresError) {
        kind = try row["kind"]
        name = try row["name"]
        id = try row["id"]
        at = try row["at"]
        texts = try row["texts"]
        tests = try row["tests"]
    }
}
