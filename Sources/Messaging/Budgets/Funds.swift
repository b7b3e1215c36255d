// A campaign's budget in the hands of a sending thread.
internal import PostgreSQL
internal import Vocabulary

/// How many of some messages, in their order, a budget still pays. The budget's row is locked until the transaction ends, so
/// two threads never spend the same money: what is spent is committed together with the start of what it was spent on.
struct Funds {
    /// Of the first messages; the next one costs too much, or nobody knows what.
    let count: Int
    /// `nil`: it suffices for all.
    let shortage: Shortage?
    private let campaign: CampaignID
    private let costs: [MessageID: Int]

    struct Shortage {
        /// What `campaigns.status_reason` says then.
        let reason: String
        /// Of the message that it does not suffice for; `nil` where its price is not known.
        let micros: Int?

        /// sending → paused. A transaction of its own: whoever changes a budget locks the campaign first.
        func pause(_ campaign: CampaignID, _ db: Connection) throws {
            guard try Pause.campaign(campaign, reason, db) else { return }
            try db.run(BudgetSQL.need, campaign, micros)
        }
    }

    init(of campaign: CampaignID, for messages: ArraySlice<ReadyMessage>, _ db: Connection) throws {
        self.campaign = campaign
        let prices = try db.all(BudgetSQL.price, campaign, messages.map(\.id), messages.map(\.createdAt), messages.map(\.parts))
        let paid = prices.prefix { $0.fits }
        costs = Dictionary(uniqueKeysWithValues: paid.map { ($0.id, $0.micros ?? 0) })
        // Without a row there is no budget: it was taken away.
        count = prices.isEmpty ? messages.count : paid.count
        shortage = prices.dropFirst(paid.count).first.map {
            Shortage(reason: $0.micros == nil ? "price_unknown" : "budget_spent", micros: $0.micros)
        }
    }

    /// Takes what the started ones cost; those that did not start cost nothing.
    func spend(on started: [StartedMessage], _ db: Connection) throws {
        let micros = started.reduce(0) { $0 + ($1.state == "started" ? costs[$1.id] ?? 0 : 0) }
        if micros > 0 { try db.run(BudgetSQL.spend, campaign, micros) }
    }
}
