// The ledger is linked: whoever changes it, with whatever right, leaves a trace.
import Audience
import JSON
import Jobs
import PostgreSQL
import Secrets
import TestSupport
import Testing
import Vocabulary

@Suite struct ConsentLedgerTests {
    /// Three contacts with some entries each, among them one with everything that an entry can hold.
    private func fill(_ site: AudienceSite) throws -> [String] {
        let contacts = try (0..<3).map { try site.add(["phone": .string("+1202555012\($0)")])["id"]?.string ?? "" }
        for (index, contact) in contacts.enumerated() {
            for state in ["opted_in", "opted_out", "opted_in"] {
                var body: JSONObject = [
                    "contact_id": .string(contact), "channel": "sms", "state": .string(state), "source": "web_form",
                    "wording": .string("Ich möchte Nachrichten \(index)."),
                    "evidence": ["page": "https://example.com/ü", "n": [1, 2.5, .null]],
                ]
                if state == "opted_out" {
                    body["reason"] = "other"
                    body["reason_text"] = "moved away"
                }
                #expect(try site.send("POST", "/api/consent", json: .object(body)).status == 201)
            }
        }
        return contacts
    }

    private func verdict(_ site: AudienceSite, _ query: String = "") throws -> String {
        let answer = try site.send("GET", "/api/consent/verify" + query).json
        if answer["state"] == "ok" { return "ok" }
        let fault = answer["fault"]
        let place = (fault?["sequence"] ?? fault?["anchor"])?.integer
        return "\(fault?["code"]?.string ?? answer.text) \(place.map(String.init) ?? "")"
    }

    @Test func `an entry's hash is what anybody can calculate from what the API shows`() throws {
        try withAudience { site throws in
            let contacts = try fill(site)
            try site.send(
                "POST", "/api/consent",
                json: [
                    "contact_id": .string(contacts[0]), "channel": "sms", "state": "opted_in", "source": "x", "purpose": "transactional",
                ])
            var before: [UInt8]?
            let entries = try site.send("GET", "/api/consent?contact_id=\(contacts[0])").json["items"]?.array ?? []
            #expect(entries.count == 4)
            for entry in entries.reversed() {
                func text(_ name: String) -> [UInt8]? { entry[name]?.string.map { Array($0.utf8) } }
                func id(_ value: JSONValue?) -> [UInt8]? {
                    value?.string.flatMap { Vocabulary.UUID($0) }.map { bigEndian($0.high) + bigEndian($0.low) }
                }
                func time(_ name: String) -> [UInt8]? {
                    entry[name]?.string.flatMap { Instant(rfc3339: $0) }.map { bigEndian(UInt64(bitPattern: $0.microseconds)) }
                }
                let evidence = try site.owner.value(
                    "SELECT evidence::text FROM consent_events WHERE id = $1::uuid", (entry["id"]?.string ?? "").sqlValue, as: String.self)
                let fields: [[UInt8]?] = [
                    before, bigEndian(UInt64(entry["sequence"]?.integer ?? 0)), id(.string(site.workspace.description)), id(entry["id"]),
                    id(entry["contact_id"]), text("channel"), text("purpose"), text("state"), text("source"), text("wording"),
                    text("reason"), text("reason_text"), entry["actor"]?["kind"]?.string.map { Array($0.utf8) }, id(entry["actor"]?["id"]),
                    Array(evidence.utf8), time("at"), time("recorded_at"),
                ]
                var bytes: [UInt8] = []
                for field in fields {
                    bytes += field.map { bigEndian(UInt64($0.count)).suffix(4) } ?? [255, 255, 255, 255]
                    bytes += field ?? []
                }
                let hash = Hash.sha256(bytes)
                #expect(entry["hash"]?.string == hexEncode(hash))
                #expect(entry["previous_hash"]?.string == before.map(hexEncode))
                #expect(entry["actor"]?["kind"] == "api_key" && entry["actor"]?["id"]?.string != nil)
                before = hash
            }
            // What is not marketing is in the ledger and decides nothing.
            #expect(try site.owner.value("SELECT count(*) FROM consents", as: Int.self) == 3)
        }
    }

