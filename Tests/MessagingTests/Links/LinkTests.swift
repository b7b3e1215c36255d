import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// Browsers, as people have them.
private let browser =
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36"

/// A campaign whose messages left ten minutes ago with two links and a pixel each.
private final class LinkSite {
    let owner: Connection
    let scene: Scene
    let responder: TestResponder
    let token: String
    /// Of the first contact: two links and the pixel; then of the second.
    private(set) var keys: [[String]] = []

    init(_ database: TestDatabase) throws {
        owner = try database.connect()
        scene = try Scene(owner, contacts: 2)
        responder = try TestResponder(linkRoutes + sendingRoutes, database)
        token = try owner.createAPIKey(in: scene.workspace).token
        try scene.freeze(owner)
        for contact in scene.contacts {
            // As they are made of a text, one after the other.
            let made = [NewLink("https://a.example/?x=1&y=%20"), NewLink("http://b.example/"), NewLink(nil)]
            try owner.transaction { db in
                try db.setWorkspace(scene.workspace)
                let id: MessageID = try db.value("SELECT id FROM messages WHERE contact_id = $1", contact.sqlValue)
                let createdAt: Instant = try db.value("SELECT created_at FROM messages WHERE contact_id = $1", contact.sqlValue)
                try db.run(
                    LinkSQL.insert, scene.campaign, made.map(\.key), made.map(\.madeAt), made.map(\.kind), made.map(\.url),
                    made.map { _ in id }, made.map { _ in createdAt })
            }
            keys.append(made.map(\.key))
        }
        try sent(ago: "10 minutes")
    }

    /// As the ledger would have it so long after sending.
    func sent(ago: String) throws {
        try owner.runDynamic("ALTER TABLE messages DISABLE TRIGGER message_follows_its_states", [])
        try owner.runDynamic(
            """
            UPDATE messages SET state = 'sent', sid = 'SM' || id, attempt = 1, body = 'x', parts = 1, started_at = now() - $1::interval,
                   sent_at = now() - $1::interval
            """, [ago.sqlValue])
        try owner.runDynamic("ALTER TABLE messages ENABLE TRIGGER message_follows_its_states", [])
    }

    func open(_ key: String, _ method: String = "GET", agent: String? = browser, headers: [(String, String)] = [], pixel: Bool = false)
        throws -> TestAnswer
    {
        try responder.send(method, "/\(pixel ? "o" : "l")/\(key)", headers: headers + (agent.map { [("User-Agent", $0)] } ?? []))
    }

    /// Reason, or that it counts, of each hit, the first one first.
    func verdicts() throws -> [String] {
        try owner.dynamic("SELECT CASE WHEN is_counted THEN 'counted' ELSE reason END FROM link_hits ORDER BY at, id", [])
    }
    func clicked() throws -> Int { try owner.value("SELECT count(*) FROM campaign_responses WHERE kind = 'clicked'") }
    func events() throws -> [String] { try owner.dynamic("SELECT name FROM events WHERE name LIKE 'message.%' ORDER BY name", []) }
    func judge(_ hit: UUID, _ verb: String) throws -> TestAnswer {
        try responder.send("POST", "/api/links/hits/\(hit)/\(verb)", token: token)
    }
    /// So that what comes next is no burst.
    func later() throws { try owner.runDynamic("UPDATE link_hits SET at = at - interval '5 seconds'", []) }
}

private func withLinks(_ body: (LinkSite) throws -> Void) throws {
    try withOwnDatabase { database in
        let site = try LinkSite(database)
        defer { site.responder.stop() }
        try body(site)
    }
}

@Suite struct LinkTests {
    @Test func `a link leads to its address, and counts its recipient once`() throws {
        try withLinks { site in
            let answer = try site.open(site.keys[0][0] + "?fbclid=1")
            #expect(answer.status == 302 && answer.header("location") == "https://a.example/?x=1&y=%20")
            #expect(answer.header("cache-control") == "no-store")
            #expect(try site.open(site.keys[0][0]).status == 302)
            #expect(try site.verdicts() == ["counted", "counted"])
            #expect(try site.clicked() == 1)
            #expect(try site.events() == ["message.clicked", "message.clicked"])
            let campaigns: [CampaignID] = try site.owner.dynamic(
                "SELECT (properties ->> 'campaign_id')::uuid FROM events WHERE contact_id = $1", [site.scene.contacts[0].sqlValue])
            #expect(campaigns == [site.scene.campaign, site.scene.campaign])
            #expect(try site.open(site.keys[1][0]).status == 302)
            #expect(try site.clicked() == 2)
        }
    }

