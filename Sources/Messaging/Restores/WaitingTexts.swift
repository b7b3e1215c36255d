// The texts of messages that wait, to be compared with what a provider has.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

/// Texts as they would be sent now. Short links differ with every message, so only that there is one is compared.
struct WaitingTexts {
    private var texts: [MessageID: String] = [:]
    private let rewriter: LinkRewriter

    init(_ waiting: [WaitingMessage], _ workspace: WorkspaceID, _ configuration: Configuration, _ db: Connection) throws {
        rewriter = LinkRewriter(publicURL: configuration.publicURL)
        for (campaign, messages) in Dictionary(grouping: waiting, by: \.campaign) {
            guard let text = try db.first(LedgerSQL.campaign, campaign) else { continue }
            let variants = try text.hasExperiment ? db.all(ExperimentSQL.texts, campaign) : []
            var templates: [TextTemplate] = []
            do { templates = try ([text.body] + variants.map(\.body)).map { try TextTemplate($0) } } catch { continue }
            var writer = MessageWriter(workspace, configuration, tracksLinks: false)
            writer.write(try Assignment(of: messages.map(\.message), texts: templates.count, campaign, text, db), templates)
            for ready in writer.ready { texts[ready.id] = comparable(text.tracksLinks ? rewriter.counted(ready.text) : ready.text) }
        }
    }

    subscript(_ message: MessageID) -> String? { texts[message] }

    func isOf(_ told: TwilioMessage, _ text: String) -> Bool {
        let body = comparable(told.body)
        return body == text || body == Trace.trialPrefix + text
    }

    /// With the same key in each short link.
    func comparable(_ text: String) -> String {
        let start = Array(rewriter.shortURL("").utf8)
        let bytes = Array(text.utf8)
        var written: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let key = bytes[index...].dropFirst(start.count).prefix(LinkKey.length)
            if bytes[index...].starts(with: start), LinkKey.isPossible(String(decoding: key, as: UTF8.self)) {
                written += rewriter.shortURL(LinkKey.placeholder).utf8
                index += start.count + LinkKey.length
            } else {
                written.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: written, as: UTF8.self)
    }
}
