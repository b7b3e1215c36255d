import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct MessageListTests {
    @Test func `the messages of a contact are listed, newest first, and those of other workspaces are not`() throws {
        try withMessagingSite(contacts: 3, consenting: 2) { site throws in
            try site.scene.freeze(site.owner)
            let contact = site.scene.contacts[0]
            for number in 1...3 {
                #expect(
                    try site.post(site.campaign + "/test", ["to": "+12025550199", "contact_id": .string(contact.description)]).status
                        == 202, "\(number)")
            }
            let path = "/api/messages?contact_id=\(contact)"
            var found: [JSONValue] = []
            var cursor: String? = ""
            while let next = cursor {
                let page = try site.get(path + "&limit=3" + (next.isEmpty ? "" : "&cursor=\(next)")).json
                found += page["items"]?.array ?? []
                cursor = page["pagination"]?["next_cursor"]?.string
            }
            #expect(found.count == 4 && found.allSatisfy { $0["contact_id"]?.string == contact.description })
            #expect(
                found.filter { $0["kind"] == "test" }.count == 3
                    && found.map { $0["created_at"]!.string! } == found.map { $0["created_at"]!.string! }.sorted(by: >))
            let all = try site.get("/api/messages?limit=200").json["items"]?.array ?? []
            #expect(all.count == 6 && all.first?["kind"] == "test")
            #expect(try site.get("/api/messages?contact_id=x").status == 422)
            #expect(try site.get(path, as: site.stranger).json["items"] == [])
        }
    }

    @Test func `a message says in words why it is where it is`() throws {
        try withMessagingSite(contacts: 2, consenting: 1) { site throws in
            try site.scene.freeze(site.owner)
            func words(_ contact: ContactID) throws -> String {
                let listed = try site.get("/api/messages?contact_id=\(contact)").json["items"]?.array?.first
                let one = try site.get("/api/messages/\(listed?["id"]?.string ?? "")").json
                #expect(listed?["explanation"] == one["explanation"])
                let ofCampaign = try site.get(site.campaign + "/messages").json["items"]?.array ?? []
                #expect(ofCampaign.contains { $0["id"] == one["id"] && $0["explanation"] == one["explanation"] })
                return one["explanation"]?.string ?? ""
            }
            #expect(try words(site.scene.contacts[0]) == "It waits for its turn.")
            #expect(try words(site.scene.contacts[1]) == "It was not sent: the contact has not agreed to messages on this channel.")
            try site.owner.execute(
                """
                UPDATE messages SET state = 'claimed', lease_token = uuid_v7(), lease_until = now() WHERE state = 'pending';
                UPDATE messages SET state = 'started', attempt = 1, started_at = now(), body = 'Hi', parts = 1 WHERE state = 'claimed';
                UPDATE messages SET state = 'failed', provider_status = 'rejected', provider_rank = 4, error_code = 21211, settled_at = now(),
                       lease_token = NULL, lease_until = NULL WHERE state = 'started'
                """)
            #expect(try words(site.scene.contacts[0]) == "The provider refused it. The number is not valid.")
        }
    }

    @Test func `every reason to skip and every state has words of its own`() throws {
        try withDatabase { db in
            let check: String = try db.value(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'skip_reason_is_known' AND conrelid = 'messages'::regclass"
            )
            let reasons = check.split(separator: "'").enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
            #expect(reasons.count >= 11)
            #expect(Set(reasons.map(MessageWords.skipped)).count == reasons.count)
            for reason in reasons { #expect(!MessageWords.skipped(reason).contains("`"), "\(reason)") }
            for state in MessageState.allCases {
                #expect(!MessageWords.explanation(of: ["state": .string(state.rawValue)]).contains("no words"), "\(state)")
            }
        }
    }
}
