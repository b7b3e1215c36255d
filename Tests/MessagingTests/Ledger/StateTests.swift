import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

/// The drawings of docs/states.md, once more and independently.
@Suite struct StateTests {
    private static let campaignArrows: [CampaignStatus: Set<CampaignStatus>] = [
        .draft: [.scheduled, .freezing],
        .scheduled: [.draft, .freezing, .cancelled],
        .freezing: [.sending, .cancelled],
        .sending: [.paused, .finished, .cancelled],
        .paused: [.sending, .finished, .cancelled],
        .finished: [.sending], .cancelled: [],
    ]
    private static let messageArrows: [MessageState: Set<MessageState>] = [
        .pending: [.claimed, .started, .skipped],
        .claimed: [.started, .pending, .skipped],
        .started: [.sent, .delivered, .undelivered, .failed, .unknown, .pending],
        .unknown: [.sent, .delivered, .undelivered, .failed],
        .sent: [.delivered, .undelivered, .failed],
        // Those that have ended become pending only with their end on record (ByHandTests).
        .delivered: [], .undelivered: [], .failed: [], .skipped: [],
    ]

    /// Columns that each state wants, so that only the arrow can be what is refused.
    private static let campaignColumns: [CampaignStatus: String] = [
        .draft: "frozen_at = NULL, paused_at = NULL, finished_at = NULL, cancelled_at = NULL",
        .scheduled: "scheduled_at = now(), frozen_at = NULL, paused_at = NULL, finished_at = NULL, cancelled_at = NULL",
        .freezing: "start_requested_at = now(), frozen_at = NULL, paused_at = NULL, finished_at = NULL, cancelled_at = NULL",
        .sending: "frozen_at = now(), paused_at = NULL, finished_at = NULL, cancelled_at = NULL",
        .paused: "frozen_at = now(), paused_at = now(), finished_at = NULL, cancelled_at = NULL",
        .finished: "frozen_at = now(), paused_at = NULL, finished_at = now(), cancelled_at = NULL",
        .cancelled: "paused_at = NULL, finished_at = NULL, cancelled_at = now()",
    ]
    private static let nothing = """
        skip_reason = NULL, lease_token = NULL, lease_until = NULL, sid = NULL, sent_at = NULL, settled_at = NULL, unknown_reason = NULL
        """
    private static let started = "attempt = 1, started_at = now(), body = 'Hi', parts = 1"
    private static func messageColumns(_ state: MessageState) -> String {
        switch state {
        case .pending: nothing
        case .claimed: nothing.replacing("lease_token = NULL, lease_until = NULL", "lease_token = gen_random_uuid(), lease_until = now()")
        case .skipped:
            nothing.replacing("skip_reason = NULL", "skip_reason = 'no_consent'").replacing("settled_at = NULL", "settled_at = now()")
        case .started:
            nothing.replacing("lease_token = NULL, lease_until = NULL", "lease_token = gen_random_uuid(), lease_until = now()") + ", "
                + started
        case .unknown: nothing.replacing("unknown_reason = NULL", "unknown_reason = 'no_answer'") + ", " + started
        case .sent: nothing.replacing("sid = NULL, sent_at = NULL", "sid = 'SM1', sent_at = now()") + ", " + started
        case .delivered, .undelivered, .failed:
            nothing.replacing("sid = NULL, sent_at = NULL, settled_at = NULL", "sid = 'SM1', sent_at = now(), settled_at = now()") + ", "
                + started
        }
    }

