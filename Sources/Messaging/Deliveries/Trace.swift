// Whether one of the messages that a provider has is ours. Pure.
internal import Vocabulary

/// What a list of a provider's messages to one number says of a message of ours whose answer was lost. Nobody gets a
/// message twice, and nobody is told that one was not sent, by guessing: in doubt it stays unknown.
struct Trace {
    enum Finding {
        case found(TwilioMessage)
        /// The provider has something that may be it.
        case uncertain
        /// The provider has nothing that could be it.
        case none
    }
    let finding: Finding

    /// How far apart our start and the provider's time of creation may be: its clock, and a request that waited.
    static let nearSeconds = 300.0
    /// What came to the number within this time and is nobody's may be ours, changed on its way or by a clock.
    static let farSeconds = 86_400.0
    /// Twilio puts this before what trial accounts send.
    static let trialPrefix = "Sent from your Twilio trial account - "

    /// - Parameters:
    ///   - taken: sids that are other messages of ours.
    ///   - others: starts of other messages to this number of which nothing is known either.
    ///   - areOthersUnderWay: whether another message to this number waits for its answer this moment.
    init(
        _ message: SilentMessage, _ list: TwilioClient.List, taken: Set<String>, others: [Instant], areOthersUnderWay: Bool
    ) {
        func distance(_ told: TwilioMessage, _ start: Instant) -> Double { abs(told.createdAt.seconds(since: start)) }
        let free = list.messages.filter {
            $0.isOutbound && !taken.contains($0.sid) && distance($0, message.startedAt) <= Self.farSeconds
        }
        let candidates = free.filter { told in
            (told.body == message.body || told.body == Self.trialPrefix + message.body)
                && (message.from == nil || told.from == nil || told.from == message.from)
                && distance(told, message.startedAt) <= Self.nearSeconds
                // It is whose start is nearest.
                && others.allSatisfy { distance(told, $0) >= distance(told, message.startedAt) }
        }
        if let nearest = candidates.min(by: { distance($0, message.startedAt) < distance($1, message.startedAt) }) {
            finding = areOthersUnderWay ? .uncertain : .found(nearest)
        } else {
            let isComplete = list.isWhole || list.messages.contains { $0.createdAt < message.startedAt + -Self.farSeconds }
            finding = free.isEmpty && isComplete && list.areAllUnderstood ? .none : .uncertain
        }
    }
}