    private func bigEndian(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }

    @Test(arguments: [
        ("UPDATE consent_events SET wording = 'I agree to everything.' WHERE contact_id = $1 AND sequence = 2", "entry_changed 2"),
        ("UPDATE consent_events SET occurred_at = occurred_at - interval '1 us' WHERE contact_id = $1 AND sequence = 1", "entry_changed 1"),
        ("UPDATE consent_events SET evidence = evidence || '{\"n\": 1}' WHERE contact_id = $1 AND sequence = 3", "entry_changed 3"),
        ("UPDATE consent_events SET actor_id = NULL WHERE contact_id = $1 AND sequence = 3", "entry_changed 3"),
        ("UPDATE consent_events SET reason_text = NULL WHERE contact_id = $1 AND sequence = 2", "entry_changed 2"),
        ("DELETE FROM consent_events WHERE contact_id = $1 AND sequence = 1", "entry_missing 2"),
        ("DELETE FROM consent_events WHERE contact_id = $1 AND sequence = 2", "entry_missing 3"),
        ("DELETE FROM consent_events WHERE contact_id = $1 AND sequence = 3", "end_missing 2"),
        ("DELETE FROM consent_events WHERE contact_id = $1", "end_missing 3"),
        // Two change places, numbers and links with them.
        (
            """
            WITH a AS (DELETE FROM consent_events WHERE contact_id = $1 AND sequence IN (2, 3) RETURNING *)
            INSERT INTO consent_events SELECT r.* FROM a CROSS JOIN LATERAL jsonb_populate_record(
                NULL::consent_events, to_jsonb(a) || jsonb_build_object(
                    'sequence', 5 - a.sequence, 'previous_hash', (SELECT b.previous_hash FROM a b WHERE b.sequence = 5 - a.sequence))) r
            """, "entry_changed 2"
        ),
        // One that fits, but that the end of the chain knows nothing of.
        (
            """
            INSERT INTO consent_events (workspace_id, contact_id, channel, purpose, state, source, wording, reason, reason_text, actor_kind,
                                        actor_id, evidence, occurred_at, recorded_at, sequence, previous_hash, id, hash)
            SELECT e.workspace_id, e.contact_id, e.channel, e.purpose, 'opted_in', e.source, e.wording, NULL, NULL, e.actor_kind,
                   e.actor_id, e.evidence, e.occurred_at, e.recorded_at, 4, e.hash, i.id,
                   consent_hash(e.hash, 4, e.workspace_id, i.id, e.contact_id, e.channel, e.purpose, 'opted_in', e.source, e.wording, NULL,
                                NULL, e.actor_kind, e.actor_id, e.evidence, e.occurred_at, e.recorded_at)
              FROM consent_events e CROSS JOIN (SELECT uuid_v7() AS id) i WHERE e.contact_id = $1 AND e.sequence = 3
            """, "entry_added 4"
        ),
        // In the middle with a hash of its own that fits: the next one still names the old.
        (
            """
            UPDATE consent_events e SET wording = 'x', hash = consent_hash(
                e.previous_hash, e.sequence, e.workspace_id, e.id, e.contact_id, e.channel, e.purpose, e.state, e.source, 'x', e.reason,
                e.reason_text, e.actor_kind, e.actor_id, e.evidence, e.occurred_at, e.recorded_at)
             WHERE e.contact_id = $1 AND e.sequence = 2
            """, "link_broken 3"
        ),
        (
            """
            UPDATE consent_events e SET wording = 'x', hash = consent_hash(
                e.previous_hash, e.sequence, e.workspace_id, e.id, e.contact_id, e.channel, e.purpose, e.state, e.source, 'x', e.reason,
                e.reason_text, e.actor_kind, e.actor_id, e.evidence, e.occurred_at, e.recorded_at)
             WHERE e.contact_id = $1 AND e.sequence = 3
            """, "end_changed 3"
        ),
        ("UPDATE consent_chains SET length = 4 WHERE contact_id = $1", "end_missing 3"),
        ("DELETE FROM consent_chains WHERE contact_id = $1", "entry_added 1"),
    ])
    func `who tampers with one entry is found out, at that entry`(sql: String, expected: String) throws {
        try withAudience { site throws in
            let contacts = try fill(site)
            #expect(try verdict(site) == "ok")
            #expect(try site.owner.runDynamic(sql, [contacts[1].sqlValue]) > 0)
            #expect(try verdict(site) == expected)
            #expect(try verdict(site, "?contact_id=\(contacts[1])") == expected)
            #expect(try verdict(site, "?contact_id=\(contacts[0])") == "ok" && verdict(site, "?contact_id=\(contacts[2])") == "ok")
            // It is a matter of this workspace alone.
            let other = try site.owner.createAPIKey(in: site.owner.createWorkspace()).token
            #expect(try site.send("GET", "/api/consent/verify", as: other).json["state"] == "ok")
        }
    }

