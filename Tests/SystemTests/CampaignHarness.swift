// Campaigns while workers, responders and PostgreSQL die, and the provider does what providers do. Three ledgers are
// compared at the end: what was acknowledged to whoever asked, what the provider took, and what the database says.
import Glibc
import JSON
@testable import Messaging
import PostgreSQL
import Runtime
import Synchronization
import TestSupport
import Testing
import Vocabulary

/// One campaign on a server of its own.
final class CampaignHarness: Sendable {
    let server: ServerUnderTest
    let database: TestDatabase
    private let token: String
    let recipients: Int
    private let campaign: String
    private let crashFile: String
    private static let account = "AC00000000000000000000000000000000"
    private static let number = "+12025550100"

    /// Parts per second that hold nothing back.
    static let fast = 1000.0

    /// Every point at which a process may be told to die.
    static let crashPoints = [
        "before_freeze_commit", "after_claim", "after_start", "after_submit", "after_answer", "before_settle", "after_settle",
        "after_receipt", "after_inbound", "before_receipts_commit", "after_look_up_planned", "before_look_up_commit",
    ]

    /// - Parameters:
    ///   - rate: of the sender, in parts per second: it decides how long the campaign stays in the line of fire.
    ///   - special: further variables of one process, `worker` or `worker-2`.
    init(_ database: TestDatabase, recipients: Int, rate: Double, special: [String: [String: String]] = [:]) throws {
        let crashFile = "/tmp/muster-crash-\(getpid())-\(UUID.v7())"
        let server = try ServerUnderTest(
            database, [.campaigns, .webhooks, .worker, .sandbox], instances: 2, workers: 2,
            variables: ["MUSTER_CRASH_AT": crashFile, "MUSTER_LOG_LEVEL": "error"], special: special)
        let owner = try database.connect()
        defer { owner.close() }
        let workspace = try owner.createWorkspace(settings: ["consent_mode": "opt_out", "stop_rules": ["minimum_messages": 1_000_000]])
        let token = try owner.createAPIKey(in: workspace).token
        let credentials: JSONValue = ["account_sid": .string(Self.account), "auth_token": .string(String(repeating: "5a", count: 16))]
        func made(_ path: String, _ body: JSONValue) throws -> String {
            let answer = try server.send("POST", path, token: token, json: body)
            return try #require(answer.json["id"]?.string, "\(path): \(answer.text)")
        }
        _ = try server.send("POST", "/sandbox/accounts", json: credentials)
        let sender = try made(
            "/api/senders",
            [
                "name": "Harness", "channel": "sms", "provider": "twilio", "from": .string(Self.number),
                "rate_parts_per_second": .real(rate), "credentials": credentials,
            ])
        let segment = try Self.populate(owner, workspace, recipients)
        let campaign = try made(
            "/api/campaigns",
            [
                "name": "Harness", "channel": "sms", "segment_id": .string(segment), "sender_id": .string(sender),
                "body": "Hi {{ first_name }}",
            ])
        self.database = database
        self.recipients = recipients
        self.crashFile = crashFile
        self.server = server
        self.token = token
        self.campaign = "/api/campaigns/" + campaign
    }

