import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Messages that start in the transaction that looked at them, because nothing held back the ones before.
@Suite struct StartAtOnceTests {
    @Test func `while nothing holds a campaign back, its messages are written once before they leave`() throws {
        try withSending(contacts: 400) { sending in
            try sending.noteClaims()
            try sending.run()
            #expect(try sending.states() == ["sent": 400])
            #expect(Set(sending.provider.ledger.map(\.to)).count == 400 && sending.provider.ledger.count == 400)
            // The first look takes as if the sender were slow, whose rate it comes to know with it.
            #expect(try sending.db.value("SELECT count(*) FROM claims") == 4)
        }
    }

    @Test(arguments: [
        "UPDATE senders SET rate_parts_per_second = 300",
        """
        INSERT INTO campaign_budgets (workspace_id, campaign_id, amount, currency, budget_micros)
        SELECT workspace_id, id, 100000, 'USD', 1000000000 FROM campaigns;
        UPDATE workspaces SET settings = settings
            || '{"prices": {"currency": "USD", "items": [{"channel": "sms", "country": "US", "amount_micros": 10000}]}}'
        """,
        "UPDATE workspaces SET settings = settings || '{\"monthly_limits\": {\"sms_parts\": 1000}}'",
    ])
    func `what has more to be asked is claimed before`(_ change: String) throws {
        try withSending(contacts: 250) { sending in
            try sending.noteClaims()
            try sending.db.execute(change)
            try sending.run()
            #expect(try sending.states() == ["sent": 250])
            #expect(try sending.db.value("SELECT count(*) FROM claims") == 250)
        }
    }

