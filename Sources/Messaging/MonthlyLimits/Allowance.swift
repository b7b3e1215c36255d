// A workspace's monthly limit in the hands of a sending thread.
internal import PostgreSQL
internal import Vocabulary

/// How many of some messages, in their order, a month still allows. What is taken of the month is locked until the transaction
/// ends, so two threads never take the same: it is committed together with the start of what took it.
struct Allowance {
    /// Of the first messages.
    let count: Int
    /// `nil`: all are allowed.
    let shortage: Shortage?
    private let channel: Channel
    private let month: String
    private let units: [MessageID: Int]

    /// The month does not suffice for a message of so many parts.
    struct Shortage {
        let month: String
        let parts: Int

        /// sending → paused, in a transaction of its own.
        func pause(_ campaign: CampaignID, _ db: Connection) throws {
            guard try Pause.campaign(campaign, MonthlyLimit.reason, db) else { return }
            try db.run(MonthlyLimitSQL.need, campaign, month, parts)
        }
    }

    init(on channel: Channel, for messages: ArraySlice<ReadyMessage>, _ db: Connection) throws {
        self.channel = channel
        let shares = try db.all(MonthlyLimitSQL.take, channel, messages.map(\.id), messages.map(\.createdAt), messages.map(\.parts))
        let allowed = shares.prefix { $0.fits }
        units = Dictionary(uniqueKeysWithValues: allowed.map { ($0.id, $0.units) })
        month = shares.first?.month ?? ""
        // No rows: the limit was taken away.
        count = shares.isEmpty ? messages.count : allowed.count
        shortage = shares.dropFirst(allowed.count).first.map { Shortage(month: $0.month, parts: $0.units) }
    }

    /// Takes what the started ones need; those that did not start need nothing.
    func spend(on started: [StartedMessage], _ db: Connection) throws {
        let taken = started.reduce(0) { $0 + ($1.state == "started" ? units[$1.id] ?? 0 : 0) }
        if taken > 0 { try db.run(MonthlyLimitSQL.spend, channel, month, taken) }
    }
}
