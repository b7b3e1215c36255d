// What a text is answered with at once. Twilio answers STOP itself, and START and HELP where it knows the words; what it
// cannot know is who we are, and other wordings than its own.
internal import PostgreSQL
internal import Vocabulary

/// Who answers, as the workspace's settings say.
struct ReplySettings: RowDecodable {
    /// `nil` where the workspace does not say how people know it: then nothing is answered in its name.
    let brand: String?
    let helpText: String?
    init(_ row: borrowing Row) throws(PostgresError) {
        brand = try row["brand"]
        helpText = try row["help_text"]
    }
    init(brand: String?, helpText: String?) {
        self.brand = brand
        self.helpText = helpText
    }

    static let read = Statement<ReplySettings>(
        """
        SELECT w.settings ->> 'brand' AS brand, w.settings ->> 'help_text' AS help_text FROM workspaces w WHERE w.id = current_workspace()
        """)

    /// - Parameters:
    ///   - hasReturned: whether the text ended an opt-out.
    ///   - hasConfirmed: whether the text confirmed consent that it was asked for: that is answered in any words (CTIA).
    ///   - isAnswered: whether Twilio said that its own keywords answer (`OptOutType`).
    /// - Returns: `nil` for no answer. HELP is answered also after a STOP: it is no marketing (CTIA).
    func reply(to intent: InboundIntent, _ body: String, hasReturned: Bool, hasConfirmed: Bool = false, isAnswered: Bool) -> String? {
        if isAnswered { return nil }
        if hasConfirmed {
            return brand.map { "\($0): you are subscribed. Msg & data rates may apply. Reply HELP for help, STOP to end." }
        }
        switch intent {
        case .help:
            guard let helpText else { return nil }
            return (brand.map { $0 + ": " } ?? "") + helpText
        case .start:
            guard hasReturned, let brand, !Self.answeredStarts.contains(body.filter { !$0.isWhitespace }.uppercased()) else { return nil }
            return "\(brand): you will get our texts again. Msg & data rates may apply. Reply HELP for help, STOP to end."
        case .stop, .review, .none: return nil
        }
    }

    /// Whole texts that Twilio answers by default.
    private static let answeredStarts: Set<String> = ["START", "YES", "UNSTOP"]
}

/// A TwiML document that answers with a text, or with none.
func twiML(_ text: String?) -> String {
    let message = text.map { "<Message>\(markupEscaped($0))</Message>" } ?? ""
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>\(message)</Response>"
}

/// Text as it stands in XML and HTML, between tags and in quoted attributes.
func markupEscaped(_ text: String) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
        switch character {
        case "&": escaped += "&amp;"
        case "<": escaped += "&lt;"
        case ">": escaped += "&gt;"
        case "\"": escaped += "&quot;"
        case "'": escaped += "&#39;"
        default: escaped.unicodeScalars.append(character)
        }
    }
    return escaped
}
