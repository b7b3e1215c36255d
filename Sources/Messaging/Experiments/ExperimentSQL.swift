internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// How experiments are told; migration 0101 has what decides who gets which variant.
enum Experiment {
    /// Of campaign `c`, with its variants' texts; null without one.
    static let item = shown(texts: ", 'body', v.body, 'subject', v.subject, 'preheader', v.preheader, 'html', v.html")
    static let listed = shown(texts: "")

    /// Which text a contact counts for before anything is sent: 0 the campaign's own, then those of the variants. In the test it is
    /// the one that they will get; of the remainder, each variant as its weight says, because none has won yet.
    static func share(of contact: String, campaign: String) -> String {
        let bounds = "(SELECT p.bounds FROM experiment_plan(\(campaign)) p)"
        return "CASE WHEN \(bounds) IS NULL THEN 0 ELSE variant_slice(\(campaign), 10000, \(bounds), \(contact)) + 1 END"
    }

    /// The time until the decision begins with the first message of the test: whoever gets the last of it afterwards has no say.
    /// - Parameter sendingSeconds: how long the sender's rate takes for everybody.
    static func warn(of campaign: CampaignID, sendingSeconds: Double, _ warnings: inout Faults, _ db: Connection) throws {
        guard let test = try db.first(ExperimentSQL.testTime, campaign),
            test.decideAfter < max(sendingSeconds * test.share, test.untilLastClock)
        else { return }
        warnings.add(
            "/experiment/decide_after_seconds", "decided_too_early",
            "Sending the test takes longer; the winner would be chosen before all of it has left.")
    }

    private static func shown(texts: String) -> String {
        """
        (SELECT json_build_object(
                    'variants', (
                        SELECT json_agg(json_build_object('name', v.name, 'weight', v.weight\(texts)) ORDER BY v.place)
                          FROM campaign_variants v WHERE v.workspace_id = current_workspace() AND v.campaign_id = c.id),
                    'test_percent', trim_scale(e.test_basis_points / 100.0), 'winner', e.winner_by, 'measure', e.measure,
                    'decide_after_seconds', e.decide_after_seconds,
                    'decide_at', rfc3339(e.begun_at + make_interval(secs => e.decide_after_seconds)),
                    'decision', CASE WHEN e.winner IS NOT NULL THEN json_build_object(
                        'variant', (SELECT v.name FROM campaign_variants v
                                     WHERE v.workspace_id = current_workspace() AND v.campaign_id = c.id AND v.place = e.winner),
                        'decided_at', rfc3339(e.decided_at), 'decided_by', e.decided_by, 'reason', e.reason, 'figures', e.figures) END)
           FROM campaign_experiments e WHERE e.workspace_id = current_workspace() AND e.campaign_id = c.id)
        """
    }
}

enum ExperimentSQL {
    // MARK: Drafts

