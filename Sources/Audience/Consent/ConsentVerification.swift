// Whether the ledger of consent is still what was written into it. docs/consent.md tells how to check it without us.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary
internal import Web

private enum VerificationSQL {
    /// The contact so many chains further; none when the rest is taken at once.
    static let bound = Statement<ContactID, ContactID, Int>(
        """
        SELECT k.contact_id FROM consent_chains k
         WHERE k.workspace_id = current_workspace() AND k.contact_id >= $1 ORDER BY k.contact_id OFFSET $2 LIMIT 1
        """)
    static let faults = Statement<ConsentFault, ContactID, ContactID?>(
        """
        SELECT fault, contact_id, channel, sequence, event_id FROM consent_faults($1, $2) LIMIT 1
        """)
    static let anchorFaults = Statement<AnchorFault>("SELECT fault, sequence FROM anchor_faults() LIMIT 1")
    static let counts = Statement<JSONText>(
        """
        SELECT json_build_object(
            'state', 'ok', 'fault', NULL, 'chains', count(*), 'entries', coalesce(sum(k.length), 0),
            'anchored_until', (SELECT rfc3339(max(a.covers_until)) FROM consent_anchors a WHERE a.workspace_id = current_workspace()))
          FROM consent_chains k WHERE k.workspace_id = current_workspace()
        """)
    static let ofContact = Statement<JSONText, ContactID>(
        """
        SELECT json_build_object(
            'state', 'ok', 'fault', NULL, 'chains', count(*), 'entries', coalesce(sum(k.length), 0), 'anchored_until', NULL)
          FROM consent_chains k WHERE k.workspace_id = current_workspace() AND k.contact_id = $1
        """)
    static let anchor = Statement<[UInt8]>("SELECT anchor_consent(now() - interval '1 hour')")
    static let workspaces = Statement<WorkspaceID>("SELECT active_workspaces()")
}

/// The first entry that is not as it was recorded.
private struct ConsentFault: RowDecodable {
    let code: String
    let contact: ContactID
    let channel: String
    let sequence: Int
    let event: EventID
    init(_ row: borrowing Row) throws(PostgresError) {
        code = try row["fault"]
        contact = try row["contact_id"]
        channel = try row["channel"]
        sequence = try row["sequence"]
        event = try row["event_id"]
    }
    var json: JSONValue {
        [
            "code": .string(code), "contact_id": .string(contact.description), "channel": .string(channel),
            "sequence": JSONValue(sequence), "event_id": .string(event.description),
        ]
    }
}

private struct AnchorFault: RowDecodable {
    let code: String
    let sequence: Int
    init(_ row: borrowing Row) throws(PostgresError) {
        code = try row["fault"]
        sequence = try row["sequence"]
    }
    var json: JSONValue { ["code": .string(code), "anchor": JSONValue(sequence)] }
}

/// Some ten thousand chains a statement: none comes near its time-out.
private let chainsAtOnce = 10_000

/// What is wrong with the ledger of the transaction's workspace, chain by chain and then as a whole; `nil` when nothing.
private func ledgerFault(_ db: Connection) throws -> JSONValue? {
    var first = ContactID(UUID(high: 0, low: 0))
    while true {
        let last = try db.first(VerificationSQL.bound, first, chainsAtOnce)
        if let fault = try db.first(VerificationSQL.faults, first, last) { return fault.json }
        guard let last else { break }
        first = last
    }
    return try db.first(VerificationSQL.anchorFaults)?.json
}

func verifyConsent(_ call: Call) throws -> Response {
    let contact = call.query("contact_id").flatMap { ContactID($0) }
    return try call.read(timeoutSeconds: 50) { db in
        let fault =
            if let contact { try db.first(VerificationSQL.faults, contact, contact)?.json } else { try ledgerFault(db) }
        if let fault { return .json(["state": "broken", "fault": fault]) }
        if let contact { return .json(try db.one(VerificationSQL.ofContact, contact)) }
        return .json(try db.one(VerificationSQL.counts))
    }
}

public let consentChores: [Chore] = [
    // A root is noted only of a ledger that holds: the last good one stays the last, and the fault is found every night.
    Chore("anchor-consent", "Check that proof of consent is as it was recorded, and note its root") { db in
        var counts = (workspaces: 0, anchors: 0, broken: 0)
        for workspace in try db.all(VerificationSQL.workspaces) {
            try db.transaction(timeoutSeconds: 600) { db in
                try db.setWorkspace(workspace)
                counts.workspaces += 1
                if let fault = try ledgerFault(db) {
                    counts.broken += 1
                    Log.error("consent ledger broken", [("workspace", .string(workspace.description)), ("fault", .string(fault.text))])
                } else if let root = try db.first(VerificationSQL.anchor) {
                    counts.anchors += 1
                    Log.notice("consent anchored", [("workspace", .string(workspace.description)), ("root", .string(hexEncode(root)))])
                }
            }
        }
        return [("workspaces", counts.workspaces), ("anchors", counts.anchors), ("broken", counts.broken)]
    }
]