    @Test func `a campaign takes every arrow of the drawing and no other`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            for from in CampaignStatus.allCases {
                for to in CampaignStatus.allCases where to != from {
                    try withoutTriggers(db) { db in
                        try set(db, "campaigns", "status", from.rawValue, Self.campaignColumns[from]!, scene.campaign.uuid)
                    }
                    let isTaken = try taken(db) { db in
                        try set(db, "campaigns", "status", to.rawValue, Self.campaignColumns[to]!, scene.campaign.uuid)
                    }
                    #expect(isTaken == Self.campaignArrows[from]!.contains(to), "\(from) → \(to)")
                }
            }
        }
    }

    @Test func `a message takes every arrow of the drawing and no other`() throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.freeze(db)
            let id: UUID = try db.value("SELECT id FROM messages WHERE campaign_id = $1", scene.campaign.sqlValue)
            for from in MessageState.allCases {
                for to in MessageState.allCases where to != from {
                    try withoutTriggers(db) { db in
                        try set(db, "messages", "state", from.rawValue, Self.messageColumns(from), id)
                    }
                    let isTaken = try taken(db) { db in
                        try set(db, "messages", "state", to.rawValue, Self.messageColumns(to), id)
                    }
                    #expect(isTaken == Self.messageArrows[from]!.contains(to), "\(from) → \(to)")
                }
            }
        }
    }

    @Test(arguments: [
        ("state = 'skipped', settled_at = now()", "skipped_message_has_reason"),
        ("state = 'claimed'", "leased_message_has_lease"),
        ("skip_reason = 'because'", "skip_reason_is_known"),
        ("to_address = NULL", "message_has_address"),
        ("sid = 'SM1'", "unsent_message_has_no_sid"),
        ("settled_at = now()", "settled_message_has_settled_at"),
        ("state = 'gone'", "state_is_known"),
    ])
    func `a state without what belongs to it is refused`(_ change: String, _ constraint: String) throws {
        try withDatabase { db in
            let scene = try Scene(db, contacts: 1)
            try scene.freeze(db)
            let refusal = #expect(throws: PostgresError.self) {
                try db.transaction { db in
                    try withoutTriggers(db) { db in
                        try db.runDynamic("UPDATE messages SET \(change) WHERE campaign_id = $1", [scene.campaign.sqlValue])
                    }
                }
            }
            #expect(refusal?.sqlState == .checkViolation)
            // Which of several broken facts is told first is PostgreSQL's choice.
            if change != "skip_reason = 'because'" && change != "state = 'gone'" { #expect(refusal?.constraint == constraint) }
        }
    }

    @Test func `only a draft can be deleted`() throws {
        try withDatabase { db in
            let scene = try Scene(db)
            try scene.freeze(db)
            try db.setWorkspace(scene.workspace)
            #expect(throws: PostgresError.self) {
                try db.transaction { db in try db.runDynamic("DELETE FROM campaigns WHERE id = $1", [scene.campaign.sqlValue]) }
            }
            #expect(try scene.status(db) == "sending")
        }
    }

    /// How a row gets into a state without a way to it. Only a superuser can.
    private func withoutTriggers<T>(_ db: Connection, _ work: (Connection) throws -> T) throws -> T {
        try db.acting(as: .superuser) { db in
            try db.execute("SET LOCAL session_replication_role = replica")
            let result = try work(db)
            try db.execute("SET LOCAL session_replication_role = origin")
            return result
        }
    }

    private func set(_ db: Connection, _ table: String, _ column: String, _ value: String, _ columns: String, _ id: UUID) throws {
        try db.runDynamic("UPDATE \(table) SET \(column) = $1, \(columns) WHERE id = $2", [value.sqlValue, id.sqlValue])
    }

    /// Whether it was done; undone either way.
    private func taken(_ db: Connection, _ work: (Connection) throws -> Void) throws -> Bool {
        struct Undo: Error {}
        do {
            try db.transaction { db in
                try work(db)
                throw Undo()
            }
        } catch is Undo {
            return true
        } catch let error as PostgresError where error.sqlState == .checkViolation {
            #expect(error.constraint?.hasSuffix("follows_its_states") == true, "\(error)")
            return false
        }
        return false
    }
}

extension String {
    fileprivate func replacing(_ part: String, _ other: String) -> String {
        guard let range = range(of: part) else { return self }
        return self[..<range.lowerBound] + other + self[range.upperBound...]
    }
    private func range(of part: String) -> Range<String.Index>? { firstRange(of: part) }
}