    /// Contacts, a segment of all of them, and notes of what the ledger forgets: who was unknown, and what went back.
    private static func populate(_ owner: Connection, _ workspace: WorkspaceID, _ recipients: Int) throws -> String {
        try owner.execute(
            """
            CREATE TABLE noted (message uuid, what text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                $$ BEGIN INSERT INTO noted VALUES (NEW.id, coalesce(NEW.unknown_reason, OLD.state || ' to ' || NEW.state)); RETURN NULL; END $$;
            CREATE TABLE started_at_once (message uuid);
            CREATE FUNCTION note_start() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                $$ BEGIN INSERT INTO started_at_once VALUES (NEW.id); RETURN NULL; END $$;
            CREATE TRIGGER unknown_is_noted AFTER UPDATE ON messages FOR EACH ROW
                WHEN (NEW.state = 'unknown' AND OLD.state <> 'unknown') EXECUTE FUNCTION note();
            CREATE TRIGGER starts_at_once_are_noted AFTER UPDATE ON messages FOR EACH ROW
                WHEN (NEW.state = 'started' AND OLD.state = 'pending') EXECUTE FUNCTION note_start();
            CREATE TRIGGER steps_back_are_noted AFTER UPDATE ON messages FOR EACH ROW
                WHEN (OLD.state IN ('delivered', 'undelivered', 'failed') AND NEW.state <> OLD.state
                      OR OLD.provider_rank > NEW.provider_rank OR OLD.state = 'sent' AND NEW.state NOT IN ('sent', 'delivered', 'undelivered', 'failed'))
                EXECUTE FUNCTION note();
            """)
        return try owner.transaction { db in
            try db.setWorkspace(workspace)
            try db.runDynamic(
                """
                INSERT INTO contacts (workspace_id, ordinal, phone, first_name)
                SELECT current_workspace(), take_ordinals(1) + 1, '+1202' || lpad((5550000 + i)::text, 7, '0'), 'P' || i
                  FROM generate_series(1, $1::int) i
                """, [recipients.sqlValue])
            let ids: [String] = try db.dynamic(
                """
                INSERT INTO segments (workspace_id, name, rule)
                VALUES (current_workspace(), 'Everybody', '{"version": 1, "timezone": "workspace", "match": {"all": []}}') RETURNING id::text
                """, [])
            return ids[0]
        }
    }

    func stop() {
        disarm()
        unlink(crashFile + ".deaths")
        server.stop()
    }

    // MARK: Harm

    /// Once in `times` whoever passes the point dies; `any` is all points.
    func arm(_ point: String, onceIn times: Int) {
        guard let file = fopen(crashFile + ".new", "w") else { return }
        fputs("\(point) \(times)", file)
        fclose(file)
        rename(crashFile + ".new", crashFile)
    }

    func disarm() { unlink(crashFile) }

    /// At which points somebody died, and how often.
    var deaths: [String: Int] {
        guard let file = fopen(crashFile + ".deaths", "r") else { return [:] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        let names = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: "\n").map(String.init)
        return Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
    }

    func play(_ faults: JSONValue) throws { _ = try server.send("POST", "/sandbox/faults", json: faults) }

    /// What a provider may be like. Shares are of numbers.
    static func mood(_ random: inout Seeded) -> JSONValue {
        let moods: [JSONValue] = [
            [:], ["delay_ms": 60], ["delay_ms": 500], ["delay_ms": 800], ["too_many": 0.3], ["server_error": 0.05], ["reset": 0.1],
            ["bad_answer": 0.1], ["bad_sid": 0.1], ["timeout_before": 0.004],
            ["duplicates": 2, "reorder": true], ["callback_before_answer": true, "callback_delay_ms": 5], ["drop_callbacks": 0.4],
            ["timeout_after": 0.004], ["undelivered": 0.2, "failed": 0.1], ["callback_delay_ms": 1500, "reorder": true],
            ["reject": 0.05], ["delay_ms": 20, "duplicates": 1, "reset": 0.05, "drop_callbacks": 0.2, "too_many": 0.1],
        ]
        return moods.randomElement(using: &random)!
    }

    /// Leases end as if a minute had passed, so that what the dead held is in play again; of the living too, which is
    /// what their lease tokens are for.
    /// - Parameter seconds: only those that are older.
    func endLeases(_ owner: Connection, olderThan seconds: Int = 0) throws {
        try owner.execute(
            """
            UPDATE messages SET lease_until = now() - interval '1 second' WHERE lease_until < now() + interval '\(60 - seconds) seconds';
            UPDATE jobs SET lease_until = now() - interval '1 second' WHERE lease_until < now() + interval '\(60 - seconds) seconds';
            SELECT rescue_messages(10000);
            """)
    }

