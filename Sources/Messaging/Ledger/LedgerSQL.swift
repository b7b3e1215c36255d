// The ledger's transitions, each for a batch of messages in one statement. docs/states.md draws them.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

enum LedgerSQL {
    /// Why message `m` of contact `c` is not to be sent after all. Tests go to an address that somebody typed in: for
    /// them suppression holds, consent does not. What asks for consent does without one, as long as it waits for an answer.
    private static let reasonNow = """
        CASE WHEN m.kind <> 'test' AND c.id IS NULL THEN 'contact_deleted'
             WHEN m.kind <> 'test' AND m.to_address IS DISTINCT FROM (\(Reachability.address("c", channel: "m.channel")))
                THEN 'address_changed'
             WHEN m.kind = 'test' THEN CASE WHEN s.reason = 'opt_out' THEN 'opted_out'
                                            WHEN s.reason IS NOT NULL THEN 'suppressed' END
             WHEN m.kind = 'request' THEN coalesce(nullif(\(Reachability.reason), 'no_consent'), CASE WHEN NOT EXISTS (
                 SELECT FROM consent_request_messages q
                   JOIN consent_requests r ON r.workspace_id = q.workspace_id AND r.id = q.request_id
                  WHERE q.workspace_id = current_workspace() AND q.message_id = m.id AND r.state = 'pending' AND r.expires_at > now())
                 THEN 'request_ended' END)
             ELSE \(Reachability.reason) END
        """

    /// Whether starting message `m` counts against what may be spent or sent. Tests and requests do not, and a message that was
    /// started before has counted, unless somebody has it tried again: that is another one to the provider. NULL where there is no
    /// message.
    static let isNew = """
        (m.kind = 'campaign' AND (m.attempt = 0 OR EXISTS (
            SELECT FROM former_attempts f
             WHERE f.workspace_id = current_workspace() AND f.message_id = m.id AND f.attempt = m.attempt)))
        """

    private static let contactAndConsent = """
        LEFT JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = m.contact_id
             \(Reachability.joins(contact: "m.contact_id", address: "m.to_address", channel: "m.channel"))
        """

    /// The oldest due messages of campaign `$1`, `$2` at most, of one that sends, or tests and requests of any; with what its time says.
    private static let picked = """
        WITH picked AS MATERIALIZED (
            SELECT m.id, m.created_at, m.kind, m.contact_id, m.channel, m.to_address, m.body, m.due_at,
                   \(QuietHours.holds) AS keeps_hours
              FROM messages m
             WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.state = 'pending' AND m.due_at <= now()
               AND (m.kind <> 'campaign'
                    OR (SELECT p.status FROM campaigns p WHERE p.workspace_id = current_workspace() AND p.id = $1) = 'sending')
             ORDER BY m.due_at, m.id
             LIMIT $2 FOR UPDATE SKIP LOCKED),
        \(QuietHours.claimed)
        """

    /// Locks what is due, for `startHeld` in the same transaction, which has the last look at consent and suppression. What
    /// keeps hours now comes as skipped: it stays as it is, for `claim`.
    /// - Parameters: campaign, at most, whether the text reads the contact.
    static let hold = Statement<ClaimedMessage, CampaignID, Int, Bool>(
        """
        \(picked)
        SELECT m.id, m.created_at, m.kind, m.contact_id, m.to_address, m.body,
               (\(QuietHours.reason)) IS NOT NULL OR (\(QuietHours.until)) IS NOT NULL AS is_skipped,
               CASE WHEN $3 AND c.id IS NOT NULL THEN \(TemplateSQL.contactFields("c"))::text END AS contact
          FROM picked m CROSS JOIN hours h
          LEFT JOIN contacts c ON c.workspace_id = current_workspace() AND c.id = m.contact_id
         ORDER BY m.due_at, m.id
        """)

