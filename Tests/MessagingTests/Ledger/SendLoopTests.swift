import Foundation
import HTTPClient
import JSON
import PostgreSQL
import Runtime
import Synchronization
import TestSupport
import Testing
import Vocabulary
import Web

@testable import Messaging

/// The loop as it runs in the worker, against a database of its own and a provider that misbehaves as told.
@Suite struct SendLoopTests {
    @Test func `everybody gets the message once, and the campaign finishes`() throws {
        try withSending(contacts: 300) { sending in
            try sending.run()
            #expect(Set(sending.provider.ledger.map(\.to)).count == 300)
            #expect(sending.provider.ledger.count == 300)
            #expect(sending.provider.ledger.allSatisfy { $0.body.hasPrefix("Hi P") })
            #expect(try sending.states() == ["sent": 300])
            #expect(try sending.status() == "finished")
        }
    }

    @Test func `what is put off or left out takes none of a sender's rate`() throws {
        try withSending(contacts: 320, rate: 0.25) { sending in
            // It is two at night.
            try sending.scene.goToBed(Array(0..<320), sending.db)
            try sending.round()
            let waiting: Int = try sending.db.value("SELECT count(*) FROM messages WHERE state = 'pending' AND due_at > now()")
            #expect(waiting == 320)
            try sending.db.execute("UPDATE messages SET due_at = now(); UPDATE campaigns SET send_until = now()")
            try sending.round()
            #expect(try sending.states() == ["skipped/too_late": 320])
            #expect(sending.provider.requestCount == 0)
        }
    }

    @Test func `a refusal is final, and says what it means of the address`() throws {
        try withSending(
            contacts: 30,
            script: { request, _ in
                switch request.to.last {
                case "1": .refuse(status: 400, code: 21211)
                case "2": .refuse(status: 400, code: 21610)
                default: .accept
                }
            }
        ) { sending in
            try sending.run()
            #expect(try sending.states() == ["sent": 24, "failed": 6])
            let reasons: [String] = try sending.db.dynamic("SELECT reason FROM suppressions ORDER BY reason, address", [])
            #expect(reasons == ["invalid", "invalid", "invalid", "opt_out", "opt_out", "opt_out"])
            let codes: [Int] = try sending.db.dynamic("SELECT error_code FROM messages WHERE state = 'failed' ORDER BY error_code", [])
            #expect(codes == [21211, 21211, 21211, 21610, 21610, 21610])
        }
    }

    @Test func `an answer that is lost or says nothing leaves unknown, and is never repeated`() throws {
        try withSending(
            contacts: 40,
            script: { request, _ in
                switch request.to.last {
                case "1": .acceptAndHangUp
                case "2": .status(500)
                case "3": .status(200)
                default: .accept
                }
            }
        ) { sending in
            try sending.run()
            #expect(try sending.states() == ["sent": 28, "unknown": 12])
            #expect(sending.provider.requestCount == 40)
            #expect(try sending.status() == "finished")
        }
    }

    @Test func `while every answer is lost next to nothing leaves, and afterwards the rest goes out once`() throws {
        final class Way: Sendable { let isCut = Atomic(true) }
        let way = Way()
        try withSending(contacts: 400, script: { _, _ in way.isCut.load(ordering: .relaxed) ? .status(502) : .accept }) { sending in
            try sending.run(seconds: 3)
            // What was under way when it began, and then one at a time.
            let lost = sending.provider.requestCount
            #expect(lost < SendLoop.connections + 20, "\(lost) requests were lost")
            #expect(try sending.states() == ["unknown": lost, "pending": 400 - lost])
            way.isCut.store(false, ordering: .relaxed)
            try sending.run()
            #expect(try sending.states() == ["unknown": lost, "sent": 400 - lost])
            #expect(Set(sending.provider.ledger.map(\.to)).count == 400 - lost && sending.provider.requestCount == 400)
        }
    }

    @Test func `whoever stands still in a transaction of the ledger is sent away, because others wait for what it holds`() throws {
        try withSending(contacts: 1) { sending in
            for beginning in [LedgerSQL.beginByKey, LedgerSQL.beginClaiming, LedgerSQL.beginStarting] {
                let bound = try sending.db.inWorkspace(sending.scene.workspace, beginning: beginning) { db in
                    try db.value("SHOW idle_in_transaction_session_timeout", as: String.self)
                }
                #expect(bound == "10s")
            }
        }
    }