    @Test func `what is not to leave is told for the same reasons as ever`() throws {
        try withSending(
            contacts: 400, body: "{{ attributes.note }}",
            prepare: { scene, db in
                try db.runDynamic(
                    """
                    UPDATE contacts SET attributes = jsonb_build_object('note', CASE WHEN ordinal % 4 = 0 THEN '' WHEN ordinal % 7 = 0
                        THEN repeat('x', 1601) ELSE 'fine' END) WHERE workspace_id = $1
                    """, [scene.workspace.sqlValue])
            }
        ) { sending in
            try sending.scene.goToBed(Array(380..<390), sending.db)
            try sending.db.execute("DELETE FROM contacts WHERE ordinal IN (8, 201)")
            let empty: Int = try sending.db.value(
                "SELECT count(*) FROM contacts WHERE attributes ->> 'note' = '' AND timezone = '\(zone(whereItIs: 12))'")
            let long: Int = try sending.db.value(
                "SELECT count(*) FROM contacts WHERE length(attributes ->> 'note') > 4 AND timezone = '\(zone(whereItIs: 12))'")
            try sending.run(seconds: 3)
            #expect(
                try sending.states() == [
                    "skipped/empty_text": empty, "skipped/text_too_long": long, "skipped/contact_deleted": 2, "pending": 10,
                    "sent": 388 - empty - long,
                ])
        }
    }

    @Test func `who says no between the look and the start gets nothing`() throws {
        try withOwnDatabase { database in
            let (scene, db, worker) = try begun(database, contacts: 5)
            try worker.inWorkspace(scene.workspace) { worker in
                let held = try worker.all(LedgerSQL.hold, scene.campaign, 100, true)
                #expect(held.count == 5 && held.allSatisfy { !$0.isSkipped && $0.contact != nil })
                try db.inWorkspace(scene.workspace) { db in
                    try db.runDynamic("SELECT record_consent($1, 'sms', 'opted_out', 'test')", [scene.contacts[1].sqlValue])
                    try db.runDynamic("SELECT suppress('sms', '+12025550003', 'opt_out', 'provider')", [])
                    try db.runDynamic(
                        "DELETE FROM contacts WHERE workspace_id = $1 AND id = $2", [scene.workspace.sqlValue, scene.contacts[3].sqlValue])
                }
                let started = try scene.startHeld(worker, held).filter { $0.state == "started" }.map(\.id)
                let told = held.filter { started.contains($0.id) }.compactMap(\.contactID)
                #expect(Set(told) == [scene.contacts[0], scene.contacts[4]])
            }
            #expect(
                try scene.states(db) == ["started": 2, "skipped/opted_out": 2, "skipped/contact_deleted": 1])
        }
    }

    @Test(arguments: [
        "UPDATE campaigns SET status = 'paused', paused_at = now()", "UPDATE senders SET status = 'suspended', status_reason = 'test'",
        "UPDATE workspaces SET suspended_at = now()",
        "UPDATE workspaces SET settings = settings || '{\"monthly_limits\": {\"sms_parts\": 1000}}'",
    ])
    func `what is stopped between the look and the start waits as it did`(_ change: String) throws {
        try withOwnDatabase { database in
            let (scene, db, worker) = try begun(database, contacts: 3)
            try worker.inWorkspace(scene.workspace) { worker in
                let held = try worker.all(LedgerSQL.hold, scene.campaign, 100, false)
                try db.execute(change)
                #expect(try scene.startHeld(worker, held).allSatisfy { $0.state == "pending" })
            }
            #expect(try scene.states(db) == ["pending": 3])
            #expect(try db.value("SELECT count(*) FROM messages WHERE lease_token IS NOT NULL OR attempt > 0 OR body IS NOT NULL") == 0)
        }
    }

    @Test func `what somebody holds nobody else sees, and a transaction that ends in vain leaves it as it was`() throws {
        try withOwnDatabase { database in
            let (scene, db, worker) = try begun(database, contacts: 6)
            let another = try database.connect(as: .worker)
            struct Vain: Error {}
            #expect(throws: Vain.self) { () throws in
                try worker.inWorkspace(scene.workspace) { worker in
                    let held = try worker.all(LedgerSQL.hold, scene.campaign, 4, false)
                    try another.inWorkspace(scene.workspace) { another in
                        let others = try another.all(LedgerSQL.hold, scene.campaign, 100, false)
                        #expect(others.count == 2 && Set(others.map(\.id)).isDisjoint(with: held.map(\.id)))
                        #expect(try scene.claim(another).count == 2)
                    }
                    #expect(try scene.startHeld(worker, held).allSatisfy { $0.state == "started" })
                    throw Vain()
                }
            }
            #expect(try scene.states(db) == ["pending": 4, "claimed": 2])
        }
    }

    @Test func `a start at once counts against a cap`() throws {
        try withOwnDatabase { database in
            let (scene, db, worker) = try begun(database, contacts: 3)
            try db.execute(
                """
                UPDATE workspaces SET settings = settings || '{"frequency_caps": [{"channel": "sms", "at_most": 1, "per_hours": 24}]}'
                """)
            let second = try scene.withAnotherCampaign(db)
            try second.freeze(db)
            for each in [scene, second] {
                try worker.inWorkspace(scene.workspace) { worker in
                    let held = try worker.all(LedgerSQL.hold, each.campaign, 100, false)
                    _ = try worker.one(FrequencyCaps.lock, each.campaign, held.map(\.id), held.map(\.createdAt))
                    _ = try each.startHeld(worker, held)
                }
            }
            #expect(try scene.states(db) == ["started": 3])
            #expect(try second.states(db) == ["skipped/over_cap": 3])
        }
    }

    private func begun(_ database: TestDatabase, contacts: Int) throws -> (Scene, Connection, Connection) {
        let db = try database.connect()
        let scene = try Scene(db, contacts: contacts)
        try scene.freeze(db)
        return (scene, db, try database.connect(as: .worker))
    }
}

extension Scene {
    fileprivate func startHeld(_ db: Connection, _ messages: [ClaimedMessage]) throws -> [StartedMessage] {
        try db.all(
            LedgerSQL.startHeld, campaign, .v7(), messages.map(\.id), messages.map(\.createdAt), messages.map { _ in "Hi" },
            messages.map { _ in 1 }, 60, false)
    }
}

extension Sending {
    fileprivate func noteClaims() throws {
        try db.execute(
            """
            CREATE TABLE claims (message uuid);
            CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                $$ BEGIN INSERT INTO claims VALUES (NEW.id); RETURN NULL; END $$;
            CREATE TRIGGER claims_are_noted AFTER UPDATE ON messages FOR EACH ROW
                WHEN (NEW.state = 'claimed' AND OLD.state <> 'claimed') EXECUTE FUNCTION note_claim();
            """)
    }
}
