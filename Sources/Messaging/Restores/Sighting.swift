// Which of our messages that wait for a number a provider has taken already. Pure.
internal import Vocabulary

/// What a provider's messages to one number, since an instant before the restored one, say of ours that wait for that number.
/// Rather not sent than twice: what is not certain is in doubt.
struct Sighting {
    struct Waiting {
        let id: MessageID
        /// As it would be sent now; `nil` where it cannot be made.
        let text: String?
    }
    /// These were sent.
    private(set) var found: [(id: MessageID, as: TwilioMessage)] = []
    /// These may have been sent.
    private(set) var inDoubt: [MessageID] = []

    /// - Parameters:
    ///   - shown: what the provider has, without what is a message of ours by its sid.
    ///   - unknown: texts of ours to this number of which nobody knows whether they were taken: look-ups are for those.
    ///   - isOf: whether a message of the provider's has a text of ours.
    init(waiting: [Waiting], shown: [TwilioMessage], unknown: [String], isOf: (TwilioMessage, String) -> Bool) {
        if shown.isEmpty { return }
        var unseen: [MessageID] = waiting.filter { $0.text == nil }.map(\.id)
        var explained: Set<String> = []
        for text in Set(waiting.compactMap(\.text)).union(unknown) {
            let alike = shown.filter { isOf($0, text) }.sorted { $0.createdAt < $1.createdAt }
            explained.formUnion(alike.map(\.sid))
            let ours = waiting.filter { $0.text == text }.map(\.id)
            if alike.isEmpty {
                unseen += ours
            } else if alike.count >= ours.count + unknown.filter({ $0 == text }).count {
                found += zip(ours, alike).map { (id: $0, as: $1) }
            } else {
                inDoubt += ours
            }
        }
        // A text may have been another when it was sent.
        if shown.contains(where: { !explained.contains($0.sid) }) { inDoubt += unseen }
    }
}