    @Test func `parts are counted as the provider counts them, and by us where it does not say`() throws {
        try withSending(contacts: 20, script: { request, _ in .acceptInParts(request.to.last == "1" ? 3 : 0) }) { sending in
            try sending.run()
            let parts: Int = try sending.db.value("SELECT sum(parts)::int FROM campaign_stats WHERE measure = 'sent'")
            #expect(parts == 2 * 3 + 18)
            #expect(try sending.db.all(RollupSQL.differences, sending.scene.workspace, sending.scene.campaign).isEmpty)
        }
    }

    @Test func `addresses become short links of each recipient, kept when the message starts`() throws {
        let body = "Hi {{ first_name }}, https://a.example/?p={{ first_name }} and https://b.example/" + String(repeating: "x", count: 120)
        try withSending(contacts: 20, body: body) { sending in
            try sending.db.runDynamic("UPDATE campaigns SET track_links = true", [])
            try sending.run()
            #expect(try sending.states() == ["sent": 20])
            let keys: [String] = try sending.db.dynamic("SELECT key FROM links WHERE contact_id IS NOT NULL", [])
            #expect(Set(keys).count == 40)
            for message in sending.provider.ledger {
                #expect(!message.body.contains(".example/?p=") && message.body.components(separatedBy: "/l/").count == 3)
                let own: [String] = try sending.db.dynamic(
                    "SELECT l.url FROM links l JOIN contacts c ON c.id = l.contact_id WHERE c.phone = $1 AND strpos($2, '/l/' || l.key) > 0 ORDER BY 1",
                    [message.to.sqlValue, message.body.sqlValue])
                #expect(own.count == 2 && own.first?.hasPrefix("https://a.example/?p=P") == true)
            }
            // With the long address it would have been two.
            #expect(try sending.db.value("SELECT max(parts) FROM messages", as: Int.self) == 1)
        }
    }

    @Test func `turned away for load, a message is tried again and sent once`() throws {
        try withSending(
            contacts: 20,
            script: { _, number in
                number < 25 ? .refuse(status: 429, code: 20429, headers: "Retry-After: 0.05\r\n") : .accept
            }
        ) { sending in
            try sending.run()
            #expect(sending.provider.ledger.count == 20)
            #expect(Set(sending.provider.ledger.map(\.to)).count == 20)
            #expect(try sending.states() == ["sent": 20])
            let most: Int = try sending.db.value("SELECT max(attempt) FROM messages")
            #expect(most >= 2)
        }
    }

    @Test func `while nobody listens nothing is lost, and afterwards everything is sent once`() throws {
        try withSending(contacts: 10, listening: false) { sending in
            try sending.run(seconds: 0.4)
            #expect(try sending.states() == ["pending": 10])
            try sending.listen()
            try sending.run()
            #expect(sending.provider.ledger.count == 10)
            #expect(try sending.states() == ["sent": 10])
        }
    }

    @Test(arguments: [401, 403])
    func `credentials that are refused suspend the sender and pause its campaigns`(status: Int) throws {
        try withSending(contacts: 10, script: { _, _ in .refuse(status: status, code: 20003) }) { sending in
            try sending.run()
            #expect(try sending.status() == "paused")
            #expect(try sending.states() == ["pending": 10])
            let why: String = try sending.db.value("SELECT s.status_reason || ' ' || c.status_reason FROM senders s, campaigns c")
            #expect(why == "authentication_failed sender_suspended")
            let notice: JSONValue = try sending.db.value("SELECT to_jsonb(n) FROM notices n")
            #expect(notice["kind"] == "campaign.paused")
            #expect(notice["subject"] == ["campaign_id": .string(sending.scene.campaign.description), "reason": "sender_suspended"])
            #expect(notice["detail"]?.string?.contains("credentials") == true)
        }
    }

    @Test func `credentials that cannot be read suspend the sender and pause its campaigns, and the team is told once`() throws {
        try withSending(
            contacts: 3, prepare: { _, db in try db.execute("UPDATE senders SET credentials = decode(repeat('00', 64), 'hex')") }
        ) { sending in
            try sending.run()
            #expect(sending.provider.requestCount == 0)
            let why: String = try sending.db.value("SELECT s.status_reason || ' ' || c.status_reason FROM senders s, campaigns c")
            #expect(why == "credentials_unreadable sender_suspended")
            #expect(try sending.scene.toldPauses(sending.db) == ["sender_suspended"])
            try sending.round()
            #expect(try sending.scene.toldPauses(sending.db).count == 1)
        }
    }

