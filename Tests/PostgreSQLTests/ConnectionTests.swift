import Glibc
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private enum SQL {
    static let one = Statement<Int>("SELECT 1")
    static let item = Statement<String>("SELECT * FROM pg_temp.items")
}

/// Ends a connection's session from outside, and waits until it is gone.
private func terminate(_ db: Connection) throws {
    let admin = try sharedConnection(as: .superuser)
    let process = db.serverProcessID
    _ = try admin.value("SELECT pg_terminate_backend($1::int)", .text("\(process)"), as: Bool.self)
    for _ in 0..<500 {
        if try admin.value("SELECT count(*) FROM pg_stat_activity WHERE pid = $1::int", .text("\(process)")) == 0 { return }
        usleep(2000)
    }
}

@Suite struct ConnectionTests {
    @Test func `a session that ended while idle is replaced before a statement is sent`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect(try db.one(SQL.one) == 1)
        let before = db.serverProcessID
        try terminate(db)
        #expect(!db.isHealthy)
        #expect(try db.one(SQL.one) == 1)
        #expect(db.serverProcessID != before)
        #expect(db.isHealthy)
    }

    @Test func `a transaction that lost its session does not go on in another one`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect {
            try db.transaction { db throws in
                try terminate(db)
                #expect(throws: PostgresError.self) { try db.one(SQL.one) }
                // Not even when its first error was swallowed.
                _ = try db.one(SQL.one)
            }
        } throws: {
            if case PostgresError.connectionLost = $0 { true } else { false }
        }
        #expect(try db.one(SQL.one) == 1)
    }

    @Test func `a commit on a lost session does not pretend to have worked`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect {
            try db.transaction { db in try terminate(db) }
        } throws: {
            if case PostgresError.connectionLost = $0 { true } else { false }
        }
    }

    @Test func `while the server is away uses fail at once, and attempts are spread`() throws {
        let db = Connection(lazily: "host=/tmp/there-is-no-server-here dbname=x")
        let start = Instant.now()
        var attempts = 0
        for _ in 0..<200 {
            do {
                _ = try db.one(SQL.one)
            } catch PostgresError.cannotConnect(let reason) {
                if !reason.contains("waiting") { attempts += 1 }
            }
        }
        #expect(Instant.now().seconds(since: start) < 1)
        #expect(attempts >= 1 && attempts <= 3)
        #expect(!db.isHealthy)
    }

    @Test func `a plan that a migration outdated is made anew`() throws {
        let db = try sharedConnection(as: .superuser)
        try db.execute("CREATE TABLE IF NOT EXISTS stale_items (name text); INSERT INTO stale_items VALUES ('old')")
        defer { try? db.execute("DROP TABLE stale_items") }
        let all = Statement<String>("SELECT * FROM stale_items")
        #expect(try db.one(all) == "old")
        let migrator = try sharedConnection(as: .superuser)
        try migrator.execute("ALTER TABLE stale_items ADD COLUMN number int")
        #expect(throws: PostgresError.self) { try db.one(all) }
        #expect(try db.one(all) == "old")
    }

    @Test func `sessions run in UTC with ISO dates whatever the role says`() throws {
        let db = try sharedConnection(as: .superuser)
        #expect(try db.value("SELECT '2026-07-01 12:00+02'::timestamptz::text") == "2026-07-01 10:00:00+00")
        #expect(try db.value("SHOW client_encoding") == "UTF8")
    }

    @Test func `a notification wakes who listens, also on the session after a lost one`() throws {
        try withOwnDatabase { database throws in
            let listener = try database.connect(as: .superuser)
            let sender = try database.connect(as: .superuser)
            try listener.listen("odd \"name\"")
            #expect(try listener.waitForNotification(timeoutSeconds: 0.01) == nil)
            for round in 1...2 {
                try sender.execute("NOTIFY \"odd \"\"name\"\"\", 'round \(round)'")
                let received = try listener.waitForNotification(timeoutSeconds: 5)
                #expect(received?.channel == "odd \"name\"")
                #expect(received?.payload == "round \(round)")
                if round == 1 {
                    _ = try sender.value("SELECT pg_terminate_backend($1::int)", .text("\(listener.serverProcessID)"), as: Bool.self)
                    usleep(50_000)
                    #expect(try listener.one(SQL.one) == 1)
                }
            }
        }
    }

    @Test func `a readable descriptor ends the wait for a notification`() throws {
        let db = try sharedConnection(as: .superuser)
        try db.listen("quiet")
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        #expect(write(ends[1], "x", 1) == 1)
        let start = Instant.now()
        #expect(try db.waitForNotification(timeoutSeconds: 5, orReadable: ends[0]) == nil)
        #expect(Instant.now().seconds(since: start) < 2)
    }
}
