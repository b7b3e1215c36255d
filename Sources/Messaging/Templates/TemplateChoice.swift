// A campaign whose text is taken from a template.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What a campaign's draft says of a template; what is absent stays.
struct TemplateChoice {
    private let template: TemplateID?
    private let clears: Bool

    static let members: [Member] = [
        .optional(
            "template_id", .nullable(.string(format: "uuid")),
            "Instead of body, subject and html: the template whose newest version gives them, once; what it becomes later changes nothing here. null: from none"
        )
    ]

    /// - Throws: a fault where both a template and texts of its own are given: nobody knows which is meant.
    init(_ body: JSONObject) throws {
        template = body.optionalID("template_id", as: TemplateID.self)
        clears = body["template_id"]?.isNull == true
        let given = ["body", "subject", "html"].filter { body[$0] != nil }
        if template != nil, !given.isEmpty {
            throw Fault(
                pointer: "/template_id", code: "not_expected",
                detail: "The template gives \(given.joined(separator: " and ")); leave one of both out.")
        }
    }

    /// Into a draft that was just written.
    /// - Returns: the draft with the template's texts; `written` where nothing is said.
    func store(in campaign: CampaignID, _ written: Stored, _ channel: Channel, _ db: Connection) throws -> Stored {
        if clears { return try db.one(TemplateChoiceSQL.clear, campaign) }
        guard let template else { return written }
        guard let stored = try db.first(TemplateSQL.find, template) else {
            throw Fault(pointer: "/template_id", code: "not_found", detail: "There is no such template here.")
        }
        guard stored.channel == channel else {
            throw Fault(pointer: "/template_id", code: "wrong_channel", detail: "The template is not one of this channel.")
        }
        return try db.one(TemplateChoiceSQL.take, campaign, template)
    }
}

enum TemplateChoiceSQL {
    /// Texts and version are of one row, whoever changes the template meanwhile.
    static let take = Statement<Stored, CampaignID, TemplateID>(
        """
        UPDATE campaigns AS c
           SET body = t.body, subject = t.subject, html = t.html, template_id = t.id, template_version = t.version
          FROM templates t
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
           AND t.workspace_id = current_workspace() AND t.id = $2
        RETURNING \(CampaignSQL.item), c.version
        """)

    static let clear = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c SET template_id = NULL, template_version = NULL
         WHERE c.workspace_id = current_workspace() AND c.id = $1 AND c.status = 'draft'
        RETURNING \(CampaignSQL.item), c.version
        """)
}
