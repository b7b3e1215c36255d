// What a campaign by e-mail has besides its text.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Members of a campaign's draft that only mail has. What is absent stays as it is.
struct EmailDraft {
    let subject: String?
    let preheader: String?
    let html: String?
    /// Takes the HTML, or the preheader, away.
    let clearsPreheader: Bool
    let clearsHTML: Bool

    static let members: [Member] = [
        .optional(
            "subject",
            .described(.string(min: 1, max: 500), "May have variables", example: "{{ first_name | default: \"Hello\" }}, we moved"),
            "E-mail only: the subject, required before it starts"),
        .optional("preheader", .nullable(.string(min: 1, max: 500)), "E-mail only: what mailboxes show beside the subject"),
        .optional("html", .nullable(.string(min: 1, max: 200_000)), "E-mail only: the same as HTML; `body` is the plain text"),
    ]

    /// - Throws: the faults of each template, at its member.
    init(_ body: JSONObject) throws {
        subject = try body.optionalString("subject").map { try checkedTemplate($0, at: "/subject") }
        preheader = try body.optionalString("preheader").map { try checkedTemplate($0, at: "/preheader") }
        html = try body.optionalString("html").map { try checkedTemplate($0, at: "/html", .html) }
        clearsPreheader = body["preheader"]?.isNull == true
        clearsHTML = body["html"]?.isNull == true
    }

    private var isEmpty: Bool { subject == nil && preheader == nil && html == nil && !clearsPreheader && !clearsHTML }

    /// - Throws: a fault where a text message is given what only mail has, or is longer than one may be.
    func check(_ channel: Channel, body: String?) throws {
        var faults = Faults()
        if channel == .sms {
            for (name, value) in [("subject", subject), ("preheader", preheader), ("html", html)] where value != nil {
                faults.add("/\(name)", "email_only", "Only e-mail has this.")
            }
            if let length = body?.unicodeScalars.count, length > longestText {
                faults.add("/body", "too_long", "At most \(longestText) characters; it has \(length).")
            }
        }
        try faults.check()
    }

    /// Into a draft that was just written.
    /// - Parameter written: the draft as it was given back.
    /// - Returns: the draft with this.
    func store(in campaign: CampaignID, _ written: Stored, _ db: Connection) throws -> Stored {
        if isEmpty { return written }
        return try db.one(EmailSQL.setParts, campaign, subject, clearsPreheader, preheader, clearsHTML, html)
    }
}

/// A template in NFC that parses. HTML is kept as it came: an entity or a tag is not for us to compose.
func checkedTemplate(_ text: String, at pointer: String, _ markup: Markup = .plain) throws -> String {
    let text = markup == .plain ? normalized(text) : text
    do {
        _ = try TextTemplate(text, markup: markup)
    } catch {
        throw error.moved(to: pointer)
    }
    return text
}
