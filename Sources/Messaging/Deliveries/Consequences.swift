// What a delivery that failed says beyond its own message: of the address, of the campaign, of the sender.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

enum Consequences {
    /// Refusals for the sender's set-up after which its campaign pauses: every further message would fail alike.
    static let misconfiguredLimit = 10

    /// In the transaction of the receipts, and in the order of the addresses, so that two of these never wait for each
    /// other in a circle. Doing it twice changes nothing.
    static func draw(from failure: SettledReceipt.Failure, _ db: Connection) throws {
        if failure.channel == .email { return try drawMail(from: failure, db) }
        let error = TwilioError.of(failure.code)
        switch error.errorClass {
        case .optOut: _ = try db.one(DeliverySQL.optOut, failure.channel, failure.address, failure.code)
        case .hard, .soft, .blocked: try hold(failure, error, db)
        // How much of a campaign is filtered is for its stop rules.
        case .content: break
        case .configuration:
            let share = try db.one(DeliverySQL.failureShare, failure.campaign, codes(.configuration), failure.startedAt)
            if share.failed >= misconfiguredLimit { try Pause.campaign(failure.campaign, "sender_misconfigured", db) }
        case .account:
            guard try db.run(DeliverySQL.suspendSender, failure.sender, "account_suspended", failure.startedAt) > 0 else { return }
            try Pause.campaigns(ofSuspended: failure.sender, db)
            Log.error("sender suspended", [("sender", .string(failure.sender.description)), ("reason", .string("account_suspended"))])
        case .transient, .expired, .bug:
            Log.warning("delivery failed", [("code", .integer(failure.code)), ("campaign", .string(failure.campaign.description))])
        }
    }

    /// No more messages to an address that has failed so often that it will fail again.
    private static func hold(_ failure: SettledReceipt.Failure, _ error: TwilioError, _ db: Connection) throws {
        guard let hold = error.hold else { return }
        if hold.times > 1 {
            guard try db.one(DeliverySQL.failures, failure.address, failure.code, hold.days) >= hold.times else { return }
        }
        _ = try db.one(LedgerSQL.suppress, failure.channel, failure.address, error.errorClass == .hard ? "invalid" : "bounce")
    }

    /// Whoever does not exist was suppressed when the provider told; what comes back for other reasons is counted. How much
    /// is refused for its content is for the stop rules.
    private static func drawMail(from failure: SettledReceipt.Failure, _ db: Connection) throws {
        try holdMail(to: failure.address, failure.code, db)
    }

    /// No more mail to an address from which it came back so often, when this time it was for the address.
    static func holdMail(to address: String, _ code: Int, _ db: Connection) throws {
        guard EmailError.heldCodes.contains(code),
            try db.one(EmailSQL.failures, address, EmailError.softLimit.days, EmailError.heldCodes) >= EmailError.softLimit.times
        else { return }
        _ = try db.one(LedgerSQL.suppress, .email, address, "bounce")
    }

    private static func codes(_ errorClass: ErrorClass) -> [String] {
        TwilioError.table.filter { $0.errorClass == errorClass }.map { String($0.code) }
    }
}
