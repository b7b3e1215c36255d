internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// What keeps a campaign from starting, and what its author should know. Cheap: it reads no contact.
struct Readiness {
    var faults = Faults()
    var warnings = Faults()
    /// Its own, then those of its experiment's variants.
    private(set) var templates: [TextTemplate] = []
    /// Of a campaign by e-mail, instead.
    private(set) var emails: [EmailTemplate] = []
    private var isMail = false
    private(set) var segment: SegmentState?
    private(set) var sender: SenderRow?

    /// - Parameters:
    ///   - start: when it is to start.
    ///   - end: when its time is to be over, where that is not its own `send_until`.
    init(_ campaign: Campaign, at start: Instant = .now(), until end: Instant? = nil, _ db: Connection) throws {
        let end = end ?? campaign.sendUntil
        isMail = campaign.channel == .email
        if isMail { try checkMail(campaign, db) } else { try checkText(campaign, db) }
        try checkExperiment(campaign, at: start, until: end, db)
        if let id = campaign.segment {
            segment = try db.first(CampaignSQL.segment, id)
            SegmentState.tell(segment == nil ? "not_found" : segment?.fault, in: &faults)
        } else {
            faults.add("/segment_id", "required", "A campaign needs a segment to go to.")
        }
        if let id = campaign.sender {
            sender = try db.first(SenderSQL.forSending, id)
            if let sender, sender.channel != campaign.channel {
                faults.add("/sender_id", "wrong_channel", "The sender is not one of this channel.")
            }
            if sender?.isActive == false {
                faults.add("/sender_id", "sender_suspended", "The sender is suspended; give it working credentials first.")
            }
        } else {
            faults.add("/sender_id", "required", "A campaign needs a sender to come from.")
        }
        if let end, end <= start { faults.add("/send_until", "out_of_range", "The campaign's time is over.") }
        try Budget.check(campaign, &faults, db)
    }

    private mutating func checkText(_ campaign: Campaign, _ db: Connection) throws {
        guard !campaign.body.isEmpty else { return faults.add("/body", "required", "A campaign needs a text.") }
        do {
            let template = try TextTemplate(campaign.body)
            templates = [template]
            try checkVariables(of: template, at: "/body", db)
        } catch let other as Faults {
            for fault in other.moved(to: "/body").list { faults.add(fault.pointer, fault.code, fault.detail) }
        }
    }

    private mutating func checkMail(_ campaign: Campaign, _ db: Connection) throws {
        let parts = try db.one(EmailSQL.parts, campaign.id)
        if parts.subject == nil { faults.add("/subject", "required", "A campaign by e-mail needs a subject.") }
        if parts.body.isEmpty { faults.add("/body", "required", "A campaign needs a text.") }
        if parts.postalAddress == nil {
            faults.add("", "postal_address_missing", "Every e-mail names a postal address: enter `postal_address` in the settings.")
        }
        do {
            let email = try EmailTemplate(parts)
            emails = [email]
            for (pointer, template) in email.all { try checkVariables(of: template, at: pointer, db) }
        } catch let other as Faults {
            for fault in other.list { faults.add(fault.pointer, fault.code, fault.detail) }
            return
        }
        if parts.html == nil { warnings.add("/html", "no_html", "It goes out as plain text only.") }
    }

    /// Each variant as the campaign's own text is; what it takes over from there is told there.
    private mutating func checkExperiment(_ campaign: Campaign, at start: Instant, until end: Instant?, _ db: Connection) throws {
        guard let plan = try db.first(ExperimentSQL.plan, campaign.id) else { return }
        plan.tell(&faults, at: start, until: end)
        for (place, variant) in try db.all(ExperimentSQL.texts, campaign.id).enumerated() {
            let pointer = "/experiment/variants/\(place)"
            do {
                let all: [(pointer: String, template: TextTemplate)]
                if isMail {
                    let email = try EmailTemplate(variant)
                    // Faults of the campaign's own keep it from starting already.
                    if !emails.isEmpty { emails.append(email) }
                    all = email.all
                } else {
                    let template = try TextTemplate(variant.body)
                    if !templates.isEmpty { templates.append(template) }
                    all = [("/body", template)]
                }
                for (member, template) in all where plan.says(member, at: place) {
                    try checkVariables(of: template, at: pointer + member, db)
                }
            } catch let other as Faults {
                for fault in (isMail ? other : other.moved(to: "/body")).list where plan.says(fault.pointer, at: place) {
                    faults.add(pointer + fault.pointer, fault.code, fault.detail)
                }
            }
        }
    }

    /// A misspelt variable would leave a hole in every message.
    private mutating func checkVariables(of template: TextTemplate, at pointer: String, _ db: Connection) throws {
        for (variable, hasFallback) in try Readiness.unknownVariables(template, db) {
            if isMail, EmailTemplate.ownVariables.contains(variable.attributeKey ?? "") { continue }
            if hasFallback {
                warnings.add(pointer, "unknown_variable", "No contact has a field `\(variable)`; the text does without it.")
            } else {
                faults.add(pointer, "unknown_variable", "No contact has a field `\(variable)`; give it a default or correct it.")
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
