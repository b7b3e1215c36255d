// Twilio's error codes as data. Twilio warns that they may change, so an unknown one is soft and never retried.
// Source: Twilio's error dictionary, a page per code.

public struct TwilioError: Sendable {
    public let code: Int
    public let errorClass: ErrorClass
    /// In plain words, for whoever asks why a message did not arrive.
    public let meaning: String

    public static func of(_ code: Int) -> TwilioError {
        byCode[code] ?? TwilioError(code: code, errorClass: .soft, meaning: "Twilio gave the code \(code), which is not in our table.")
    }

    private static let byCode: [Int: TwilioError] = Dictionary(uniqueKeysWithValues: table.map { ($0.code, $0) })

    private static func row(_ code: Int, _ errorClass: ErrorClass, _ meaning: String) -> TwilioError {
        TwilioError(code: code, errorClass: errorClass, meaning: meaning)
    }

    public static let table: [TwilioError] = [
        row(20003, .account, "The credentials are not accepted."),
        row(20404, .bug, "Twilio knows no such resource."),
        row(20429, .transient, "Too many requests at once; not processed."),
        row(21211, .hard, "The number is not valid."),
        row(21408, .configuration, "The account may not send to this country."),
        row(21606, .configuration, "The sending number cannot send SMS."),
        row(21608, .configuration, "A trial account sends to verified numbers only."),
        row(21610, .optOut, "The recipient has opted out of this sender."),
        row(21611, .transient, "The sender's queue is full."),
        row(21612, .configuration, "The sending number cannot reach this number."),
        row(21614, .hard, "The number is not a mobile number."),
        row(21617, .bug, "The text is longer than 1,600 characters."),
        row(21635, .hard, "The number is a landline, which this country's carriers refuse."),
        row(30001, .transient, "The sender's queue is full."),
        row(30002, .account, "The account is suspended."),
        row(30003, .soft, "The handset was switched off, out of reach, or cannot take SMS."),
        row(30004, .blocked, "The carrier blocked the message for this recipient."),
        row(30005, .hard, "The number is unknown or no longer in use."),
        row(30006, .hard, "The number is a landline or its carrier cannot be reached."),
        row(30007, .content, "A carrier or Twilio filtered the text."),
        row(30008, .soft, "The carrier gave no reason."),
        row(30032, .configuration, "The toll-free sending number is not verified."),
        row(30034, .configuration, "The sending number belongs to no registered A2P campaign."),
        row(35114, .bug, "The time to send at is out of the window."),
        row(35115, .bug, "The time to send at is out of the window."),
        row(35118, .bug, "Sending at a time needs a messaging service."),
    ]
}