    @Test func `who writes a chain anew with fitting hashes, or takes it away whole, is told by the anchors`() throws {
        for tampering in [
            "DELETE FROM consent_chains WHERE contact_id = $1", "UPDATE consent_chains SET hash = sha256('x') WHERE contact_id = $1",
        ] {
            try withAudience { site throws in
                let contacts = try fill(site)
                let maintenance = try site.database.connect(as: .maintenance)
                func anchored() throws -> [String: Int] {
                    Dictionary(uniqueKeysWithValues: try consentChores[0].run(maintenance))
                }
                // Too young to be covered: it could still get company.
                #expect(try anchored()["anchors"] == 0)
                try age(site, by: "2 hours")
                #expect(try anchored() == ["workspaces": 1, "anchors": 1, "broken": 0])
                #expect(try anchored() == ["workspaces": 1, "anchors": 0, "broken": 0], "nothing new")
                #expect(try verdict(site) == "ok")
                // The chain that is left fits in itself.
                try site.owner.runDynamic(tampering, [contacts[1].sqlValue])
                if tampering.hasPrefix("DELETE") {
                    try site.owner.runDynamic("DELETE FROM consent_events WHERE contact_id = $1", [contacts[1].sqlValue])
                } else {
                    try relink(site, contacts[1], wording: "I agree to everything.")
                }
                #expect(try verdict(site) == "history_changed 1")
                #expect(try anchored() == ["workspaces": 1, "anchors": 0, "broken": 1], "no new anchor hides it")
                #expect(try site.count("consent_anchors") == 1)
                // Nor can the anchor itself be fitted.
                try site.owner.execute(
                    """
                    UPDATE consent_anchors a SET (chain_count, root) = (SELECT r.chain_count, r.root FROM consent_root(a.covers_until) r)
                    """)
                #expect(try verdict(site) == "anchor_changed 1")
            }
        }
    }

    /// As if everything had been recorded that much earlier, with hashes that fit.
    private func age(_ site: AudienceSite, by interval: String) throws {
        let contacts: [String] = try site.owner.dynamic("SELECT DISTINCT contact_id::text FROM consent_events", [])
        try site.owner.execute("UPDATE consent_events SET recorded_at = recorded_at - interval '\(interval)'")
        for contact in contacts { try relink(site, contact, wording: nil) }
    }

