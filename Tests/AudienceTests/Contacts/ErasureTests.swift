// Who was erased stays unwritten to, and nothing that is kept for that names them.
import JSON
import PostgreSQL
import Secrets
import TestSupport
import Testing
import Vocabulary

@Suite struct ErasureTests {
    /// RFC 4231, section 4: key, data and HMAC-SHA-256.
    @Test(arguments: [
        (String(repeating: "0b", count: 20), "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
            String(repeating: "aa", count: 20), String(repeating: "dd", count: 50),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
            String(repeating: "aa", count: 131),
            "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579202d2048617368204b6579204669727374",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
    ])
    func `the database's HMAC is that of RFC 2104`(key: String, data: String, expected: String) throws {
        try withDatabase { db in
            let hash: String = try db.value(
                "SELECT encode(hmac_sha256(decode($1, 'hex'), decode($2, 'hex')), 'hex')", key.sqlValue, data.sqlValue)
            #expect(hash == expected)
        }
    }

    private func erase(_ site: AudienceSite, _ contact: JSONValue) throws -> TestAnswer {
        try site.send("POST", "/api/contacts/\(contact["id"]?.string ?? "")/erase")
    }

    private func suppressions(_ site: AudienceSite) throws -> [String] {
        try site.owner.dynamic("SELECT address || ' ' || reason || '/' || source FROM suppressions ORDER BY 1", [])
    }

    @Test func `an erased address stands nowhere, and is suppressed again with its reason when it comes back`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123", "email": "ada@example.com", "name": "Ada"])
            try site.owner.runDynamic(
                "INSERT INTO suppressions (workspace_id, channel, address, reason, source) VALUES ($1, 'sms', '+12025550123', 'opt_out', 'inbound')",
                [site.workspace.sqlValue])
            #expect(try erase(site, contact).status == 204)
            #expect(try suppressions(site) == [] && site.count("contacts") == 0)
            let kept: String = try site.owner.value("SELECT string_agg(e::text, ' ') FROM erased_suppressions e")
            #expect(!kept.contains("2025550123") && !kept.contains("ada"))
            // The hash is that of the address under the workspace's own key.
            let key: [UInt8] = try site.owner.value("SELECT key FROM erasure_keys WHERE workspace_id = $1", site.workspace.sqlValue)
            let hash: [UInt8] = try site.owner.value("SELECT address_hash FROM erased_suppressions WHERE channel = 'sms'")
            #expect(hash == Hash.hmacSHA256(key: key, Array("+12025550123".utf8)))

            // By the API, by a change, and by a file.
            try site.add(["phone": "+12025550123"])
            #expect(try suppressions(site) == ["+12025550123 opt_out/inbound"])
            let other = try site.add(["name": "x", "email": "x@example.com"])
            try site.send("PATCH", "/api/contacts/\(other["id"]?.string ?? "")", json: ["email": "ADA@example.com"])
            #expect(try suppressions(site) == ["+12025550123 opt_out/inbound", "ada@example.com manual/erasure"])
            #expect(try site.count("erased_suppressions") == 0, "the plain form has taken over")
        }
    }

    @Test func `an address that they had before is erased too, unless it is another's now`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])
            try site.add(["phone": "+12025550155"])
            let superuser = try site.database.connect(as: .superuser)
            for former in ["+12025550144", "+12025550155"] {
                try superuser.execute("SET session_replication_role = replica")
                try superuser.runDynamic(
                    """
                    INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, due_at, created_at)
                    VALUES ($1, gen_random_uuid(), $2::uuid, gen_random_uuid(), 'sms', $3, now(), now())
                    """, [site.workspace.sqlValue, (contact["id"]?.string ?? "").sqlValue, former.sqlValue])
            }
            #expect(try erase(site, contact).status == 204)
            #expect(try site.count("erased_suppressions") == 2)
            try site.add(["phone": "+12025550144"])
            #expect(try suppressions(site) == ["+12025550144 manual/erasure"])
        }
    }

    @Test func `a file brings nobody back who was erased, among many who were not`() throws {
        try withAudience { site throws in
            let contacts = try (0..<3).map { try site.add(["phone": .string("+1202555012\($0)")]) }
            for contact in contacts.prefix(2) { _ = try erase(site, contact) }
            let rows = (0..<500).map { "+1202555\(String($0 + 1_0000).suffix(4))" } + ["+12025550120", "+12025550121"]
            #expect(
                try site.upload(Array(("phone\n" + Set(rows).joined(separator: "\n") + "\n").utf8), query: "?consent=sms").status == 202)
            #expect(try site.work()["state"] == "succeeded")
            #expect(try suppressions(site) == ["+12025550120 manual/erasure", "+12025550121 manual/erasure"])
        }
    }

    @Test func `one workspace's erasure is not another's, and nobody but the owner's functions reads the key`() throws {
        try withAudience { site throws in
            _ = try erase(site, try site.add(["phone": "+12025550123"]))
            let elsewhere = try site.owner.createWorkspace()
            let other = try site.owner.createAPIKey(in: elsewhere).token
            #expect(try site.send("POST", "/api/contacts", json: ["phone": "+12025550123"], as: other).status == 201)
            #expect(try suppressions(site) == [])
            for role in [DatabaseRole.responder, .worker, .maintenance] {
                let db = try site.database.connect(as: role)
                for sql in ["SELECT count(*) FROM erasure_keys", "SELECT suppress_erased_addresses('{}', '{}', '{}') IS NULL"] {
                    #expect(throws: PostgresError.self) { let _: [JSONValue] = try db.dynamic("SELECT to_json(x) FROM (\(sql)) x", []) }
                }
            }
        }
    }

    @Test func `an import beside the erasure of the same person ends suppressed`() throws {
        try withAudience { site throws in
            let contact = try site.add(["phone": "+12025550123"])
            let (responder, token) = (site.responder, site.token)
            let path = "/api/contacts/\(contact["id"]?.string ?? "")/erase"
            let statuses = try inParallel(8) { index in
                try index == 0
                    ? responder.send("POST", path, token: token).status
                    : responder.send("POST", "/api/contacts", token: token, json: ["phone": "+12025550123"]).status
            }
            #expect(statuses[0] == 204)
            let came = statuses.dropFirst().filter { $0 == 201 }.count
            #expect(came <= 1)
            if came == 1 { #expect(try suppressions(site) == ["+12025550123 manual/erasure"]) }
            if came == 0 { #expect(try site.count("erased_suppressions") == 1) }
        }
    }
}