    static let clear = Statement<Int, CampaignID>(
        """
        DELETE FROM campaign_experiments WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    static let set = Statement<Int, CampaignID, Int, String, String?, Int?>(
        """
        INSERT INTO campaign_experiments (workspace_id, campaign_id, test_basis_points, winner_by, measure, decide_after_seconds)
        VALUES (current_workspace(), $1, $2, $3, $4, $5)
        """)

    /// - Parameters: campaign, names, weights, texts, subjects, preheaders, HTML.
    static let addVariants = Statement<Int, CampaignID, [String], [Int], [String?], [String?], [String?], [String?]>(
        """
        INSERT INTO campaign_variants (workspace_id, campaign_id, place, name, weight, body, subject, preheader, html)
        SELECT current_workspace(), $1, v.place - 1, v.name, v.weight, v.body, v.subject, v.preheader, v.html
          FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
               WITH ORDINALITY AS v (name, weight, body, subject, preheader, html, place)
        """)

    // MARK: Starting

    static let plan = Statement<ExperimentPlan, CampaignID>(
        """
        SELECT e.measure, e.decide_after_seconds, e.test_basis_points, c.goal_event IS NOT NULL AS has_goal, c.track_links,
               ARRAY(SELECT concat_ws(' ', CASE WHEN v.body IS NOT NULL THEN '/body' END, CASE WHEN v.subject IS NOT NULL THEN '/subject' END,
                                      CASE WHEN v.preheader IS NOT NULL THEN '/preheader' END, CASE WHEN v.html IS NOT NULL THEN '/html' END)
                       FROM campaign_variants v WHERE v.workspace_id = current_workspace() AND v.campaign_id = $1 ORDER BY v.place) AS said
          FROM campaign_experiments e JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = e.campaign_id
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1
        """)

    /// Of an experiment with an automatic winner.
    static let testTime = Statement<TestTime, CampaignID>(
        """
        SELECT e.decide_after_seconds::float8 AS decide_after, e.test_basis_points / 10000.0::float8 AS share,
               coalesce(extract(epoch FROM (c.scheduled_local AT TIME ZONE 'UTC' + interval '12 hours')
                                           - greatest(c.scheduled_at, c.scheduled_local AT TIME ZONE 'UTC' - interval '14 hours')),
                        0)::float8 AS until_last_clock
          FROM campaign_experiments e JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = e.campaign_id
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 AND e.winner_by = 'automatic'
        """)

    // MARK: Sending

    /// What each variant is made of, in their order: its own texts, and the campaign's where it has none.
    static let texts = Statement<EmailParts, CampaignID>("SELECT \(parts) ORDER BY v.place")

    /// The same for one of them, by its name.
    static let variant = Statement<VariantText, CampaignID, String>("SELECT v.place, \(parts) AND v.name = $2")

    private static let parts = """
        coalesce(v.subject, c.subject) AS subject, coalesce(v.body, c.body) AS body, coalesce(v.html, c.html) AS html,
               coalesce(v.preheader, c.preheader) AS preheader, w.settings ->> 'postal_address' AS postal_address
          FROM campaign_variants v
          JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = v.campaign_id
          JOIN workspaces w ON w.id = current_workspace()
         WHERE v.workspace_id = current_workspace() AND v.campaign_id = $1
        """

    /// Which variant a test shows.
    static let testVariant = Statement<Int, MessageID, CampaignID, Int>(
        """
        INSERT INTO test_variants (workspace_id, message_id, campaign_id, place) VALUES (current_workspace(), $1, $2, $3)
        """)

    /// Of these tests, those that show a variant.
    static let testVariants = Statement<TestVariant, [MessageID]>(
        """
        SELECT t.message_id, t.place FROM test_variants t WHERE t.workspace_id = current_workspace() AND t.message_id = ANY ($1)
        """)

    /// What `variant_of` says of contacts that are not held out: what the campaign's experiment says is looked up once.
    static let variants = Statement<ContactVariant, CampaignID, [ContactID]>(
        """
        SELECT c.id AS contact_id, coalesce(variant_slice($1, p.test, p.bounds, c.id), p.winner) AS place
          FROM experiment_plan($1) p CROSS JOIN unnest($2::uuid[]) AS c (id)
        """)

    /// In the transaction that started messages: the first of the campaign begins its experiment.
    static let begin = Statement<Int, CampaignID, [MessageID], [Instant]>(
        """
        UPDATE campaign_experiments e SET begun_at = now()
         WHERE e.workspace_id = current_workspace() AND e.campaign_id = $1 AND e.begun_at IS NULL
           AND EXISTS (SELECT FROM unnest($2::uuid[], $3::timestamptz[]) AS w (id, created_at)
                         JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at
                        WHERE m.kind = 'campaign' AND m.state = 'started')
        """)
}

/// What of an experiment may keep its campaign from starting.
struct ExperimentPlan: RowDecodable {
    private let measure: String?
    private let decideAfter: Int?
    private let test: Int
    private let hasGoal: Bool
    private let tracksLinks: Bool
    private let said: [String]
    init(_ row: borrowing Row) throws(PostgresError) {
        measure = try row["measure"]
        decideAfter = try row["decide_after_seconds"]
        test = try row["test_basis_points"]
        hasGoal = try row["has_goal"]
        tracksLinks = try row["track_links"]
        said = try row["said"]
    }

    /// Whether a variant has a text of its own.
    /// - Parameter member: `/body`, `/subject`, `/preheader` or `/html`.
    func says(_ member: String, at place: Int) -> Bool { said[place].split(separator: " ").contains { $0 == member } }

    /// - Parameter start: when the campaign is to start; the first message of the test leaves then at the earliest.
    func tell(_ faults: inout Faults, at start: Instant, until end: Instant?) {
        if measure == "converted", !hasGoal {
            faults.add("/goal_event", "required", "The experiment's measure needs an event that counts as conversion.")
        }
        if measure == "clicked" || measure == "opened", !tracksLinks {
            faults.add("/track_links", "required", "The experiment's measure needs links of our own.")
        }
        if test < 10_000, let decideAfter, let end, end <= start + Double(decideAfter) {
            faults.add("/experiment/decide_after_seconds", "out_of_range", "The campaign's time is over before there is a winner.")
        }
    }
}

struct TestTime: RowDecodable {
    /// Seconds.
    let decideAfter: Double
    /// Of the recipients.
    let share: Double
    /// From the first clocks on earth that show the campaign's local time, or from its freezing, to the last; 0 without one.
    let untilLastClock: Double
    init(_ row: borrowing Row) throws(PostgresError) {
        decideAfter = try row["decide_after"]
        share = try row["share"]
        untilLastClock = try row["until_last_clock"]
    }
}

struct ContactVariant: RowDecodable {
    let contact: ContactID
    /// `nil`: of the remainder, and there is no winner.
    let place: Int?
    init(_ row: borrowing Row) throws(PostgresError) {
        contact = try row["contact_id"]
        place = try row["place"]
    }
}

struct VariantText: RowDecodable {
    let place: Int
    let parts: EmailParts
    init(_ row: borrowing Row) throws(PostgresError) {
        place = try row["place"]
        parts = try EmailParts(row)
    }
}

struct TestVariant: RowDecodable {
    let message: MessageID
    let place: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        message = try row["message_id"]
        place = try row["place"]
    }
}

/// Which of a campaign's texts each message has.
struct Assignment {
    /// 0: the campaign's own; then those of the variants, in their order.
    let messages: [(message: ClaimedMessage, text: Int)]

    /// Tests have the one that was asked for, or the campaign's own. A message whose variant nobody knows yet is left out: it goes
    /// back with its lease.
    /// - Parameter texts: how many there were when they were read; the variants of a draft may have changed since.
    init(of claimed: [ClaimedMessage], texts: Int, _ campaign: CampaignID, _ text: CampaignText, _ db: Connection) throws {
        guard text.hasExperiment else {
            messages = claimed.map { ($0, 0) }
            return
        }
        let rows = try db.all(ExperimentSQL.variants, campaign, claimed.compactMap { $0.isTest ? nil : $0.contactID })
        let places = Dictionary(rows.map { ($0.contact, $0.place) }) { $1 }
        let tests = claimed.filter(\.isTest).map(\.id)
        let chosen = try tests.isEmpty ? [] : db.all(ExperimentSQL.testVariants, tests)
        messages = claimed.compactMap { message in
            let place =
                message.isTest
                ? chosen.first { $0.message == message.id }?.place ?? -1 : message.contactID.flatMap { places[$0] ?? nil }
            guard let place, place + 1 < texts else { return nil }
            return (message, place + 1)
        }
    }
}
