// What would happen if a campaign started now.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func preflightCampaign(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    return try call.read(timeoutSeconds: 60) { db in
        let campaign = try db.one(CampaignSQL.find, id)
        let readiness = try Readiness(campaign, db)
        var report: JSONObject = [
            "can_start": .bool(readiness.faults.list.isEmpty && campaign.status == .draft),
            "faults": json(readiness.faults),
        ]
        var warnings = readiness.warnings
        var recipients = 0
        let showsContacts = try call.may(.readAudience)
        // Of a segment that is not shared with whoever asks, nobody is shown to them.
        if let segment = campaign.segment, let state = readiness.segment, state.fault != "not_found" {
            if state.state != "ready" {
                warnings.add(
                    "/segment_id", "segment_\(state.state)", "The segment's members are not current; starting calculates them anew.")
            }
            report["segment"] = [
                "id": .string(segment.description), "state": .string(state.state),
                "calculated_at": JSONValue(state.calculatedAt?.description),
            ]
            _ = try db.one(CampaignSQL.planSetWise)
            let waterfall = Waterfall(try db.all(PreflightSQL.waterfall, id, segment, campaign.channel))
            recipients = waterfall.recipients
            report["waterfall"] = waterfall.json(showingContacts: showsContacts)
            if recipients == 0 { warnings.add("/segment_id", "no_recipients", "Nobody would get it.") }
            if !readiness.templates.isEmpty {
                let rewriter = try db.one(LinkSQL.tracks, id) ? LinkRewriter(publicURL: call.configuration.publicURL) : nil
                if rewriter?.canServe == false {
                    warnings.add(
                        "/track_links", "links_not_tracked", "Nobody outside reaches MUSTER_PUBLIC_URL; addresses stay as they are.")
                }
                let texts = try TextSurvey(
                    readiness.templates, rewriter, id, segment, campaign.channel, recipients: recipients, db)
                for (name, value) in texts.report(rate: readiness.sender?.rate, recipients: recipients) { report[name] = value }
                texts.warn(&warnings)
                let cost = try texts.costs.cost(.sms, scale: texts.scale(recipients), db)
                report["cost"] = cost?.json ?? .null
                report["budget"] = try Budget.report(id, cost, recipients: recipients, &warnings, db)
                report["monthly_limit"] = try MonthlyLimit.report(
                    .sms, parts: texts.total(recipients), recipients: recipients, &warnings, db)
            }
            if !readiness.emails.isEmpty {
                let mails = try MailSurvey(readiness.emails, id, segment, recipients: recipients, db)
                for (name, value) in mails.report(rate: readiness.sender?.rate, recipients: recipients) { report[name] = value }
                mails.warn(&warnings)
                let cost = try mails.costs.cost(.email, scale: mails.scale(recipients), db)
                report["cost"] = cost?.json ?? .null
                report["budget"] = try Budget.report(id, cost, recipients: recipients, &warnings, db)
                report["monthly_limit"] = try MonthlyLimit.report(.email, parts: recipients, recipients: recipients, &warnings, db)
            }
        }
        let seconds = report["estimated_seconds"]?.real ?? 0
        try Holdout.warn(of: id, sendingSeconds: seconds, &warnings, db)
        try Experiment.warn(of: id, sendingSeconds: seconds, &warnings, db)
        report["warnings"] = json(warnings)
        if !showsContacts, report["sample"] != nil { report["sample"] = [] }
        return .json(.object(report))
    }
}

private func json(_ faults: Faults) -> JSONValue {
    .array(
        faults.list.map {
            ["pointer": .string($0.pointer), "code": .string($0.code), "detail": .string($0.detail)]
        })
}

/// The texts of a campaign as they would really be: rendered for every recipient below 10,000, for a sample above.
private struct TextSurvey {
    static let exactBelow = 10_000
    private static let shown = 3

    private(set) var costs = CostSurvey()
    private var rendered = 0
    private var parts: [Int: Int] = [:]
    private var encodings: [MessageSize.Encoding: Int] = [:]
    private var outsiders: [Unicode.Scalar: Int] = [:]
    private var empty = 0
    private var tooLong = 0
    private var failed = 0
    private var sample: [JSONValue] = []
    private let isExact: Bool
    private let variables: [(variable: TemplateVariable, hasFallback: Bool)]

