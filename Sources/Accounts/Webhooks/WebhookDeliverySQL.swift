internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum WebhookDeliverySQL {
    static let page = Statement<PageRow, WebhookID, TimestampText, WebhookDeliveryID, Int>(
        """
        SELECT webhook_delivery_json(d), d.created_at, d.id
          FROM webhook_deliveries d
         WHERE d.workspace_id = current_workspace() AND d.endpoint_id = $1 AND (d.created_at, d.id) < ($2::timestamptz, $3::uuid)
         ORDER BY d.created_at DESC, d.id DESC
         LIMIT $4
        """)

    static let pageInState = Statement<PageRow, WebhookID, TimestampText, WebhookDeliveryID, Int, String>(
        """
        SELECT webhook_delivery_json(d), d.created_at, d.id
          FROM webhook_deliveries d
         WHERE d.workspace_id = current_workspace() AND d.endpoint_id = $1 AND (d.created_at, d.id) < ($2::timestamptz, $3::uuid)
           AND d.state = $5
         ORDER BY d.created_at DESC, d.id DESC
         LIMIT $4
        """)

    static let read = Statement<JSONText, WebhookDeliveryID>(
        """
        SELECT webhook_delivery_json(d) FROM webhook_deliveries d WHERE d.workspace_id = current_workspace() AND d.id = $1
        """)

    /// With its attempts and the body. Those of a webhook that is gone are nobody's.
    static let readWhole = Statement<JSONText, WebhookDeliveryID>(
        """
        SELECT webhook_delivery_json(d)::jsonb || jsonb_build_object('attempts', d.attempts, 'body', webhook_body(e))
          FROM webhook_deliveries d
          JOIN webhook_events e ON e.workspace_id = d.workspace_id AND e.id = d.event_id AND e.occurred_at = d.created_at
         WHERE d.workspace_id = current_workspace() AND d.id = $1
           AND EXISTS (SELECT FROM webhook_endpoints w WHERE w.workspace_id = d.workspace_id AND w.id = d.endpoint_id)
        """)

    /// An event for one webhook alone, whatever it hears of.
    static let test = Statement<WebhookDeliveryID, WebhookID, String>(
        """
        WITH made AS (
            INSERT INTO webhook_events (workspace_id, type, data)
            VALUES (current_workspace(), $2, jsonb_build_object('webhook_id', $1::uuid)) RETURNING id, type, occurred_at)
        INSERT INTO webhook_deliveries (workspace_id, created_at, endpoint_id, event_id, type, due_at)
        SELECT current_workspace(), m.occurred_at, $1, m.id, m.type, now() FROM made m
        RETURNING id
        """)

    /// Whether the webhook of a delivery is active; no row where either is not there. Held until the transaction ends.
    static let isActive = Statement<Bool, WebhookDeliveryID>(
        """
        SELECT e.status = 'active'
          FROM webhook_deliveries d
          JOIN webhook_endpoints e ON e.workspace_id = current_workspace() AND e.id = d.endpoint_id
         WHERE d.workspace_id = current_workspace() AND d.id = $1 FOR NO KEY UPDATE
        """)

    static let replay = Statement<Int, WebhookDeliveryID>(
        """
        UPDATE webhook_deliveries
           SET state = 'pending', due_at = now(), settled_at = NULL, step = 0
         WHERE workspace_id = current_workspace() AND id = $1 AND state IN ('delivered', 'failed')
        """)

    static let replayFailed = Statement<Int, WebhookID, Instant, Int>(
        """
        UPDATE webhook_deliveries d
           SET state = 'pending', due_at = now(), settled_at = NULL, step = 0
         WHERE d.workspace_id = current_workspace() AND d.endpoint_id = $1 AND d.state = 'failed' AND d.created_at >= $2
           AND d.id = ANY (ARRAY(
               SELECT o.id FROM webhook_deliveries o
                WHERE o.workspace_id = current_workspace() AND o.endpoint_id = $1 AND o.state = 'failed' AND o.created_at >= $2
                ORDER BY o.created_at, o.id LIMIT $3))
        """)

    // MARK: The worker's

    static let due = Statement<DueWebhook>("SELECT workspace_id, endpoint_id, is_failing FROM webhooks_with_due_deliveries()")
    static let rescue = Statement<Int, Int>("SELECT rescue_webhook_deliveries($1)")
    static let giveUp = Statement<Int>("SELECT give_up_webhook_deliveries()")

    static let target = Statement<WebhookTarget, WebhookID>(
        """
        SELECT e.url, e.sealed_secret,
               CASE WHEN e.previous_secret_until > now() THEN e.previous_sealed_secret END AS previous_sealed_secret
          FROM webhook_endpoints e
         WHERE e.workspace_id = current_workspace() AND e.id = $1 AND e.status = 'active'
        """)

    /// pending → delivering: so many, leased for `$4` seconds.
    static let claim = Statement<ClaimedDelivery, WebhookID, Int, UUID, Double>(
        """
        WITH due AS MATERIALIZED (
            SELECT q.id, q.created_at FROM webhook_deliveries q
             WHERE q.workspace_id = current_workspace() AND q.endpoint_id = $1 AND q.state = 'pending' AND q.due_at <= now()
             ORDER BY q.due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        UPDATE webhook_deliveries d
           SET state = 'delivering', attempt = d.attempt + 1, step = d.step + 1, due_at = NULL, lease_token = $3,
               lease_until = clock_timestamp() + make_interval(secs => $4)
          FROM due, webhook_events e
         WHERE d.workspace_id = current_workspace() AND d.id = due.id AND d.created_at = due.created_at
           AND e.workspace_id = current_workspace() AND e.id = d.event_id AND e.occurred_at = d.created_at
        RETURNING d.id, d.created_at, d.event_id, d.step, webhook_body(e) AS body
        """)

    /// delivering → delivered, unless the lease is another's by now. The webhook has an end of its failures.
    static let delivered = Statement<Int, WebhookDeliveryID, Instant, UUID, JSONValue>(
        """
        WITH settled AS (
            UPDATE webhook_deliveries d
               SET state = 'delivered', settled_at = now(), lease_token = NULL, lease_until = NULL,
                   attempts = with_webhook_attempt(d.attempts, $4)
             WHERE d.workspace_id = current_workspace() AND d.id = $1 AND d.created_at = $2 AND d.lease_token = $3
            RETURNING d.endpoint_id)
        UPDATE webhook_endpoints e
           SET failing_since = NULL, failures = 0, rests_until = NULL
          FROM settled s
         WHERE e.workspace_id = current_workspace() AND e.id = s.endpoint_id AND (e.failures > 0 OR e.rests_until IS NOT NULL)
        """)

    /// delivering → pending in `$5` seconds, or → failed where that is NULL. The webhook rests for `$6` seconds.
    /// - Returns: whether nothing has arrived there for so long that it is given up: five days, and ten attempts.
    static let failed = Statement<Bool, WebhookDeliveryID, Instant, UUID, JSONValue, Double?, Double?>(
        """
        WITH settled AS (
            UPDATE webhook_deliveries d
               SET state = CASE WHEN $5::float8 IS NULL THEN 'failed' ELSE 'pending' END,
                   due_at = now() + make_interval(secs => $5::float8),
                   settled_at = CASE WHEN $5::float8 IS NULL THEN now() END,
                   lease_token = NULL, lease_until = NULL, attempts = with_webhook_attempt(d.attempts, $4)
             WHERE d.workspace_id = current_workspace() AND d.id = $1 AND d.created_at = $2 AND d.lease_token = $3
            RETURNING d.endpoint_id)
        UPDATE webhook_endpoints e
           SET failures = e.failures + 1, failing_since = coalesce(e.failing_since, now()),
               rests_until = greatest(e.rests_until, now() + make_interval(secs => $6::float8))
          FROM settled s
         WHERE e.workspace_id = current_workspace() AND e.id = s.endpoint_id
        RETURNING e.failing_since < now() - interval '5 days' AND e.failures >= 10
        """)

    static let disable = Statement<Bool, WebhookID, String>("SELECT disable_webhook($1, $2)")
}

struct DueWebhook: RowDecodable {
    let workspace: WorkspaceID
    let webhook: WebhookID
    let isFailing: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        workspace = try row["workspace_id"]
        webhook = try row["endpoint_id"]
        isFailing = try row["is_failing"]
    }
}

/// Where a webhook leads, and what signs.
struct WebhookTarget: RowDecodable {
    let url: String
    let sealedSecret: [UInt8]
    let previousSealedSecret: [UInt8]?
    init(_ row: borrowing Row) throws(PostgresError) {
        url = try row["url"]
        sealedSecret = try row["sealed_secret"]
        previousSealedSecret = try row["previous_sealed_secret"]
    }
}

struct ClaimedDelivery: RowDecodable {
    let id: WebhookDeliveryID
    let createdAt: Instant
    let event: UUID
    /// Attempts of the schedule with this one, from 1.
    let step: Int
    let body: String
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        createdAt = try row["created_at"]
        event = try row["event_id"]
        step = try row["step"]
        body = try row["body"]
    }
}