    /// A worker stands still until what it held has long been somebody else's, and is then made to give back all it has,
    /// while requests of the other worker for the same messages are under way. Nobody must be killed meanwhile.
    /// - Returns: whether it came to that; not when the campaign was paused or nearly over.
    func stall(_ worker: String, other: String, _ owner: Connection) throws -> Bool {
        disarm()
        try play(["delay_ms": 900])
        guard try status() == "sending", let pid = server.pid(of: worker) else { return false }
        try waitUntil("somebody else has what it had", seconds: 5) {
            // Soon after a restart it may hold nothing yet.
            guard try owner.value("SELECT count(*) FROM messages WHERE state = 'claimed'", as: Int.self) > 0 else { return false }
            return kill(pid, SIGSTOP) == 0
        }
        defer { kill(pid, SIGCONT) }
        // The other one begins anew, with the messages that have waited longest: those that the first one held.
        let held: [String] = try owner.dynamic("SELECT id::text FROM messages WHERE state = 'claimed'", [])
        if let other = server.pid(of: other) { kill(other, SIGKILL) }
        try endLeases(owner)
        let quoted = held.map { "'\($0)'" }.joined(separator: ",")
        try waitUntil("the other one has asked for some of them", seconds: 5) {
            try owner.value("SELECT count(*) FROM messages WHERE state = 'started' AND id IN (\(quoted))", as: Int.self) >= 5
        }
        attempt("pause")
        kill(pid, SIGCONT)
        // As long as it takes a worker to notice the pause, and shorter than the provider's answer.
        usleep(400_000)
        attempt("resume")
        return true
    }

    func start() throws {
        try waitUntil("the start is acknowledged", seconds: 30) {
            let answer = try server.send("POST", campaign + "/start", token: token, json: [:])
            return try answer.status < 300 || status() != "draft"
        }
    }

    /// Starts by itself, at an instant of the database's clock.
    func schedule(at instant: Instant) throws -> Int {
        try server.send("POST", campaign + "/schedule", token: token, json: ["at": .string(instant.description)]).status
    }

    func status() throws -> String? { try server.send("GET", campaign, token: token).json["status"]?.string }

    /// Pauses or resumes; refused where it does not apply, and lost when the responder dies.
    func attempt(_ action: String) { _ = try? server.send("POST", campaign + "/" + action, token: token, json: [:]) }

    /// A campaign of a fast sender is sent in other transactions than one that its rate holds back.
    func setRate(_ rate: Double, _ owner: Connection) {
        try? owner.execute("UPDATE senders SET rate_parts_per_second = \(rate), version = version + 1")
    }

    /// A STOP of somebody.
    /// - Returns: their number and an instant after its commit, when the provider got its 2xx.
    func optOut(_ contact: Int, _ owner: Connection) -> (phone: String, at: Instant)? {
        let phone = "+1202" + String(5_550_000 + contact)
        let body: JSONValue = ["from": .string(phone), "to": .string(Self.number), "body": "STOP"]
        guard let answer = try? server.send("POST", "/sandbox/inbound", json: body), answer.json["answer"]?.integer == 200,
            let at = try? owner.value("SELECT clock_timestamp()", as: Instant.self)
        else { return nil }
        return (phone, at)
    }

    // MARK: Healing

    /// Nobody dies any more, the provider behaves, and time passes as it would.
    func heal() throws {
        disarm()
        try waitUntil("the provider behaves", seconds: 30) {
            try server.send("POST", "/sandbox/faults", json: [:]).status == 204
        }
        let worker = try database.connect(as: .maintenance)
        let owner = try database.connect()
        var differences = 0
        setRate(Self.fast, owner)
        try waitUntil("everything is settled", seconds: 150) {
            if try status() == "paused" { attempt("resume") }
            // What the living hold is theirs, so that the campaign goes on.
            try endLeases(owner, olderThan: 5)
            // Jobs that died more often than they may are asked for again at night.
            for chore in messagingChores {
                differences += try chore.run(worker).first { $0.0 == "differences" }?.1 ?? 0
            }
            try owner.execute(
                """
                UPDATE receipts SET due_at = now() WHERE due_at > now();
                -- Requests end after 10 seconds: after 20 nothing that the provider has not shown is on its way.
                UPDATE look_ups SET since = since - interval '2 hours' WHERE since BETWEEN now() - interval '1 hour' AND now() - interval '20 seconds';
                """)
            try askForSilent(owner)
            let open: Int = try owner.value(
                "SELECT count(*) FROM messages WHERE state IN ('pending', 'claimed', 'started', 'unknown', 'sent')")
            usleep(200_000)
            return try open == 0 && status() == "finished"
        }
        #expect(differences == 0, "counts of the campaign differed from its ledger")
    }

