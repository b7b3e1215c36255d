// What a field was, and in which order things were done.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private func time(_ day: String) -> Instant { Instant(rfc3339: "\(day)T12:00:00Z")! }

private enum UpdateSQL {
    static let status = Statement<Int, ContactID, String?>(
        """
        UPDATE contacts SET status = $2 WHERE workspace_id = current_workspace() AND id = $1
        """)
}

@Suite struct RulePastTests {
    @Test func `a value counts for as long as it was held, from its first moment to the change that ended it`() throws {
        try withWorld { world throws in
            // New until 10 February, then Won until 20 February, then Lost.
            var contact = NaiveContact()
            contact.id = "00000000-0000-7000-8000-00000000000a"
            contact.created = time("2026-02-01")
            contact.columns = ["tags": [], "status": "Lost"]
            contact.changes = [
                .init(key: "status", at: time("2026-02-10"), before: "New", after: "Won"),
                .init(key: "status", at: time("2026-02-20"), before: "Won", after: "Lost"),
            ]
            try world.put(contact, "a", number: 1)
            func was(_ value: JSONValue, _ from: String, _ to: String) throws -> Bool {
                let window: JSONValue = ["between": [.string(from), .string(to)]]
                return try world.find(["field": "status", "was": value, "within": window]) == ["a"]
            }
            #expect(try was("new", "2026-02-01", "2026-02-05"), "it began with this value")
            #expect(try !was("new", "2026-01-01", "2026-01-31"), "before, there was no contact")
            #expect(try was("new", "2026-02-10", "2026-02-10"), "on the day of a change both were held")
            #expect(try was("won", "2026-02-10", "2026-02-10"))
            #expect(try was("won", "2026-02-12", "2026-02-13"), "nothing changed in the window")
            #expect(try !was("new", "2026-02-12", "2026-02-13") && !was("lost", "2026-02-12", "2026-02-13"))
            #expect(try was(["new", "lost"], "2026-02-01", "2026-02-02"), "any of several values")
            #expect(try was("lost", "2026-02-21", "2026-03-01"), "the present value, while the window lasted")
            #expect(try !was("lost", "2126-01-01", "2126-12-31"), "nothing has been in a window that lies ahead")
            #expect(try world.find(["field": "status", "was": "won", "within": ["until": "2026-02-09"]]) == [])
            #expect(try world.find(["field": "status", "was": "won", "within": ["since": "2026-02-15"]]) == ["a"])
            #expect(try world.find(["field": "status", "changed": ["between": ["2026-02-11", "2026-02-19"]]]) == [])
            #expect(try world.find(["field": "status", "changed": ["between": ["2026-02-11", "2026-02-20"]]]) == ["a"])
        }
    }

