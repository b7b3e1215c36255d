// What a webhook can hear of. Triggers of migration 0086 write the events; here is what they mean.
internal import JSON

enum WebhookEventType {
    /// Sent by `POST /api/webhooks/{id}/test` alone, to that webhook; nobody chooses it.
    static let test = "webhook.test"

    /// Names as in migration 0086, with the members of `data`. Ids, states, codes and times; no addresses and no texts.
    static let all: [(name: String, summary: String)] = [
        ("campaign.started", "The audience is frozen and sending begins: campaign_id, channel, status, status_reason"),
        ("campaign.paused", "Somebody paused it, or status_reason says why it paused: as campaign.started"),
        ("campaign.resumed", "It goes on: as campaign.started"),
        ("campaign.finished", "Nothing is left to send: as campaign.started"),
        ("campaign.cancelled", "Nothing more will be sent: as campaign.started"),
        (
            "message.sent",
            "Handed to the provider: messages, up to 50, each with id, campaign_id, contact_id, channel, at and error_code (null)"
        ),
        ("message.delivered", "A receipt says that it arrived: as message.sent"),
        ("message.undelivered", "The carrier or the handset refused it: as message.sent, error_code is the provider's"),
        ("message.failed", "It never left the provider: as message.undelivered"),
        ("contact.created", "Contacts are new: contact_ids, up to 250"),
        ("contact.updated", "Fields of contacts changed: contact_ids, up to 250"),
        ("contact.deleted", "Contacts are gone: contact_ids, up to 250"),
        ("contact.replied", "Somebody wrote back: contact_id, inbound_message_id, campaign_id, intent"),
        ("consent.opted_in", "Contacts agreed to be written to: channel, source, contact_ids, up to 250"),
        ("consent.opted_out", "Contacts do not want to be written to: as consent.opted_in"),
        ("segment.entered", "Contacts came into a segment: segment_id, contact_ids, up to 250"),
        ("segment.exited", "Contacts left a segment: as segment.entered"),
        ("webhook.disabled", "Another webhook of the workspace was disabled by itself: webhook_id, reason (gone, failing)"),
    ]

    static let names: [String] = all.map(\.name)

    static var json: JSONValue {
        ["items": .array(all.map { ["type": .string($0.name), "description": .string($0.summary)] })]
    }
}