    /// pending → claimed, for the oldest due messages. Consent and suppression are asked again in this very statement:
    /// pending → skipped for those who have said no meanwhile. Where it is a quiet hour, the message stays pending until
    /// that is over.
    /// - Parameters: campaign, at most, lease token, lease in seconds, whether the text reads the contact.
    static let claim = Statement<ClaimedMessage, CampaignID, Int, UUID, Double, Bool>(
        """
        \(picked),
        judged AS MATERIALIZED (
            SELECT m.id, m.created_at, coalesce(\(reasonNow), \(QuietHours.reason)) AS reason, \(QuietHours.until) AS quiet_until,
                   CASE WHEN $5 AND c.id IS NOT NULL THEN \(TemplateSQL.contactFields("c"))::text END AS contact
              FROM picked m CROSS JOIN hours h
             \(contactAndConsent)),
        decided AS (
            SELECT j.*, CASE WHEN j.reason IS NOT NULL THEN 'skipped' WHEN j.quiet_until IS NULL THEN 'claimed' ELSE 'pending' END AS next
              FROM judged j),
        moved AS (
            UPDATE messages m
               SET state = j.next, skip_reason = j.reason,
                   due_at = CASE WHEN j.next = 'pending' THEN j.quiet_until ELSE m.due_at END,
                   lease_token = CASE WHEN j.next = 'claimed' THEN $3::uuid END,
                   lease_until = CASE WHEN j.next = 'claimed' THEN now() + make_interval(secs => $4) END,
                   settled_at = CASE WHEN j.next = 'skipped' THEN now() END
              FROM decided j
             WHERE m.workspace_id = current_workspace() AND m.id = j.id AND m.created_at = j.created_at
            RETURNING m.id, m.created_at, m.kind, m.contact_id, m.due_at, m.to_address, m.body, m.state, j.contact)
        SELECT v.id, v.created_at, v.kind, v.contact_id, v.to_address, v.body, v.state <> 'claimed' AS is_skipped, v.contact
          FROM moved v
         ORDER BY v.due_at, v.id
        """)

    /// claimed → started, committed before the request leaves. The last look at consent, suppression, campaign, sender
    /// and workspace: claimed → skipped for who has said no, claimed → pending where the campaign was paused or the
    /// sender or the workspace suspended, where there is a monthly limit that nobody has asked, or where the server turns
    /// out to be another one. Caps hold when `FrequencyCaps.lock` came before. Rows of another lease are not touched and not
    /// returned.
    /// - Parameters: campaign, lease token, ids, creation times, texts, parts, lease in seconds, whether they are counted
    ///   against the month.
    static let start = Start(starting("m.state = 'claimed' AND m.lease_token = $2"))

    /// pending → started, of messages that `hold` has locked in this transaction; else as `start`.
    static let startHeld = Start(starting("m.state = 'pending'"))

    typealias Start = Statement<StartedMessage, CampaignID, UUID, [MessageID], [Instant], [String], [Int], Double, Bool>

    private static func starting(_ inHand: String) -> String {
        """
        WITH wanted AS (
            SELECT w.id, w.created_at, w.body, w.parts
              FROM unnest($3::uuid[], $4::timestamptz[], $5::text[], $6::int[]) AS w (id, created_at, body, parts)),
        held AS MATERIALIZED (
            SELECT m.id, m.created_at, m.kind, m.contact_id, m.channel, m.to_address, m.state, w.body, w.parts
              FROM wanted w
              JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
             WHERE \(inHand)
               FOR UPDATE OF m),
        judged AS MATERIALIZED (
            SELECT m.id, m.created_at, m.body, m.parts, p.status,
                   coalesce(\(reasonNow),
                        CASE WHEN m.kind = 'campaign' AND p.status = 'cancelled' THEN 'campaign_cancelled'
                             WHEN p.status = 'sending' THEN \(FrequencyCaps.reason) END) AS reason,
                   CASE WHEN (m.kind <> 'campaign' OR p.status = 'sending') AND o.status = 'active'
                         AND (SELECT w.suspended_at IS NULL FROM workspaces w WHERE w.id = current_workspace())
                         AND (SELECT NOT sending_is_held())
                         AND (m.kind <> 'campaign' OR $8
                              OR (SELECT monthly_limit(x.channel) IS NULL FROM campaigns x
                                   WHERE x.workspace_id = current_workspace() AND x.id = $1))
                        THEN 'started' ELSE 'pending' END AS otherwise
              FROM held m
              JOIN campaigns p ON p.workspace_id = current_workspace() AND p.id = $1
              LEFT JOIN senders o ON o.workspace_id = current_workspace() AND o.id = p.sender_id
             \(contactAndConsent)),
        decided AS (
            SELECT j.*, CASE WHEN j.reason IS NOT NULL THEN 'skipped' ELSE j.otherwise END AS next FROM judged j)
        UPDATE messages m
           SET state = d.next, skip_reason = d.reason,
               body = CASE WHEN d.next = 'started' OR m.kind <> 'campaign' THEN d.body END,
               parts = CASE WHEN d.next = 'started' OR m.kind <> 'campaign' THEN d.parts END,
               attempt = CASE WHEN d.next = 'started' THEN m.attempt + 1 ELSE m.attempt END,
               started_at = CASE WHEN d.next = 'started' THEN now() ELSE m.started_at END,
               lease_token = CASE WHEN d.next = 'started' THEN $2::uuid END,
               lease_until = CASE WHEN d.next = 'started' THEN now() + make_interval(secs => $7) END,
               settled_at = CASE WHEN d.next = 'skipped' THEN now() END
          FROM decided d
         WHERE m.workspace_id = current_workspace() AND m.id = d.id AND m.created_at = d.created_at
        RETURNING m.id, m.state, m.attempt
        """
    }

