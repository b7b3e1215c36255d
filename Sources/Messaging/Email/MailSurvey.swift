// What preflight says of a campaign by e-mail.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// The mails of a campaign as they would really be: written for every recipient below 10,000, for a sample above.
struct MailSurvey {
    private static let exactBelow = 10_000
    private static let shown = 3

    /// A mail costs alike wherever it goes, and is one part.
    private(set) var costs = CostSurvey()
    private var rendered = 0
    private var empty = 0
    private var tooLong = 0
    private var failed = 0
    private var largest = 0
    private var sample: [JSONValue] = []
    private let isExact: Bool
    private let variables: [(variable: TemplateVariable, hasFallback: Bool)]

    init(_ templates: [EmailTemplate], _ campaign: CampaignID, _ segment: SegmentID, recipients: Int, _ db: Connection) throws {
        isExact = recipients <= Self.exactBelow
        variables = templates.flatMap(\.all).flatMap { $0.template.variables }
        let threshold = isExact ? 65_536 : max(1, 65_536 * 5000 / recipients + 1)
        try db.run(PreflightSQL.openRecipients, campaign, segment, .email, threshold)
        while case let page = try db.all(PreflightSQL.nextRecipients), !page.isEmpty {
            for recipient in page {
                let mail = templates[recipient.text].render(recipient.contact, unsubscribeURL: "https://unsubscribe.example/")
                count(mail, of: recipient.id)
            }
        }
        try db.run(PreflightSQL.closeRecipients)
    }

    private mutating func count(_ mail: RenderedEmail, of contact: ContactID) {
        rendered += 1
        switch mail.refusal {
        case "empty_text": empty += 1
        case "template_failed": failed += 1
        case .some: tooLong += 1
        case nil:
            costs.add(nil, parts: 1)
            largest = max(largest, mail.text.utf8.count + (mail.html?.utf8.count ?? 0))
            if sample.count < Self.shown {
                sample.append([
                    "contact_id": .string(contact.description), "subject": .string(mail.subject), "text": .string(mail.text),
                    "html": JSONValue(mail.html),
                ])
            }
        }
    }

    /// How many recipients each mail that was written stands for.
    func scale(_ recipients: Int) -> Double { isExact || rendered == 0 ? 1 : Double(recipients) / Double(rendered) }

    /// - Parameter rate: of the sender, in messages per second; without one there is no time to tell.
    func report(rate: Double?, recipients: Int) -> JSONObject {
        return [
            "mails": ["exact": .bool(isExact), "rendered": JSONValue(rendered), "largest_bytes": JSONValue(largest)],
            "texts": ["empty": JSONValue(empty), "too_long": JSONValue(tooLong), "failed": JSONValue(failed)],
            "variables": told(variables),
            "sample": .array(sample),
            "estimated_seconds": rate.map { .real((Double(recipients) / $0 * 10).rounded() / 10) } ?? .null,
        ]
    }

    func warn(_ warnings: inout Faults) {
        if empty > 0 {
            warnings.add("/body", "empty_text", "Nothing is left of the subject or the text for some contacts; they are skipped.")
        }
        if failed > 0 {
            warnings.add("/body", "template_failed", "Some mails would be too long or take too long to write; they are skipped.")
        }
        if tooLong > 0 { warnings.add("/body", "text_too_long", "Some mails are larger than 200 kB; they are skipped.") }
    }
}