    @Test func `updates leave a history by themselves, and a text that stays the same leaves none`() throws {
        try withWorld { world throws in
            try world.field("address.city", .text)
            let moved = try world.contact("moved", ["address": ["city": "Oslo", "street": "A"]])
            let other = try world.contact("other", ["address": ["city": "Oslo", "street": "A"]])
            try world.db.run(WorldSQL.setAttributes, moved, #"{"address": {"city": "Rome", "street": "A"}}"#)
            try world.db.run(WorldSQL.setAttributes, other, #"{"address": {"city": "Oslo", "street": "B"}}"#)
            try world.db.run(UpdateSQL.status, other, "New")
            let now = Instant.now().description
            #expect(try world.find(["field": "attributes.address.city", "changed": ["last": "1d"]], now: now) == ["moved"])
            let oslo: JSONValue = ["field": "attributes.address.city", "was": "OSLO", "within": ["last": "1d"]]
            #expect(try world.find(oslo, now: now) == ["moved", "other"])
            #expect(try world.find(["field": "attributes.address.city", "was": "rome", "within": ["last": "1d"]], now: now) == ["moved"])
            #expect(try world.find(["field": "status", "changed": ["last": "1d"]], now: now) == ["other"])
        }
    }

    @Test func `a field without history, a history without a window and a reserved event are told`() throws {
        try withWorld { world throws in
            func faults(_ match: JSONValue) throws -> [String] { try world.faults(["match": match]) }
            for key in ["created_at", "updated_at", "last_contacted_at"] as [JSONValue] {
                #expect(try faults(["field": key, "changed": ["last": "1d"]]) == ["no_history /rule/match/field"])
            }
            #expect(try faults(["field": "status", "was": "New"]) == ["required /rule/match/within"])
            #expect(try faults(["field": "status", "was": ["New", 5], "within": ["last": "1d"]]) == ["wrong_type /rule/match/was/1"])
            #expect(try faults(["event": "order", "where": ["field": "x", "changed": ["last": "1d"]]]) == ["not_here /rule/match/where"])
            #expect(try faults(["event": "segment.entered"]) == ["reserved_event /rule/match/event"])
            #expect(
                try faults(["aggregate": "count", "event": "segment.x", "op": "is", "value": 1]) == ["reserved_event /rule/match/event"])
            #expect(
                try faults(["sequence": [["event": "a", "after": "1d"], ["event": "segment.exited"]]]) == [
                    "not_here /rule/match/sequence/0/after", "reserved_event /rule/match/sequence/1/event",
                ])
            #expect(try faults(["sequence": [["event": "a"]]]) == ["too_few /rule/match/sequence"])
            #expect(try faults(["campaign": "x", "did": "sent"]) == ["unknown_campaign /rule/match/campaign"])
            #expect(try faults(["campaign": "*", "did": "eaten"]) == ["not_one_of /rule/match/did"])
            #expect(try faults(["bucket": ["salt": "a", "from": 5, "to": 4]]) == ["reversed_range /rule/match/bucket/to"])
        }
    }

    // MARK: Sequences

    private func chain(_ steps: (String, String?)...) -> JSONValue {
        let steps = steps.map { name, after -> JSONValue in
            var step: JSONObject = ["event": .string(name)]
            step["after"] = after.map { .string($0) }
            return .object(step)
        }
        return ["sequence": .array(steps)]
    }

    @Test func `any chain will do, not only the one that begins with the first event`() throws {
        try withWorld { world throws in
            for name in ["late", "order", "again", "never"] { try world.contact(name) }
            // The first visit is too long before the order; the second is not.
            try world.event("late", "visit", at: "2026-05-01T00:00:00Z")
            try world.event("late", "visit", at: "2026-05-20T00:00:00Z")
            try world.event("late", "order", at: "2026-05-21T00:00:00Z")
            // The latest visit before the order is the wrong one for the step between them.
            try world.event("again", "visit", at: "2026-05-01T00:00:00Z")
            try world.event("again", "call", at: "2026-05-02T00:00:00Z")
            try world.event("again", "visit", at: "2026-05-03T00:00:00Z")
            try world.event("again", "order", at: "2026-05-04T00:00:00Z")
            try world.event("order", "order", at: "2026-05-01T00:00:00Z")
            try world.event("order", "visit", at: "2026-05-02T00:00:00Z")
            #expect(try world.find(chain(("visit", nil), ("order", "7d"))) == ["again", "late"])
            #expect(try world.find(chain(("visit", nil), ("order", "12h"))) == [])
            #expect(try world.find(chain(("visit", nil), ("call", "1d"), ("order", "2d"))) == ["again"])
            #expect(try world.find(chain(("order", nil), ("visit", "1d"))) == ["order"])
            #expect(try world.find(["not": chain(("visit", nil), ("order", nil))]) == ["never", "order"])
            var bounded = chain(("visit", nil), ("order", nil)).object!
            bounded["within"] = ["since": "2026-05-21"]
            #expect(try world.find(.object(bounded)) == [], "the window bounds every step")
        }
    }