    @Test func `a campaign that somebody paused while its sender was refused is told to nobody`() throws {
        try withSending(contacts: 3) { sending in
            try sending.move(CampaignSQL.pause)
            try sending.db.inWorkspace(sending.scene.workspace) { db in
                try Pause.campaigns(ofSuspended: sending.scene.sender, db)
                #expect(try !Pause.campaign(sending.scene.campaign, "sender_misconfigured", db))
            }
            #expect(try sending.scene.toldPauses(sending.db) == [])
            #expect(try sending.db.value("SELECT status_reason IS NULL FROM campaigns", as: Bool.self))
        }
    }

    @Test func `a sender that is not set up stops after ten refusals in a row`() throws {
        try withSending(contacts: 500, script: { _, _ in .refuse(status: 400, code: 21606) }) { sending in
            try sending.run()
            #expect(try sending.status() == "paused")
            #expect(sending.provider.requestCount <= 2 * SendLoop.connections + 10)
            #expect(try sending.db.value("SELECT status_reason FROM campaigns") == "sender_misconfigured")
            // What was under way then is refused as well, and told no more.
            #expect(try sending.scene.toldPauses(sending.db) == ["sender_misconfigured"])
        }
    }

    @Test func `a pause stops within a second, and resuming goes on exactly there`() throws {
        try withSending(contacts: 200, rate: 100) { sending in
            try sending.run(seconds: 0.5)
            try sending.move(CampaignSQL.pause)
            try sending.run(seconds: 0.5)
            let before = sending.provider.ledger.count
            #expect(before < 200)
            try sending.run(seconds: 0.4)
            #expect(sending.provider.ledger.count == before)
            try sending.move(CampaignSQL.resume)
            try sending.run()
            #expect(sending.provider.ledger.count == 200)
            #expect(Set(sending.provider.ledger.map(\.to)).count == 200)
        }
    }

    @Test func `stopping gives back what was claimed and settles what is under way`() throws {
        try withSending(contacts: 100, rate: 40) { sending in
            try sending.run(seconds: 0.2)
            let states = try sending.states()
            #expect(states["claimed"] == nil && states["started"] == nil)
            #expect(states["sent"] == sending.provider.ledger.count)
        }
    }

    @Test func `a text that does not parse any more pauses its campaign, and costs nobody the message`() throws {
        try withSending(contacts: 5) { sending in
            try sending.db.runDynamic("UPDATE campaigns SET body = 'Hi {{'", [])
            try sending.run(seconds: 5)
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused template_failed")
            #expect(try sending.states() == ["pending": 5] && sending.provider.requestCount == 0)
        }
    }

    @Test(
        arguments: [
            ("UPDATE campaigns SET html = '<p>{{ x | nope }}</p>'", "template_failed"),
            ("UPDATE workspaces SET settings = settings - 'postal_address'", "postal_address_missing"),
        ])
    func `a mail that cannot be written as it must be pauses its campaign`(_ change: String, _ reason: String) throws {
        try withSending(contacts: 5) { sending in
            try sending.becomeMail()
            try sending.db.runDynamic(change, [])
            try sending.run(seconds: 5)
            #expect(try sending.db.value("SELECT status || ' ' || status_reason FROM campaigns") == "paused \(reason)")
            #expect(try sending.states() == ["pending": 5])
        }
    }

    @Test func `texts that come out empty or too long are skipped with their reason`() throws {
        try withSending(contacts: 3, body: "{{ attributes.note }}") { sending in
            try sending.db.runDynamic(
                "UPDATE contacts SET attributes = jsonb_build_object('note', repeat('x', 1601)) WHERE first_name = 'P1'", [])
            try sending.db.runDynamic("UPDATE contacts SET attributes = jsonb_build_object('note', 'fine') WHERE first_name = 'P2'", [])
            try sending.run()
            #expect(try sending.states() == ["skipped/empty_text": 1, "skipped/text_too_long": 1, "sent": 1])
        }
    }

