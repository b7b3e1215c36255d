// What keeps a campaign from standing still when the job that was to move it has ended without doing so.
public import Jobs
internal import PostgreSQL

/// A job fails for good after a few attempts, and a person may cancel it. Where the campaign still waits for it, it is
/// asked for again; both jobs find out by themselves what is left to do.
let rescueCampaigns = Chore("rescue-campaigns", "Ask again for the jobs that campaigns wait for") { db in
    [("resumed", try db.one(CampaignChoreSQL.resume)), ("tests_dropped", try db.run(CampaignChoreSQL.dropTests))]
}

enum CampaignChoreSQL {
    /// Of every workspace: campaigns that freeze, and cancelled ones that were not closed, without a job for that.
    static let resume = Statement<Int>(
        """
        WITH waiting AS (
            SELECT c.workspace_id, c.id, CASE c.status WHEN 'freezing' THEN 'freeze_campaign' ELSE 'close_campaign' END AS kind
              FROM campaigns c
             WHERE c.status = 'freezing' AND c.start_requested_at < now() - interval '1 minute'
                OR c.status = 'cancelled' AND c.frozen_at IS NOT NULL AND c.cancelled_at < now() - interval '1 minute'
                   AND EXISTS (SELECT FROM messages m
                                WHERE m.workspace_id = c.workspace_id AND m.campaign_id = c.id AND m.created_at = c.frozen_at
                                  AND m.kind = 'campaign' AND m.state = 'pending')),
        resumed AS (
            INSERT INTO jobs (workspace_id, kind, payload, key)
            SELECT w.workspace_id, w.kind, jsonb_build_object('campaign_id', w.id), w.id::text FROM waiting w
             WHERE NOT EXISTS (SELECT FROM jobs j
                                WHERE j.workspace_id = w.workspace_id AND j.kind = w.kind AND j.key = w.id::text
                                  AND j.state IN ('queued', 'running'))
            ON CONFLICT (workspace_id, kind, key) WHERE state IN ('queued', 'running') DO NOTHING
            RETURNING 1),
        told AS (SELECT pg_notify('muster_jobs', '') FROM (SELECT FROM resumed LIMIT 1) one)
        SELECT (SELECT count(*) FROM resumed) + 0 * (SELECT count(*) FROM told)
        """)

    /// Tests that were not sent before their draft was deleted: nobody would send them any more.
    static let dropTests = Statement<Int>(
        """
        WITH orphans AS (
            SELECT t.workspace_id, t.id, t.created_at FROM messages t
             WHERE t.state = 'pending' AND t.kind = 'test'
               AND NOT EXISTS (SELECT FROM campaigns c WHERE c.workspace_id = t.workspace_id AND c.id = t.campaign_id)
             LIMIT 1000 FOR UPDATE SKIP LOCKED)
        UPDATE messages m SET state = 'skipped', skip_reason = 'campaign_cancelled', settled_at = now()
          FROM orphans o WHERE m.workspace_id = o.workspace_id AND m.id = o.id AND m.created_at = o.created_at
        """)
}
