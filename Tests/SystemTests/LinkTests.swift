// A short link on its whole way: nginx, responder, figures.
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct LinkClickTests {
    @Test func `a click through nginx is in the campaign's figures once per person, and a machine's is not`() throws {
        try withServer([.webhooks, .campaigns, .analytics]) { server throws in
            let owner = try server.database.connect()
            let workspace = try owner.createWorkspace()
            let token = try owner.createAPIKey(in: workspace).token
            let campaign: CampaignID = try owner.value(
                """
                WITH sender AS (
                    INSERT INTO senders (workspace_id, name, channel, provider, from_number, rate_parts_per_second, account_sid, credentials)
                    VALUES ($1, 'S', 'sms', 'twilio', '+12025550100', 1, 'AC', '') RETURNING id)
                INSERT INTO campaigns (workspace_id, name, channel, segment_id, sender_id, body, status, frozen_at, finished_at)
                SELECT $1, 'C', 'sms', uuid_v7(), s.id, 'x', 'finished', now(), now() FROM sender s RETURNING id
                """, workspace.sqlValue)
            // The key's month as the worker writes it.
            let keys: [String] = try owner.dynamic(
                """
                WITH people AS (
                    INSERT INTO contacts (workspace_id, ordinal, name) SELECT $1, i, 'C' || i FROM generate_series(1, 2) i RETURNING id, name),
                made AS (SELECT substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
                    (extract(year FROM now() AT TIME ZONE 'UTC')::int * 12 + extract(month FROM now() AT TIME ZONE 'UTC')::int - 1) % 62 + 1, 1) AS m)
                INSERT INTO links (workspace_id, key, created_at, kind, campaign_id, message_id, message_created_at, contact_id, url)
                SELECT $1, m || 'aaaaaaaaa' || p.name, now(), 'click', $2, uuid_v7(), now(), p.id, 'https://a.example/landing?x=1'
                  FROM people p, made RETURNING key
                """, [workspace.sqlValue, campaign.sqlValue])
            let browser = [
                (
                    "User-Agent",
                    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 Version/26.1 Mobile Safari/604.1"
                )
            ]
            for _ in 0..<2 {
                let answer = try server.send("GET", "/l/\(keys[0])?utm=1", headers: browser)
                #expect(answer.status == 302 && answer.header("Location") == "https://a.example/landing?x=1", "\(answer.text)")
                #expect(answer.header("Cache-Control") == "no-store")
            }
            #expect(try server.send("HEAD", "/l/\(keys[1])", headers: browser).status == 302)
            #expect(try server.send("GET", "/l/\(keys[1])", headers: [("User-Agent", "Slackbot-LinkExpanding 1.0")]).status == 302)
            func clicked() throws -> Int? {
                try server.send("GET", "/api/campaigns/\(campaign)/analytics", token: token).json["clicked"]?.integer
            }
            #expect(try clicked() == 1)
            #expect(try server.send("GET", "/l/\(keys[0].dropLast())z").status == 404)
            #expect(try server.send("POST", "/l/\(keys[0])").status == 405)
            let hits = try server.send("GET", "/api/links/hits?campaign_id=\(campaign)", token: token).json["items"]?.array ?? []
            let bot = try #require(hits.first { $0["reason"] == "known_agent" }?["id"]?.string)
            #expect(hits.count == 4)
            #expect(try server.send("POST", "/api/links/hits/\(bot)/count", token: token).status == 200)
            #expect(try clicked() == 2)
            #expect(try server.send("POST", "/api/links/hits/\(bot)/discount", token: token).status == 200)
            #expect(try clicked() == 1)
            let pixel = try server.send("GET", "/o/\(keys[0])", headers: browser)
            #expect(pixel.status == 200 && pixel.header("Content-Type") == "image/gif" && pixel.body.count == 43)
        }
    }
}