    init(
        _ templates: [TextTemplate], _ rewriter: LinkRewriter?, _ campaign: CampaignID, _ segment: SegmentID, _ channel: Channel,
        recipients: Int, _ db: Connection
    ) throws {
        isExact = recipients <= Self.exactBelow
        variables = templates.flatMap(\.variables)
        // A little more than 5,000 of 65,536ths, so that chance does not leave too few.
        let threshold = isExact ? 65_536 : max(1, 65_536 * 5000 / recipients + 1)
        try db.run(PreflightSQL.openRecipients, campaign, segment, channel, threshold)
        while case let page = try db.all(PreflightSQL.nextRecipients), !page.isEmpty {
            for recipient in page {
                let text = templates[recipient.text].text(for: recipient.contact)
                count(text.map { rewriter?.counted($0) ?? $0 }, of: recipient)
            }
        }
        try db.run(PreflightSQL.closeRecipients)
    }

    private mutating func count(_ text: String?, of recipient: Recipient) {
        rendered += 1
        guard let text else {
            failed += 1
            return
        }
        guard !text.isEmpty else {
            empty += 1
            return
        }
        guard text.unicodeScalars.count <= longestText else {
            tooLong += 1
            return
        }
        let size = MessageSize(text)
        parts[size.parts, default: 0] += 1
        costs.add(recipient.country, parts: size.parts)
        encodings[size.encoding, default: 0] += 1
        if size.encoding == .ucs2 { for scalar in GSM7.outsiders(in: text) { outsiders[scalar, default: 0] += 1 } }
        if sample.count < Self.shown {
            sample.append([
                "contact_id": .string(recipient.id.description), "text": .string(text),
                "encoding": .string(size.encoding.rawValue), "parts": .integer(Int64(size.parts)),
            ])
        }
    }

    /// How many recipients each text that was rendered stands for.
    func scale(_ recipients: Int) -> Double { isExact || rendered == 0 ? 1 : Double(recipients) / Double(rendered) }

    /// Parts of all; the sample stands for them.
    func total(_ recipients: Int) -> Int {
        Int((Double(parts.reduce(0) { $0 + $1.key * $1.value }) * scale(recipients)).rounded())
    }

    /// - Parameter rate: of the sender, in parts per second; without one there is no time to tell.
    func report(rate: Double?, recipients: Int) -> JSONObject {
        let total = total(recipients)
        var histogram = JSONObject()
        for (size, count) in parts.sorted(by: { $0.key < $1.key }) { histogram[String(size)] = .integer(Int64(count)) }
        let forced = outsiders.sorted { ($1.value, $0.key.value) < ($0.value, $1.key.value) }.prefix(50)
        return [
            "parts": [
                "exact": .bool(isExact), "rendered": .integer(Int64(rendered)), "histogram": .object(histogram),
                "total": .integer(Int64(total)),
            ],
            "encoding": [
                "gsm7": .integer(Int64(encodings[.gsm7] ?? 0)), "ucs2": .integer(Int64(encodings[.ucs2] ?? 0)),
                "forced_by": .array(
                    forced.map {
                        ["character": .string(String($0.key)), "code": .string(codePoint($0.key)), "messages": .integer(Int64($0.value))]
                    }),
            ],
            "texts": ["empty": .integer(Int64(empty)), "too_long": .integer(Int64(tooLong)), "failed": .integer(Int64(failed))],
            "variables": told(variables),
            "sample": .array(sample),
            "estimated_seconds": rate.map { .real((Double(total) / $0 * 10).rounded() / 10) } ?? .null,
        ]
    }

    func warn(_ warnings: inout Faults) {
        if empty > 0 { warnings.add("/body", "empty_text", "Nothing is left of the text for some contacts; they are skipped.") }
        if tooLong > 0 { warnings.add("/body", "text_too_long", "Some texts have more than \(longestText) characters; they are skipped.") }
        if failed > 0 { warnings.add("/body", "template_failed", "Some texts would be endless or too long; they are skipped.") }
        if encodings[.ucs2] ?? 0 > 0 {
            warnings.add("/body", "ucs2", "Characters outside GSM-7 make some messages shorter per part: 70 instead of 160.")
        }
    }

    private func codePoint(_ scalar: Unicode.Scalar) -> String {
        let hex = String(scalar.value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
    }
}

/// Variables as preflight tells them, each once: of those that stand in several texts, one without a default tells more.
func told(_ variables: [(variable: TemplateVariable, hasFallback: Bool)]) -> JSONValue {
    var names: [String: Bool] = [:]
    for entry in variables { names[entry.variable.description] = (names[entry.variable.description] ?? true) && entry.hasFallback }
    return .array(names.sorted { $0.key < $1.key }.map { ["name": .string($0.key), "has_default": .bool($0.value)] })
}

/// The longest body that Twilio takes (error 21617).
let longestText = 1600