    /// Waits until nobody else is at these messages, so that the next statement sees what became of them.
    static let awaitOthers = Statement<Int, [MessageID], [Instant]>(
        """
        SELECT 1 FROM unnest($1::uuid[], $2::timestamptz[]) AS w (id, created_at)
          JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
         ORDER BY m.id FOR UPDATE OF m
        """)

    /// Gives back messages whose request never left, or drops them with a reason: → pending, or → skipped. They may
    /// be started where the commit's own answer was lost.
    static let giveBack = Statement<Int, UUID, [MessageID], [Instant], [String?]>(
        """
        UPDATE messages m
           SET state = CASE WHEN w.reason IS NULL THEN 'pending' ELSE 'skipped' END, skip_reason = w.reason,
               settled_at = CASE WHEN w.reason IS NOT NULL THEN now() END, lease_token = NULL, lease_until = NULL
          FROM unnest($2::uuid[], $3::timestamptz[], $4::text[]) AS w (id, created_at, reason)
         WHERE m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
           AND (m.state = 'claimed' OR m.state = 'started' AND w.reason IS NULL) AND m.lease_token = $1
        """)

    /// What became of attempts: started → sent | failed | unknown | pending. An attempt that was given up as unknown
    /// may still learn that it was sent or refused; its number keeps any other attempt out. A callback that came
    /// first has moved the row on, and then there is nothing left to do.
    /// Parts are what the provider says, where it does: that is what it charges for.
    /// - Parameters: ids, creation times, attempts, outcomes, sids, provider's status, codes, seconds to wait, reasons,
    ///   parts.
    static let settle = Statement<
        MessageID, [MessageID], [Instant], [Int], [String], [String?], [String?], [Int?], [Double?], [String?], [Int?]
    >(
        """
        UPDATE messages m
           SET state = o.outcome,
               sid = CASE WHEN o.outcome = 'sent' THEN o.sid END,
               sent_at = CASE WHEN o.outcome = 'sent' THEN now() END,
               provider_status = CASE o.outcome WHEN 'sent' THEN o.status WHEN 'failed' THEN 'rejected' END,
               provider_rank = CASE o.outcome WHEN 'sent' THEN coalesce(provider_rank(o.status), 0) WHEN 'failed' THEN 4 END,
               error_code = CASE WHEN o.outcome = 'failed' THEN o.code END,
               settled_at = CASE WHEN o.outcome = 'failed' THEN now() END,
               due_at = CASE WHEN o.outcome = 'pending' THEN now() + make_interval(secs => coalesce(o.wait, 0)) ELSE m.due_at END,
               body = CASE WHEN o.outcome = 'pending' AND m.kind = 'campaign' THEN NULL ELSE m.body END,
               parts = CASE WHEN o.outcome = 'pending' AND m.kind = 'campaign' THEN NULL
                            WHEN o.outcome = 'sent' THEN coalesce(o.parts, m.parts) ELSE m.parts END,
               unknown_reason = CASE WHEN o.outcome = 'unknown' THEN o.reason END,
               lease_token = NULL, lease_until = NULL
          FROM unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::text[], $5::text[], $6::text[], $7::int[], $8::float8[], $9::text[], $10::int[])
               AS o (id, created_at, attempt, outcome, sid, status, code, wait, reason, parts)
         WHERE m.workspace_id = current_workspace() AND m.id = o.id AND m.created_at = o.created_at
           AND m.attempt = o.attempt
           AND (m.state = 'started' OR m.state = 'unknown' AND o.outcome IN ('sent', 'failed'))
        RETURNING m.id
        """)

    /// Sets the workspace, ends the session of a process that stands still in here, because everybody else of the sender waits for
    /// what it holds, and keeps the plans of this transaction to look-ups by key: all of its statements touch few
    /// rows, and tables that were just filled have no statistics yet that would say how long reading them whole takes.
    static let beginByKey = Statement<String?, WorkspaceID>(
        """
        SELECT \(byKey)
        """)
    private static let byKey = """
        set_workspace($1)::text, set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
               set_config('enable_mergejoin', 'off', true), set_config('idle_in_transaction_session_timeout', '10s', true)
        """