    @Test func `what nobody sent is not there, and nothing is written of it`() throws {
        try withLinks { site in
            var other = Array(site.keys[0][0])
            other[11] = other[11] == "a" ? "b" : "a"
            for key in [String(other), "x", "000000000000", String(site.keys[0][0].dropLast()), "018f0000-0000-7000", "%27%20OR%201=1"] {
                #expect(try site.open(key).status == 404, "\(key)")
            }
            // A pixel is no link, and a link no pixel; a picture comes all the same.
            #expect(try site.open(site.keys[0][2]).status == 404)
            let picture = try site.open(site.keys[0][0], pixel: true)
            #expect(picture.status == 200 && picture.header("content-type") == "image/gif" && picture.header("content-length") == "43")
            #expect(try site.verdicts() == [])
        }
    }

    @Test func `a link of more than a year ago is gone, one of less is found in its month`() throws {
        try withLinks { site in
            for (ago, status) in [("364 days", 302), ("367 days", 410)] {
                let at: Instant = try site.owner.value("SELECT now() - $1::interval", ago.sqlValue)
                let key = LinkKey.new(at: at)
                try site.owner.runDynamic(
                    """
                    INSERT INTO links (workspace_id, key, created_at, kind, campaign_id, message_id, message_created_at, contact_id, url)
                    VALUES ($1, $2, $3, 'click', $4, uuid_v7(), $3, $5, 'https://a.example/')
                    """,
                    [
                        site.scene.workspace.sqlValue, key.sqlValue, at.sqlValue, site.scene.campaign.sqlValue,
                        site.scene.contacts[0].sqlValue,
                    ])
                let answer = try site.open(key)
                #expect(answer.status == status, "\(ago): \(answer.text)")
                if status == 410 { #expect(answer.code == "link_expired") }
            }
            #expect(try site.verdicts() == ["counted"])
        }
    }

    @Test func `every month's first character leads to that month`() throws {
        try withLinks { site in
            for months in -13...0 {
                let at: Instant = try site.owner.value(
                    "SELECT date_trunc('month', now(), 'UTC') + make_interval(months => $1)", months.sqlValue)
                let last: Instant = try site.owner.value(
                    "SELECT $1::timestamptz + interval '1 month' - interval '1 microsecond'", at.sqlValue)
                for instant in months == 0 ? [at] : [at, last] {
                    let key = LinkKey.new(at: instant)
                    try site.owner.runDynamic(
                        """
                        INSERT INTO links (workspace_id, key, created_at, kind, campaign_id, message_id, message_created_at, url)
                        VALUES ($1, $2, $3, 'click', $4, uuid_v7(), $3, 'https://a.example/')
                        """, [site.scene.workspace.sqlValue, key.sqlValue, instant.sqlValue, site.scene.campaign.sqlValue])
                    let found: Int = try site.owner.value("SELECT count(*) FROM link_for_key($1)", key.sqlValue)
                    #expect(found == 1, "\(instant)")
                }
            }
        }
    }

    @Test func `machines are kept with their reason and count for nobody`() throws {
        try withLinks { site in
            let key = site.keys[0][0]
            _ = try site.open(key, "HEAD")
            _ = try site.open(key, agent: "WhatsApp/2.23.20.0")
            _ = try site.open(key, agent: "facebookexternalhit/1.1 Facebot Twitterbot/1.0")
            _ = try site.open(key, agent: nil)
            _ = try site.open(key, headers: [("Sec-Purpose", "prefetch;prerender")])
            _ = try site.open(key, headers: [("Purpose", "prefetch")])
            _ = try site.open(key, agent: "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36")
            let expected = ["head_request", "known_agent", "known_agent", "known_agent", "prefetch", "prefetch", "counted"]
            #expect(try site.verdicts() == expected)
            #expect(try site.clicked() == 1)
            let kept: String = try site.owner.value("SELECT string_agg(h::text, '') FROM link_hits h")
            #expect(!kept.contains("Mozilla") && !kept.contains("127.0.0.1"))
        }
    }

    @Test func `a click faster than anybody reads is a machine's`() throws {
        try withLinks { site in
            // As if it left only now: no test may depend on how fast it runs.
            try site.sent(ago: "-1 minutes")
            _ = try site.open(site.keys[0][0])
            try site.sent(ago: "3 seconds")
            _ = try site.open(site.keys[1][0])
            #expect(try site.verdicts() == ["too_fast", "counted"])
            #expect(try site.clicked() == 1)
        }
    }

    @Test func `all links of a message at once are a machine's, and the first of them is taken back`() throws {
        try withLinks { site in
            // Of one moment, however slow this machine is.
            try site.owner.transaction { db in
                try db.setWorkspace(site.scene.workspace)
                _ = try db.one(LinkSQL.record, site.keys[0][0], "chrome", nil)
                #expect(try db.value("SELECT count(*) FROM campaign_responses WHERE kind = 'clicked'", as: Int.self) == 1)
                _ = try db.one(LinkSQL.record, site.keys[0][1], "chrome", nil)
                _ = try db.one(LinkSQL.record, site.keys[1][0], "chrome", nil)
                _ = try db.one(LinkSQL.record, site.keys[1][0], "chrome", nil)
            }
            #expect(try site.verdicts().sorted() == ["burst", "burst", "counted", "counted"])
            #expect(try site.clicked() == 1)
            #expect(try site.events().count == 2)
            try site.later()
            _ = try site.open(site.keys[0][1])
            #expect(try site.clicked() == 2)
        }
    }

    @Test func `opens are events, and what a mail provider fetches for everybody is none`() throws {
        try withLinks { site in
            let pixel = site.keys[0][2]
            _ = try site.open(pixel, agent: "Mozilla/5.0", pixel: true)
            _ = try site.open(
                pixel, agent: "Mozilla/5.0 (Windows NT 5.1) Gecko/2009021910 Firefox/3.0.7 (via ggpht.com GoogleImageProxy)", pixel: true)
            #expect(try site.open(pixel, pixel: true).status == 200)
            #expect(try site.verdicts() == ["image_proxy", "image_proxy", "counted"])
            #expect(try site.events() == ["message.opened"])
            #expect(try site.clicked() == 0)
        }
    }

    @Test func `a person decides otherwise, and back`() throws {
        try withLinks { site in
            _ = try site.open(site.keys[0][0], agent: "curl/8.0")
            let hit: UUID = try site.owner.value("SELECT id FROM link_hits")
            #expect(try site.clicked() == 0)
            let counted = try site.judge(hit, "count")
            #expect(
                counted.status == 200 && counted.json["is_counted"] == true && counted.json["reason"] == "known_agent", "\(counted.text)")
            #expect(try site.judge(hit, "count").status == 200)
            #expect(try site.clicked() == 1 && site.events() == ["message.clicked"])
            try site.owner.runDynamic("DELETE FROM dirty_contacts", [])
            _ = try site.open(site.keys[0][0])
            #expect(try site.judge(hit, "discount").json["is_counted"] == false)
            // The other click still counts.
            #expect(try site.clicked() == 1)
            let rest: UUID = try site.owner.value("SELECT id FROM link_hits WHERE id <> $1", hit.sqlValue)
            #expect(try site.judge(rest, "discount").status == 200)
            #expect(try site.clicked() == 0)
            let list = try site.responder.send("GET", "/api/links/hits?campaign_id=\(site.scene.campaign)", token: site.token)
            #expect(list.json["items"]?.array?.map { $0["reason"] ?? .null } == [.null, "known_agent"])
            #expect(
                try site.responder.send("GET", "/api/links/hits?campaign_id=\(UUID.v7())", token: site.token).json["items"]?.array == [])
            let noted: Int = try site.owner.value("SELECT count(*) FROM dirty_contacts WHERE 'event:message.clicked' = ANY (reads)")
            #expect(noted > 0)
        }
    }

    @Test func `a contact who is gone clicks for nobody`() throws {
        try withLinks { site in
            try site.owner.runDynamic("DELETE FROM contacts WHERE id = $1", [site.scene.contacts[0].sqlValue])
            #expect(try site.open(site.keys[0][0]).status == 302)
            #expect(try site.verdicts() == ["counted"] && site.clicked() == 0 && site.events() == [])
        }
    }
}
