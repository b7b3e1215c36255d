// Why mail does not arrive, as enhanced status codes say it (RFC 3463).

/// The codes of the ledger for mail: `5.1.1` is 50101, a plain reply of SMTP or HTTP is itself.
struct EmailError {
    let code: Int
    let errorClass: ErrorClass
    /// In plain words, for whoever asks why a message did not arrive.
    let meaning: String

    /// So many mails that came back within so many days, for a reason that is the address's, are enough.
    static let softLimit = TwilioError.Hold(times: 3, days: 30)

    /// What counts towards that: the address or its mailbox (X.1.X, X.2.X), and a server that never answered (X.4.7). What we
    /// sent, how we are set up and what somebody's filter thinks of us says nothing about an address.
    static let heldCodes: [Int] = (40_000..<60_000).filter { code in
        switch (code % 10_000 / 100, code % 100) {
        case (2, 3): false
        case (1, _), (2, _): of(code).errorClass == .soft
        case (4, 7): true
        default: false
        }
    }

    // Of SendGrid, which keeps mail back and has no codes for why.
    /// They left before, or complained.
    static let leftBefore = 60_001
    /// The account has sent all that it may.
    static let quota = 60_002
    /// Kept back for another reason.
    static let keptBack = 60_003

    /// `5.1.1` as a number; `nil` for anything else.
    static func code(enhanced text: some StringProtocol) -> Int? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 3, let level = parts[0], let subject = parts[1], let detail = parts[2], level == 4 || level == 5,
            (0...99).contains(subject), (0...99).contains(detail)
        else { return nil }
        return level * 10_000 + subject * 100 + detail
    }

    static func of(_ code: Int) -> EmailError {
        let (errorClass, meaning) = judged(code)
        return EmailError(code: code, errorClass: errorClass, meaning: meaning)
    }

    private static func judged(_ code: Int) -> (ErrorClass, String) {
        let isFinal = code / 10_000 == 5
        switch code {
        case leftBefore: return (.optOut, "They had left before, as the provider knows.")
        case quota: return (.configuration, "The account at the provider has sent all that it may.")
        case keptBack: return (.bug, "The provider kept it back.")
        case 400, 404, 405, 415: return (.configuration, "The provider refused the request (\(code)): the sender may not be set up.")
        case 413: return (.bug, "The message is too large for the provider.")
        case 400...499 where !isSMTPReply(code): return (.bug, "The provider refused the request (\(code)).")
        case 521, 523: return (.hard, "The recipient's server takes no mail.")
        case 552: return (.soft, "The mailbox is full, or the message too large for it.")
        case 550...559: return (.soft, "The recipient's server refused the message (\(code)).")
        case 400...599: return (.soft, "The server gave the reply \(code).")
        case 40_000...59_999: break
        default: return (.soft, "The provider gave the code \(code), which is not in our table.")
        }
        switch (code / 100 % 100, code % 100) {
        case (1, 1), (1, 2), (1, 3), (1, 6), (1, 10):
            return (isFinal ? .hard : .soft, "There is no such mailbox.")
        case (1, 7), (1, 8): return (.configuration, "The address that it comes from is not accepted.")
        case (1, _): return (isFinal ? .hard : .soft, "The address is not accepted.")
        case (2, 1): return (isFinal ? .hard : .soft, "The mailbox is closed.")
        case (2, 2): return (.soft, "The mailbox is full.")
        case (2, 3), (3, 4): return (.soft, "The message is too large for the mailbox.")
        case (2, _): return (.soft, "The mailbox takes nothing now.")
        case (3, _): return (.soft, "The recipient's system takes nothing now.")
        case (4, 7): return (.expired, "It waited too long on its way and was given up.")
        case (4, _): return (.soft, "The recipient's server could not be reached.")
        case (5, _): return (.soft, "The servers did not understand each other.")
        case (6, _): return (.content, "Its content could not be taken.")
        case (7, _): return (.content, "It was refused for what it is or where it comes from.")
        default: return (.soft, "It came back without a reason.")
        }
    }

    /// Replies of SMTP that are no statuses of HTTP which we get.
    private static func isSMTPReply(_ code: Int) -> Bool { [421, 432, 450, 451, 452, 454, 455, 458, 459, 471].contains(code) }
}