    /// The same before messages are claimed, without waiting for the disk: what a crash loses of a claim is claimed again, and the
    /// commit that starts a message brings its claim to the disk with it.
    static let beginClaiming = Statement<String?, WorkspaceID>(
        """
        SELECT \(byKey), set_config('synchronous_commit', 'off', true)
        """)

    /// The same before messages start: all statements that follow see the monthly limits as they are, and whoever sets one waits.
    /// Comes before every lock on a row, as that of `hold_starts` does.
    static let beginStarting = Statement<String?, WorkspaceID>(
        """
        SELECT \(byKey), pg_advisory_xact_lock_shared(hashtextextended('monthly limits ' || $1::uuid::text, 0))::text
        """)

    static let lease = Statement<PartsLease, SenderID, [Int], Instant?>("SELECT granted, wait_seconds FROM lease_parts($1, $2, $3)")
    static let campaignsToSend = Statement<CampaignToSend>("SELECT workspace_id, campaign_id, sender_id FROM campaigns_to_send()")
    static let rescue = Statement<Rescued, Int, Instant?>("SELECT released, lost FROM rescue_messages($1, $2)")
    static let suppress = Statement<Bool, Channel, String, String>("SELECT suppress($1, $2, $3, 'provider') IS NULL")

    /// sending → finished, once nothing is pending and nothing in anybody's hands.
    static let finish = Statement<Int, CampaignID>(
        """
        UPDATE campaigns c
           SET status = 'finished', finished_at = now(), status_reason = NULL, updated_at = now(), version = version + 1
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'sending'
           AND NOT EXISTS (SELECT FROM messages m
                            WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign'
                              AND m.state = 'pending')
           AND NOT EXISTS (SELECT FROM messages m
                            WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign'
                              AND m.state IN ('claimed', 'started'))
        """)

    /// sending → paused, for all campaigns of a sender; says which these were.
    static let pauseCampaignsOfSender = Statement<CampaignID, SenderID, String>(
        """
        UPDATE campaigns
           SET status = 'paused', paused_at = now(), status_reason = $2, updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND sender_id = $1 AND status = 'sending'
        RETURNING id
        """)

    static let pauseCampaign = Statement<Int, CampaignID, String>(
        """
        UPDATE campaigns
           SET status = 'paused', paused_at = now(), status_reason = $2, updated_at = now(), version = version + 1
         WHERE workspace_id = current_workspace() AND id = $1 AND status = 'sending'
        """)

    /// pending → skipped, some of a cancelled campaign.
    static let skipCancelled = Statement<Int, CampaignID, Int>(
        """
        UPDATE messages m SET state = 'skipped', skip_reason = 'campaign_cancelled', settled_at = now()
          FROM (SELECT p.id, p.created_at FROM messages p
                 WHERE p.workspace_id = current_workspace() AND p.campaign_id = $1 AND p.state = 'pending' AND p.kind = 'campaign'
                 ORDER BY p.due_at, p.id LIMIT $2 FOR UPDATE SKIP LOCKED) open
         WHERE m.workspace_id = current_workspace() AND m.id = open.id AND m.created_at = open.created_at
        """)

    static let isOpen = Statement<Bool, CampaignID>(
        """
        SELECT EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign' AND m.state = 'pending')
            OR EXISTS (SELECT FROM messages m
                        WHERE m.workspace_id = current_workspace() AND m.campaign_id = $1 AND m.kind = 'campaign'
                          AND m.state IN ('claimed', 'started'))
        """)

    /// What a loop needs of a campaign, with its sender.
    static let campaign = Statement<CampaignText, CampaignID>(
        """
        SELECT c.body, c.version, c.track_links, \(Budget.exists("c.id")) AS has_budget,
               monthly_limit(c.channel) IS NOT NULL AS has_monthly_limit,
               e.campaign_id IS NOT NULL AS has_experiment, e.campaign_id IS NOT NULL AND e.begun_at IS NULL AS begins_experiment
          FROM campaigns c
          LEFT JOIN campaign_experiments e ON e.workspace_id = current_workspace() AND e.campaign_id = c.id
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        """)
}

extension Connection {
    /// A transaction of the ledger in a workspace; both begin in one round trip.
    func inWorkspace<T>(
        _ workspace: WorkspaceID, beginning: Statement<String?, WorkspaceID> = LedgerSQL.beginByKey, _ work: (Connection) throws -> T
    ) throws -> T {
        try transaction(first: beginning, workspace) { _ in try work(self) }
    }
}
