internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// What keeps a campaign from starting, and what its author should know. Cheap: it reads no contact.
struct Readiness {
    var faults = Faults()
    var warnings = Faults()
    private(set) var template: TextTemplate?
    private(set) var segment: SegmentState?
    private(set) var sender: SenderRow?

    init(_ campaign: Campaign, _ db: Connection) throws {
        try checkText(campaign, db)
        if let id = campaign.segment {
            segment = try db.first(CampaignSQL.segment, id)
            SegmentState.tell(segment == nil ? "not_found" : segment?.fault, in: &faults)
        } else {
            faults.add("/segment_id", "required", "A campaign needs a segment to go to.")
        }
        if let id = campaign.sender {
            sender = try db.first(SenderSQL.forSending, id)
            if sender?.isActive == false {
                faults.add("/sender_id", "sender_suspended", "The sender is suspended; give it working credentials first.")
            }
        } else {
            faults.add("/sender_id", "required", "A campaign needs a sender to come from.")
        }
        if let end = campaign.sendUntil, end <= .now() { faults.add("/send_until", "out_of_range", "The campaign's time is over.") }
    }

    private mutating func checkText(_ campaign: Campaign, _ db: Connection) throws {
        guard !campaign.body.isEmpty else { return faults.add("/body", "required", "A campaign needs a text.") }
        do {
            template = try TextTemplate(campaign.body)
        } catch {
            for fault in error.moved(to: "/body").list { faults.add(fault.pointer, fault.code, fault.detail) }
            return
        }
        // A misspelt variable would leave a hole in every message.
        for (variable, hasFallback) in try Readiness.unknownVariables(template!, db) {
            if hasFallback {
                warnings.add("/body", "unknown_variable", "No contact has a field `\(variable)`; the text does without it.")
            } else {
                faults.add("/body", "unknown_variable", "No contact has a field `\(variable)`; give it a default or correct it.")
            }
        }
    }

    /// Variables that are neither built in nor seen in any contact.
    static func unknownVariables(_ template: TextTemplate, _ db: Connection) throws -> [(variable: TemplateVariable, hasFallback: Bool)] {
        let attributes = template.variables.filter { $0.variable.attributeKey != nil }
        guard !attributes.isEmpty else { return [] }
        let known = Set(try db.all(known, attributes.map(\.variable.description)))
        return attributes.filter { !known.contains($0.variable.description) }
    }

    private static let known = Statement<String, [String]>(
        """
        SELECT key FROM fields WHERE workspace_id = current_workspace() AND key = ANY ($1)
        """)
}