    @Test func `one event is not two steps, and events of one instant stand in any order`() throws {
        try withWorld { world throws in
            for name in ["once", "twice", "same"] { try world.contact(name) }
            try world.event("once", "order", at: "2026-05-01T00:00:00Z")
            for _ in 0..<2 { try world.event("twice", "order", at: "2026-05-01T00:00:00Z") }
            for name in ["paid", "order"] { try world.event("same", name, at: "2026-05-01T00:00:00Z") }
            #expect(try world.find(chain(("order", nil), ("order", nil))) == ["twice"])
            #expect(try world.find(chain(("order", nil), ("order", "0s"))) == ["twice"])
            #expect(try world.find(chain(("order", nil), ("paid", "0s"))) == ["same"])
            #expect(try world.find(chain(("paid", nil), ("order", "0s"))) == ["same"])
        }
    }

    @Test func `a month later is a month of the calendar`() throws {
        try withWorld { world throws in
            try world.contact("a")
            try world.event("a", "trial", at: "2026-01-31T12:00:00Z")
            try world.event("a", "order", at: "2026-02-28T12:00:00Z")
            try world.event("a", "late", at: "2026-02-28T12:00:01Z")
            #expect(try world.find(chain(("trial", nil), ("order", "1mo"))) == ["a"])
            #expect(try world.find(chain(("trial", nil), ("late", "1mo"))) == [])
        }
    }

    // MARK: Campaigns

    @Test func `what was delivered was sent, what was never handed over was not, and what was held back did not fail`() throws {
        try withWorld { world throws in
            let (spring, summer) = (try world.campaign("spring"), try world.campaign("summer"))
            let at = time("2026-05-01")
            for (name, state, sent, settled) in [
                ("waiting", "pending", nil, nil), ("sent", "sent", at, nil), ("delivered", "delivered", at, at),
                ("refused", "failed", nil, at), ("lost", "undelivered", at, at),
            ] as [(String, String, Instant?, Instant?)] {
                try world.message(spring, try world.contact(name), state, sent: sent, settled: settled)
            }
            func did(_ deed: String, _ campaign: String, _ window: JSONValue? = nil) throws -> [String] {
                var leaf: JSONObject = ["campaign": .string(campaign), "did": .string(deed)]
                leaf["within"] = window
                return try world.find(.object(leaf))
            }
            for id in [spring.description, "*"] {
                #expect(try did("sent", id) == ["delivered", "lost", "sent"])
                #expect(try did("delivered", id) == ["delivered"])
                #expect(try did("failed", id) == ["lost", "refused"])
                #expect(try did("sent", id, ["since": "2026-05-02"]) == [])
            }
            #expect(try did("sent", summer.description) == [])
            #expect(try world.find(["not": ["campaign": "*", "did": "sent"]]) == ["refused", "waiting"])
        }
    }

    @Test func `every reply counts, and clicks are read from events too`() throws {
        try withWorld { world throws in
            let spring = try world.campaign("spring")
            let talker = try world.contact("talker")
            try world.contact("clicker")
            try world.contact("elsewhere")
            try world.response(spring, "replied", talker, at: time("2026-05-01"))
            for day in ["2026-05-01", "2026-05-20"] { try world.reply(spring, talker, at: time(day)) }
            try world.event("clicker", "message.clicked", at: "2026-05-01T00:00:00Z", ["campaign_id": .string(spring.description)])
            try world.event("elsewhere", "message.clicked", at: "2026-05-01T00:00:00Z", ["url": "x"])
            let late: JSONValue = ["campaign": .string(spring.description), "did": "replied", "within": ["since": "2026-05-10"]]
            #expect(try world.find(late) == ["talker"])
            #expect(try world.find(["campaign": "*", "did": "clicked"]) == ["clicker"])
            #expect(try world.find(["campaign": "*", "did": "opted_out"]) == [])
            try world.reply(spring, talker, intent: "stop", at: time("2026-05-21"))
            #expect(try world.find(["campaign": .string(spring.description), "did": "opted_out"]) == ["talker"])
        }
    }
}
