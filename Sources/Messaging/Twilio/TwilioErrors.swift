// Twilio's error codes as data. Twilio warns that they may change, so an unknown one is soft and never retried.
// Source: Twilio's error dictionary, a page per code.

public struct TwilioError: Sendable {
    public let code: Int
    public let errorClass: ErrorClass
    /// In plain words, for whoever asks why a message did not arrive.
    public let meaning: String
    /// After so many of it from one address within so many days nothing more is sent there. `nil`: it says nothing of
    /// the address.
    public let hold: Hold?

    public struct Hold: Sendable, Hashable {
        public let times: Int
        public let days: Int
        static let atOnce = Hold(times: 1, days: 1)
    }

    public static func of(_ code: Int) -> TwilioError {
        byCode[code]
            ?? TwilioError(code: code, errorClass: .soft, meaning: "Twilio gave the code \(code), which is not in our table.", hold: nil)
    }

    public static func isKnown(_ code: Int) -> Bool { byCode[code] != nil }

    private static let byCode: [Int: TwilioError] = Dictionary(uniqueKeysWithValues: table.map { ($0.code, $0) })

    private static func row(_ code: Int, _ errorClass: ErrorClass, _ meaning: String, hold: Hold? = nil) -> TwilioError {
        TwilioError(code: code, errorClass: errorClass, meaning: meaning, hold: hold)
    }

    public static let table: [TwilioError] = [
        row(20003, .account, "The credentials are not accepted."),
        row(20404, .bug, "Twilio knows no such resource."),
        row(20429, .transient, "Too many requests at once; not processed."),
        row(21211, .hard, "The number is not valid.", hold: .atOnce),
        row(21408, .configuration, "The account may not send to this country."),
        row(21606, .configuration, "The sending number cannot send SMS."),
        row(21608, .configuration, "A trial account sends to verified numbers only."),
        row(21610, .optOut, "The recipient has opted out of this sender."),
        row(21611, .transient, "The sender's queue is full."),
        row(21612, .configuration, "The sending number cannot reach this number."),
        row(21614, .hard, "The number is not a mobile number.", hold: .atOnce),
        row(21617, .bug, "The text is longer than 1,600 characters."),
        row(21635, .hard, "The number is a landline, which this country's carriers refuse.", hold: .atOnce),
        row(30001, .transient, "The sender's queue is full."),
        row(30002, .account, "The account is suspended."),
        row(30003, .soft, "The handset was switched off, out of reach, or cannot take SMS.", hold: Hold(times: 3, days: 30)),
        row(30004, .blocked, "The carrier blocked the message for this recipient.", hold: Hold(times: 2, days: 30)),
        row(30005, .hard, "The number is unknown or no longer in use.", hold: Hold(times: 2, days: 14)),
        row(30006, .hard, "The number is a landline or its carrier cannot be reached.", hold: .atOnce),
        row(30007, .content, "A carrier or Twilio filtered the text."),
        row(30008, .soft, "The carrier gave no reason."),
        row(30032, .configuration, "The toll-free sending number is not verified."),
        row(30034, .configuration, "The sending number belongs to no registered A2P campaign."),
        row(30036, .expired, "The message waited too long at Twilio and was given up."),
        row(35114, .bug, "The time to send at is out of the window."),
        row(35115, .bug, "The time to send at is out of the window."),
        row(35118, .bug, "Sending at a time needs a messaging service."),
    ]
}
