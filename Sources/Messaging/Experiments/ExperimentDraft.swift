// What a draft says of its experiment: the variants, who is in the test, and who chooses the winner.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// One way to say what a campaign says. An absent text is the campaign's own.
struct VariantDraft {
    let name: String
    let weight: Int
    let body: String?
    let email: EmailDraft

    /// - Parameter at: of the variant, where faults are told.
    init(_ object: JSONObject, at pointer: String) throws {
        name = normalized(object.string("name"))
        weight = object.integer("weight")
        do {
            body = try object.optionalString("body").map(checkedText)
            email = try EmailDraft(object)
        } catch let faults as Faults {
            throw faults.moved(to: pointer)
        }
    }
}

/// Who says which variant won.
enum WinnerBy: String, CaseIterable {
    case automatic, byHand = "by_hand", none
}

/// What variants are compared by, as a rate of the messages sent.
enum Measure: String, CaseIterable {
    case clicked, opened, replied, converted, delivered
}

struct ExperimentDraft {
    let variants: [VariantDraft]
    let test: BasisPoints
    let winnerBy: WinnerBy
    let measure: Measure?
    let decideAfter: Int?

    static let fewest = 2
    static let most = 5

    static let schema = Schema.object([
        .required("variants", .array(variant, min: fewest, max: most), "In their order; the first is the one that others have to beat"),
        .required(
            "test_percent", .number,
            "Share of the recipients among whom the variants are drawn at random, 0.01 to 100, in steps of 0.01; the others wait for the winner"
        ),
        .required(
            "winner", .string(oneOf: WinnerBy.allCases.map(\.rawValue)),
            "Chosen by measure when the time has come, by a person, or never; never needs a test_percent of 100"),
        .optional(
            "measure", .nullable(.string(oneOf: Measure.allCases.map(\.rawValue))),
            "What variants are compared by, of the messages sent; automatic needs it"),
        .optional(
            "decide_after_seconds", .nullable(.integer(300...2_592_000)), "With automatic: how long after the first message of the test"),
    ])
    private static let variant = Schema.object([
        .required("name", .string(min: 1, max: 100), "Unlike the others'"),
        .required("weight", .integer(1...1000), "Its share of the test, beside the other weights"),
        .optional("body", .string(min: 1, max: 200_000), "Its text; the campaign's when absent"),
        .optional("subject", .string(min: 1, max: 500), "E-mail only; the campaign's when absent"),
        .optional("preheader", .string(min: 1, max: 500), "E-mail only; the campaign's when absent"),
        .optional("html", .string(min: 1, max: 200_000), "E-mail only; the campaign's when absent"),
    ])

    /// - Throws: the faults of single members.
    init(_ object: JSONObject) throws {
        variants = try (object["variants"]?.array ?? []).enumerated().map { place, variant in
            try VariantDraft(variant.object ?? [:], at: "/experiment/variants/\(place)")
        }
        guard let percent = object["test_percent"]?.real.flatMap(BasisPoints.init(percent:)), percent.value > 0 else {
            throw Fault(pointer: "/experiment/test_percent", code: "out_of_range", detail: "From 0.01 to 100, in steps of 0.01.")
        }
        test = percent
        winnerBy = WinnerBy(rawValue: object.string("winner"))!
        measure = object.optionalString("measure").flatMap(Measure.init(rawValue:))
        decideAfter = object.optionalInteger("decide_after_seconds")
    }

    /// - Throws: the faults of members that do not go together, or not with the campaign's channel.
    func check(_ channel: Channel) throws {
        var faults = Faults()
        for (place, variant) in variants.enumerated() {
            do { try variant.email.check(channel, body: variant.body) } catch let other as Faults {
                for fault in other.moved(to: "/experiment/variants/\(place)").list { faults.add(fault.pointer, fault.code, fault.detail) }
            }
            if variants[..<place].contains(where: { $0.name == variant.name }) {
                faults.add("/experiment/variants/\(place)/name", "repeated", "Another variant has this name.")
            }
        }
        if winnerBy == .none, test.value < 10_000 {
            faults.add("/experiment/test_percent", "out_of_range", "Without a winner nobody can wait for it: 100.")
        }
        if winnerBy == .automatic {
            if measure == nil { faults.add("/experiment/measure", "required", "A winner needs a measure.") }
            if decideAfter == nil { faults.add("/experiment/decide_after_seconds", "required", "When is the winner chosen?") }
        } else if decideAfter != nil {
            faults.add("/experiment/decide_after_seconds", "not_expected", "Only an automatic winner has a time.")
        }
        if measure == .opened, channel == .sms {
            faults.add("/experiment/measure", "email_only", "Nobody can tell whether a text message was opened.")
        }
        try faults.check()
    }
}

/// What a body says of the experiment; what is absent stays.
struct ExperimentChange {
    private let draft: ExperimentDraft?
    private let clears: Bool

    static let members: [Member] = [
        .optional("experiment", .nullable(ExperimentDraft.schema), "Variants to be compared, instead of those before; null: none")
    ]

    init(_ body: JSONObject) throws {
        draft = try body["experiment"]?.object.map { try ExperimentDraft($0) }
        clears = body["experiment"]?.isNull == true
    }

    /// In the transaction that wrote the draft.
    /// - Returns: the campaign as it then is; `stored` where nothing is said.
    func store(in id: CampaignID, _ stored: Stored, _ channel: Channel, _ db: Connection) throws -> Stored {
        guard draft != nil || clears else { return stored }
        try draft?.check(channel)
        try db.run(ExperimentSQL.clear, id)
        if let draft {
            try db.run(
                ExperimentSQL.set, id, draft.test.value, draft.winnerBy.rawValue, draft.measure?.rawValue, draft.decideAfter)
            let variants = draft.variants
            try db.run(
                ExperimentSQL.addVariants, id, variants.map(\.name), variants.map(\.weight), variants.map(\.body),
                variants.map(\.email.subject), variants.map(\.email.preheader), variants.map(\.email.html))
        }
        return try db.one(CampaignSQL.read, id)
    }
}