    /// What somebody with every right does to a chain: each hash anew, from the first to the last.
    private func relink(_ site: AudienceSite, _ contact: String, wording: String?) throws {
        for sequence in 1...3 {
            try site.owner.runDynamic(
                """
                UPDATE consent_events e
                   SET wording = coalesce($2::text, e.wording), previous_hash = p.hash, hash = consent_hash(
                       p.hash, e.sequence, e.workspace_id, e.id, e.contact_id, e.channel, e.purpose, e.state, e.source,
                       coalesce($2::text, e.wording), e.reason, e.reason_text, e.actor_kind, e.actor_id, e.evidence, e.occurred_at,
                       e.recorded_at)
                  FROM (SELECT 1) one LEFT JOIN consent_events p ON p.contact_id = $1::uuid AND p.sequence = $3::bigint - 1
                 WHERE e.contact_id = $1::uuid AND e.sequence = $3::bigint
                """, [contact.sqlValue, wording.sqlValue, sequence.sqlValue])
        }
        try site.owner.runDynamic(
            """
            UPDATE consent_chains k SET hash = e.hash, previous_hash = e.previous_hash FROM consent_events e
             WHERE k.contact_id = $1::uuid AND e.contact_id = $1::uuid AND e.sequence = k.length
            """, [contact.sqlValue])
    }

    @Test func `many who record consent of one contact at once make one chain`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])["id"]?.string ?? ""
            let (database, workspace) = (site.database, site.workspace)
            _ = try inParallel(8) { _ in
                let db = try database.connect(as: .responder)
                for turn in 0..<10 {
                    try db.transaction { db in
                        try db.setWorkspace(workspace)
                        if turn % 3 == 0 {
                            let _: [Int] = try db.dynamic(
                                "SELECT record_first_consents(ARRAY[$1::uuid], 'sms', 'opted_in', 'import', '{}')", [contact.sqlValue])
                        } else {
                            let _: [Bool] = try db.dynamic(
                                "SELECT record_consent($1::uuid, 'sms', 'opted_in', 'test', purpose => $2) IS NOT NULL",
                                [contact.sqlValue, (turn % 2 == 0 ? "marketing" : "transactional").sqlValue])
                        }
                    }
                }
            }
            // Eight times the six that are no first consent, and the one that was first if it was an import.
            #expect([48, 49].contains(try site.count("consent_events")))
            #expect(try verdict(site) == "ok")
            #expect(try site.send("GET", "/api/consent/verify").json["entries"]?.integer == site.count("consent_events"))
        }
    }

    @Test func `opt-outs are counted by reason, and a reason belongs to an opt-out`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])["id"] ?? .null
            func opt(_ state: JSONValue, _ reason: JSONValue, _ text: JSONValue = .null, at: JSONValue = .null) throws -> TestAnswer {
                try site.send(
                    "POST", "/api/consent",
                    json: [
                        "contact_id": contact, "channel": "sms", "state": state, "source": "web_form", "reason": reason,
                        "reason_text": text,
                        "at": at,
                    ])
            }
            #expect(try opt("opted_in", "other").code == "not_an_opt_out")
            #expect(try opt("opted_out", .null, "because").code == "reason_missing")
            #expect(try opt("opted_out", "bored").code == "not_one_of")
            #expect(try opt("opted_out", "other", .string(String(repeating: "x", count: 501))).code == "too_long")
            #expect(try opt("opted_out", "other", "moved away", at: "2026-01-10T00:00:00Z").json["reason_text"] == "moved away")
            for reason: JSONValue in ["too_many", "too_many", .null] { _ = try opt("opted_out", reason, at: "2026-01-11T00:00:00Z") }
            _ = try opt("opted_out", "too_many", at: "2026-02-01T00:00:00Z")
            let counted = try site.send("GET", "/api/consent/reasons?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z").json
            #expect(
                counted["items"] == [
                    ["reason": "too_many", "count": 2], ["reason": "not_relevant", "count": 0], ["reason": "never_signed_up", "count": 0],
                    ["reason": "other", "count": 1], ["reason": .null, "count": 1],
                ])
            #expect(try site.send("GET", "/api/consent/reasons?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").code == "out_of_range")
        }
    }
}
