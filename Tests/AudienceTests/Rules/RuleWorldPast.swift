// A random contact, put into the database with all that it did and was.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Vocabulary

private enum PastSQL {
    static let contact = Statement<
        Int, ContactID, Int, String, String?, String?, String?, String?, [String], JSONValue, Instant?, Instant
    >(
        """
        INSERT INTO contacts (workspace_id, id, ordinal, name, email, phone, status, timezone, tags, attributes, last_contacted_at, created_at)
        VALUES (current_workspace(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """)
    static let event = Statement<Int, UUID, ContactID, String, Instant, JSONValue>(
        """
        INSERT INTO events (workspace_id, id, contact_id, name, occurred_at, properties) VALUES (current_workspace(), $1, $2, $3, $4, $5)
        """)
    static let change = Statement<Int, ContactID, String, Instant, JSONValue?, JSONValue?>(
        """
        INSERT INTO contact_changes (workspace_id, contact_id, key, changed_at, before, after)
        VALUES (current_workspace(), $1, $2, $3, $4, $5)
        """)
    static let turn = Statement<Int, SegmentID, ContactID, String, Instant>(
        """
        INSERT INTO segment_changes (workspace_id, segment_id, contact_id, change, occurred_at)
        VALUES (current_workspace(), $1, $2, $3, $4)
        """)
    static let campaign = Statement<CampaignID, String>(
        """
        INSERT INTO campaigns (workspace_id, name, channel) VALUES (current_workspace(), $1, 'sms') RETURNING id
        """)
    static let message = Statement<Int, CampaignID, ContactID, String, Instant?, Instant?>(
        """
        INSERT INTO messages (workspace_id, campaign_id, contact_id, sender_id, channel, to_address, body, parts, state, attempt, due_at,
                              created_at, started_at, sid, sent_at, settled_at)
        VALUES (current_workspace(), $1, $2, uuid_v7(), 'sms', '+15550100', 'hi', 1, $3, 1, now(), now(), now(),
                CASE WHEN $4::timestamptz IS NOT NULL THEN 'SM' || uuid_v7() END, $4, $5)
        """)
    static let response = Statement<Int, CampaignID, String, ContactID, Instant>(
        """
        INSERT INTO campaign_responses (workspace_id, campaign_id, kind, contact_id, occurred_at)
        VALUES (current_workspace(), $1, $2, $3, $4)
        """)
    static let reply = Statement<Int, CampaignID, String, ContactID, Instant>(
        """
        INSERT INTO inbound_messages (workspace_id, sender_id, sid, from_address, to_address, body, intent, contact_id, campaign_id, received_at)
        VALUES (current_workspace(), uuid_v7(), 'SM' || uuid_v7(), '', '', '', $2, $3, $1, $4)
        """)
}

extension World {
    func campaign(_ name: String) throws -> CampaignID { try db.one(PastSQL.campaign, name) }

    func message(_ campaign: CampaignID, _ contact: ContactID, _ state: String, sent: Instant? = nil, settled: Instant? = nil) throws {
        try db.run(PastSQL.message, campaign, contact, state, sent, settled)
    }

    func response(_ campaign: CampaignID, _ kind: String, _ contact: ContactID, at time: Instant) throws {
        try db.run(PastSQL.response, campaign, kind, contact, time)
    }

    func reply(_ campaign: CampaignID, _ contact: ContactID, intent: String = "none", at time: Instant) throws {
        try db.run(PastSQL.reply, campaign, intent, contact, time)
    }

    /// A change of a field as the database would have noted it.
    func change(_ contact: ContactID, _ key: String, at time: Instant, _ before: JSONValue?, _ after: JSONValue?) throws {
        try db.run(PastSQL.change, contact, key, time, before, after)
    }

    /// Puts a contact as it is described under a name.
    func put(_ contact: NaiveContact, _ name: String, number: Int) throws {
        let id = ContactID(contact.id)!
        func column(_ key: String) -> String? { contact.columns[key]?.string }
        try db.run(
            PastSQL.contact, id, number, name, column("email"), column("phone"), column("status"), contact.zone,
            contact.columns["tags"]!.array!.compactMap(\.string), contact.attributes,
            column("last_contacted_at").flatMap { Instant(rfc3339: $0) }, contact.created)
        for event in contact.events { try db.run(PastSQL.event, UUID(event.id)!, id, event.name, event.at, event.properties) }
        for change in contact.changes { try self.change(id, change.key, at: change.at, change.before, change.after) }
        for (segment, stays) in contact.stays {
            let segment = SegmentID(segment)!
            for stay in stays {
                guard let end = stay.to else {
                    try db.run(WorldSQL.member, segment, id, stay.from)
                    continue
                }
                try db.run(PastSQL.turn, segment, id, "entered", stay.from)
                try db.run(PastSQL.turn, segment, id, "exited", end)
            }
        }
        for list in contact.lists { try db.run(WorldSQL.listMember, ListID(list)!, id) }
        for (channel, state) in contact.consents { _ = try db.one(WorldSQL.consent, id, Channel(rawValue: channel)!, state) }
        for message in contact.messages {
            try self.message(CampaignID(message.campaign)!, id, message.state, sent: message.sent, settled: message.settled)
        }
        for response in contact.responses { try self.response(CampaignID(response.campaign)!, response.kind, id, at: response.at) }
        for reply in contact.replies { try self.reply(CampaignID(reply.campaign)!, id, intent: reply.kind, at: reply.at) }
    }
}
