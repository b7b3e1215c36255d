import JSON
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct SenderRouteTests {
    private let account = "AC" + String(repeating: "a", count: 32)
    private func draft(_ changes: JSONObject = [:]) -> JSONValue {
        var draft: JSONObject = [
            "name": "Main", "channel": "sms", "provider": "twilio", "from": "+12025550111", "rate_parts_per_second": 10,
            "credentials": [
                "account_sid": .string(account), "auth_token": "a-secret-token",
                "api_key_sid": .string("SK" + String(repeating: "b", count: 32)),
                "api_key_secret": "another-secret",
            ],
        ]
        for (name, value) in changes { draft[name] = value }
        return .object(draft)
    }

    @Test func `credentials go in, sealed, and never come out`() throws {
        try withMessagingSite { site throws in
            let made = try site.post("/api/senders", draft())
            #expect(made.status == 201)
            let path = try #require(made.header("location"))
            for answer in [
                made, try site.get(path), try site.get("/api/senders"), try site.send("PATCH", path, ["rate_parts_per_second": 2.5]),
            ] {
                #expect(answer.status < 300)
                #expect(!answer.text.contains("secret"))
                #expect(!answer.text.contains("SKbb"))
            }
            #expect(try site.get(path).json["rate_parts_per_second"]?.real == 2.5)
            // Without the wish to be called again Twilio would lose a STOP that comes while the database restarts.
            #expect(try site.get(path).json["inbound_webhook"]?.string?.hasSuffix("/inbound#rc=3&rp=ct,rt,5xx&rt=4000") == true)
            let sealed: String = try site.owner.value("SELECT encode(credentials, 'escape') FROM senders WHERE name = 'Main'")
            #expect(!sealed.contains("secret"))
        }
    }

    @Test func `sealed credentials open for their own sender only`() throws {
        let key = try #require(SealingKey([UInt8](repeating: 3, count: 32)))
        let other = try #require(SealingKey([UInt8](repeating: 4, count: 32)))
        let credentials = SenderCredentials(accountSID: account, authToken: "token", secondaryAuthToken: "older", apiKey: ("SK1", "secret"))
        let (workspace, sender) = (WorkspaceID.new(), SenderID.new())
        let sealed = credentials.sealed(with: key, workspace: workspace, sender: sender)
        #expect(SenderCredentials(opening: sealed, with: key, workspace: workspace, sender: sender) == credentials)
        #expect(SenderCredentials(opening: sealed, with: key, workspace: workspace, sender: .new()) == nil)
        #expect(SenderCredentials(opening: sealed, with: key, workspace: .new(), sender: sender) == nil)
        #expect(SenderCredentials(opening: sealed, with: other, workspace: workspace, sender: sender) == nil)
        #expect(credentials.signingTokens == ["token", "older"])
        #expect(credentials.basicAuth.user == "SK1")
        #expect(!"\(credentials)".contains("token"))
    }

    @Test(
        arguments: [
            (["from": .null], "/from", "one_of_two"),
            (["messaging_service_sid": .string("MG" + String(repeating: "0", count: 32))], "/from", "one_of_two"),
            (["from": "02025550111"], "/from", "bad_format"),
            (
                ["from": .null, "messaging_service_sid": .string("XX" + String(repeating: "0", count: 32))], "/messaging_service_sid",
                "bad_format"
            ),
            (["rate_parts_per_second": 0], "/rate_parts_per_second", "out_of_range"),
            (["rate_parts_per_second": 10_001], "/rate_parts_per_second", "out_of_range"),
            (
                ["credentials": ["account_sid": .string("AC" + String(repeating: "z", count: 32)), "auth_token": "a-secret-token"]],
                "/credentials/account_sid", "bad_format"
            ),
            (
                [
                    "credentials": [
                        "account_sid": .string("AC" + String(repeating: "0", count: 32)), "auth_token": "a-secret-token",
                        "api_key_secret": "lonely-secret",
                    ]
                ], "/credentials/api_key_sid", "required"
            ),
            (["provider": "pigeon"], "/provider", "not_one_of"),
        ] as [(JSONObject, String, String)])
    func `a draft with a fault is refused at its place`(_ changes: JSONObject, _ pointer: String, _ code: String) throws {
        try withMessagingSite { site throws in
            let answer = try site.post("/api/senders", draft(changes))
            #expect(answer.status == 422)
            #expect(answer.json["errors"]?.array?.first?["pointer"]?.string == pointer, "\(answer.text)")
            #expect(answer.code == code)
        }
    }

    @Test func `new credentials end a suspension`() throws {
        try withMessagingSite { site throws in
            let path = "/api/senders/\(site.scene.sender)"
            try site.owner.execute("UPDATE senders SET status = 'suspended', status_reason = 'authentication_failed'")
            #expect(try site.get(path).json["status_reason"]?.string == "authentication_failed")
            let changed = try site.send("PATCH", path, ["credentials": ["account_sid": .string(account), "auth_token": "a-new-token"]])
            #expect(changed.json["status"]?.string == "active")
        }
    }

    @Test func `a sender that a campaign names cannot be deleted, another can`() throws {
        try withMessagingSite { site throws in
            #expect(try site.send("DELETE", "/api/senders/\(site.scene.sender)").status == 409)
            let path = try #require(try site.post("/api/senders", draft()).header("location"))
            #expect(try site.send("DELETE", path).status == 204)
        }
    }

    @Test func `senders are the business of admins, and of their own workspace`() throws {
        try withMessagingSite { site throws in
            let path = "/api/senders/\(site.scene.sender)"
            #expect(try site.get(path, as: site.viewer).status == 200)
            #expect(try site.post("/api/senders", draft(), as: site.manager).status == 403)
            #expect(try site.send("PATCH", path, ["name": "Mine"], as: site.manager).status == 403)
            #expect(try site.send("DELETE", path, as: site.manager).status == 403)
            #expect(try site.get(path, as: site.stranger).status == 404)
            #expect(try site.send("PATCH", path, ["name": "Mine"], as: site.stranger).status == 404)
            #expect(try site.get("/api/senders", as: site.stranger).json["items"]?.array == [])
        }
    }
}