    /// Looks for the unknown, and for those that were sent and of which nobody tells, as if it were time.
    func askForSilent(_ owner: Connection) throws {
        try owner.execute(
            """
            UPDATE look_ups SET due_at = now() WHERE due_at > now();
            INSERT INTO look_ups (workspace_id, message_id, created_at, account_sid, due_at)
            SELECT m.workspace_id, m.id, m.created_at, '\(Self.account)', now() FROM messages m
             WHERE m.state = 'sent' AND m.sent_at < now() - interval '5 seconds' ON CONFLICT DO NOTHING;
            """)
    }

    // MARK: The ledgers

    struct Verdict {
        var sentTwice = 0
        var lost = 0
        var unexplained: [String] = []
        var afterOptOut = 0
        var states: [String: Int] = [:]
        /// What became unknown for a while and why; and what went back, which nothing may.
        var noted: [String: Int] = [:]
        /// Never claimed, because the sender was fast.
        var startedAtOnce = 0
        var wentBack: Int { noted.filter { $0.key.contains(" to ") }.values.reduce(0, +) }
        var isHarmless: Bool { sentTwice == 0 && lost == 0 && unexplained.isEmpty && afterOptOut == 0 && wentBack == 0 }
    }

    /// - Parameter optOuts: what `optOut` acknowledged.
    func compare(_ optOuts: [(phone: String, at: Instant)]) throws -> Verdict {
        let owner = try database.connect()
        var verdict = Verdict()
        let taken = try server.send("GET", "/sandbox/ledger").json["messages"]?.array ?? []
        let byNumber = Dictionary(grouping: taken) { $0["to"]?.string ?? "" }
        verdict.sentTwice = byNumber.values.reduce(0) { $0 + $1.count - 1 }
        let rows: [JSONValue] = try owner.dynamic(
            """
            SELECT json_build_object('to', to_address, 'state', state, 'reason', coalesce(skip_reason, provider_status), 'sid', sid) FROM messages
            """, [])
        verdict.lost = recipients - Set(rows.compactMap { $0["to"]?.string }).count
        for row in rows {
            let state = row["state"]?.string ?? ""
            verdict.states[state, default: 0] += 1
            let message = byNumber[row["to"]?.string ?? ""]?.first
            let isExplained =
                switch state {
                case "delivered", "undelivered": message?["status"] == row["state"] && message?["sid"] == row["sid"]
                case "failed" where message != nil: message?["status"] == "failed" && message?["sid"] == row["sid"]
                // Refused, or never taken: the provider has nothing.
                case "failed": ["rejected", "not_found"].contains(row["reason"]?.string)
                case "skipped": message == nil && row["reason"] == "opted_out"
                default: false
                }
            if !isExplained { verdict.unexplained.append("\(row.text) and the provider's \(message?.text ?? "nothing")") }
        }
        let numbers = Set(rows.compactMap { $0["to"]?.string })
        for number in byNumber.keys where !numbers.contains(number) { verdict.unexplained.append("nobody of ours has \(number)") }
        for optOut in optOuts {
            let late = byNumber[optOut.phone, default: []].contains { message in
                message["accepted_at"]?.string.flatMap { Instant(rfc3339: $0) }.map { $0 > optOut.at } ?? true
            }
            if late {
                verdict.afterOptOut += try owner.value(
                    "SELECT count(*) FROM messages WHERE to_address = $1 AND started_at > $2", optOut.phone.sqlValue, optOut.at.sqlValue)
            }
        }
        verdict.startedAtOnce = try owner.value("SELECT count(*) FROM started_at_once")
        let noted: [String] = try owner.dynamic("SELECT what FROM noted", [])
        for what in noted { verdict.noted[what, default: 0] += 1 }
        // What is shown agrees with what is stored.
        let shown = try server.send("GET", campaign, token: token).json
        if shown["status"] != "finished" { verdict.unexplained.append("the campaign is \(shown["status"]?.text ?? "gone")") }
        for state in ["delivered", "undelivered", "failed", "skipped"] {
            let (counted, there) = (shown["counts"]?[state]?.integer ?? 0, verdict.states[state] ?? 0)
            if counted != there { verdict.unexplained.append("\(counted) are shown as \(state), \(there) are") }
        }
        return verdict
    }
}