    @Test func `a campaign that the database refuses holds up no other`() throws {
        try withSending(contacts: 30) { sending in
            let other = try sending.scene.withAnotherCampaign(sending.db)
            try other.freeze(sending.db)
            // The one that the loop looks at first.
            try sending.db.execute(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER refuse BEFORE UPDATE ON messages FOR EACH ROW
                    WHEN (NEW.campaign_id = '\(sending.scene.campaign)' AND NEW.state = 'started') EXECUTE FUNCTION refuse();
                """)
            try sending.run(seconds: 1)
            #expect(try other.states(sending.db) == ["sent": 30])
            #expect(try sending.states() == ["pending": 30])
            try sending.db.execute("DROP TRIGGER refuse ON messages")
            try sending.run()
            #expect(try sending.states() == ["sent": 30])
        }
    }

    @Test func `a contact with numbers beyond 64 bits holds up nobody`() throws {
        try withSending(contacts: 5, body: "{{ attributes.n }}") { sending in
            try sending.db.execute("UPDATE contacts SET attributes = '{\"n\": 1e20}' WHERE first_name = 'P1'")
            try sending.db.execute("UPDATE contacts SET attributes = '{\"n\": 7}' WHERE first_name <> 'P1'")
            try sending.run(seconds: 3)
            #expect(sending.provider.ledger.map(\.body).sorted() == ["1e+20", "7", "7", "7", "7"])
        }
    }

    @Test func `an outcome that the database refuses holds up no other, and is unknown in the end`() throws {
        try withSending(contacts: 40) { sending in
            try sending.db.execute(
                """
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER refuse BEFORE UPDATE ON messages FOR EACH ROW
                    WHEN (NEW.state = 'sent' AND NEW.to_address = '+12025550007') EXECUTE FUNCTION refuse();
                """)
            try sending.run(seconds: 2)
            #expect(try sending.states() == ["sent": 39, "started": 1])
            #expect(sending.provider.ledger.count == 40)
            _ = try sending.db.one(LedgerSQL.rescue, 10, .now() + 61)
            #expect(try sending.states() == ["sent": 39, "unknown": 1])
        }
    }

    @Test func `an answer with a code or a status that nobody could store is settled all the same`() throws {
        try withSending(
            contacts: 20,
            script: { request, _ in
                request.to.last == "1" ? .refuse(status: 400, code: 99_999_999_999) : .accept
            }
        ) { sending in
            try sending.run(seconds: 3)
            #expect(try sending.states() == ["sent": 18, "failed": 2])
            #expect(try sending.db.value("SELECT max(error_code) FROM messages") == 400)
        }
        let client = TwilioClient(baseURL: "https://example.com")
        let sid = "SM" + String(repeating: "0", count: 32)
        let answer = HTTPResponse(status: 201, body: Array("{\"sid\":\"\(sid)\",\"status\":\"que\\u0000ued\"}".utf8))
        #expect(client.classify(.success(answer)) == .sent(sid: sid, status: "queued", parts: nil))
    }

    @Test func `connections that are cut under way lose no message and repeat none`() throws {
        try withSending(contacts: 400, rate: 2000) { sending in
            let database = sending.database
            let killer = Thread {
                guard let db = try? database.connect(as: .superuser) else { return }
                for _ in 0..<15 {
                    Thread.sleep(forTimeInterval: 0.03)
                    _ =
                        try? db.dynamic(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'muster_worker' AND datname = current_database()",
                            []) as [Bool]
                }
            }
            killer.start()
            try sending.run(toleratingErrors: true)
            let ledger = sending.provider.ledger
            #expect(Set(ledger.map(\.to)).count == ledger.count)
            let states = try sending.states()
            // Whatever the provider has not seen is still ours to send, or was never started.
            #expect(states.values.reduce(0, +) == 400)
            #expect(
                (states["sent"] ?? 0) + (states["unknown"] ?? 0) + (states["started"] ?? 0) + (states["pending"] ?? 0)
                    + (states["claimed"] ?? 0) == 400)
            #expect((states["sent"] ?? 0) == ledger.count)
        }
    }
}

/// A frozen campaign, a provider and a loop between them.
final class Sending {
    let database: TestDatabase
    let db: Connection
    let scene: Scene
    private(set) var provider: StubProvider
    private let script: @Sendable (StubProvider.Received, Int) -> StubProvider.Answer
    private var configuration: Configuration
    /// For a worker process of its own.
    let environment: [String: String]

    fileprivate init(
        _ database: TestDatabase, contacts: Int, rate: Double, body: String, listening: Bool,
        _ prepare: (Scene, Connection) throws -> Void, _ script: @escaping @Sendable (StubProvider.Received, Int) -> StubProvider.Answer
    ) throws {
        self.database = database
        self.script = script
        db = try database.connect()
        scene = try Scene(db, contacts: contacts, rate: rate, body: body)
        try prepare(scene, db)
        try scene.freeze(db)
        provider = try StubProvider(script)
        let key = FileManager.default.temporaryDirectory.appendingPathComponent("key-\(Vocabulary.UUID.v7())")
        try Data(Data(repeating: 7, count: 32).base64EncodedString().utf8).write(to: key)
        environment = [
            "MUSTER_DATABASE": database.conninfo(as: .worker), "MUSTER_SEALING_KEY_FILE": key.path,
            "MUSTER_PUBLIC_URL": "https://muster.example.com", "MUSTER_TWILIO_URL": provider.url,
        ]
        configuration = try Configuration.load(environment)
        if !listening { provider.stop() }
    }

    /// What was frozen goes by mail, through a provider that nobody reaches.
    func becomeMail() throws {
        try scene.becomeMail(db)
        try db.runDynamic(
            """
            UPDATE messages m SET channel = 'email', to_address = c.email FROM contacts c
             WHERE c.workspace_id = m.workspace_id AND c.id = m.contact_id
            """, [])
        configuration.sendGridURL = "http://127.0.0.1:9"
    }

    func allowRelays(at host: String) { configuration.smtpPrivateHosts = [host] }

    func listen() throws {
        provider = try StubProvider(script)
        configuration.twilioURL = provider.url
    }

    /// One round of a loop that begins: until nothing is due or under way.
    func round() throws {
        _ = try SendLoop(Connection(lazily: configuration.database), configuration, isStopping: { false }).round()
    }

    /// Runs the loop until the campaign stands still, or for some time; then stops it as SIGTERM does.
    func run(seconds: Double = 15, toleratingErrors: Bool = false) throws {
        let end = Date().addingTimeInterval(seconds)
        nonisolated(unsafe) var stopping = false
        let worker = Connection(lazily: configuration.database)
        let loop = SendLoop(worker, configuration, isStopping: { stopping || Date() > end })
        while Date() < end, try status() == "sending" {
            do {
                let pause = try loop.round()
                Thread.sleep(forTimeInterval: min(pause, 0.05))
            } catch  where toleratingErrors {
                Thread.sleep(forTimeInterval: 0.02)
            }
        }
        stopping = true
        _ = try loop.round()
    }

    /// Runs loops on threads of their own, as so many workers would, until `body` returns.
    func race(workers: Int, _ body: () throws -> Void) throws {
        let isOver = Atomic<Bool>(false)
        let running = Atomic<Int>(workers)
        let configuration = configuration
        for _ in 0..<workers {
            startThread {
                let loop = SendLoop(
                    Connection(lazily: configuration.database), configuration, isStopping: { isOver.load(ordering: .relaxed) })
                while !isOver.load(ordering: .relaxed) {
                    let pause = (try? loop.round()) ?? 0.02
                    Thread.sleep(forTimeInterval: min(pause, 0.05))
                }
                for _ in 0..<50 where (try? loop.round()) == nil { Thread.sleep(forTimeInterval: 0.05) }
                running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            }
        }
        defer {
            isOver.store(true, ordering: .sequentiallyConsistent)
            while running.load(ordering: .sequentiallyConsistent) > 0 { Thread.sleep(forTimeInterval: 0.01) }
        }
        try body()
    }

    /// Ends every connection of the workers at the server's side.
    func cutConnections() throws {
        let superuser = try database.connect(as: .superuser)
        let _: [Bool] = try superuser.dynamic(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'muster_worker' AND datname = current_database()", [])
    }

    /// Moves the campaign if it stands where it may be moved from.
    func tryToMove(_ transition: Statement<Stored, CampaignID>) throws {
        _ = try db.inWorkspace(scene.workspace) { db in try db.first(transition, scene.campaign) }
    }

    func states() throws -> [String: Int] { try scene.states(db) }
    func status() throws -> String { try scene.status(db) }
    func move(_ transition: Statement<Stored, CampaignID>) throws {
        _ = try db.inWorkspace(scene.workspace) { db in try db.one(transition, scene.campaign) }
    }
}

func withSending(
    contacts: Int, rate: Double = 1000, body: String = "Hi {{ first_name }}", listening: Bool = true,
    prepare: (Scene, Connection) throws -> Void = { _, _ in },
    script: @escaping @Sendable (StubProvider.Received, Int) -> StubProvider.Answer = { _, _ in .accept },
    _ work: (Sending) throws -> Void
) throws {
    try withOwnDatabase { database in
        let sending = try Sending(database, contacts: contacts, rate: rate, body: body, listening: listening, prepare, script)
        defer { sending.provider.stop() }
        try work(sending)
    }
}
