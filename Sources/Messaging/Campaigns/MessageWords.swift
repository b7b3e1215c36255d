// Why a message stands where it stands, for whoever is asked by a recipient or a colleague.
internal import JSON
internal import Vocabulary

enum MessageWords {
    /// One sentence for a message as `MessageSQL` gives it.
    static func explanation(of message: JSONValue) -> String {
        let attempt = message["attempt"]?.integer ?? 0
        return switch message["state"]?.string ?? "" {
        case "pending" where message["retried_by_hand"] == true: "Somebody had it tried again; it waits for its turn."
        case "pending" where attempt > 0: "It was not taken by the provider and will be tried again."
        case "pending" where isLater(message["due_at"]): "It waits for an hour at which it may be sent where the recipient is (`due_at`)."
        case "pending" where message["waits_for_winner"] == true: "It waits until the winner of the campaign's experiment is known."
        case "pending": "It waits for its turn."
        case "skipped": skipped(message["skip_reason"]?.string ?? "")
        case "claimed": "A worker has it in hand; it leaves within seconds."
        case "started": "It is on its way to the provider; the answer is not in yet."
        case "unknown": unknown(message["unknown_reason"]?.string ?? "")
        case "sent": "The provider has it and has not told how it ended."
        case "delivered" where message["provider_status"] == "read": "It was delivered, and read."
        case "delivered" where message["channel"] == "email": "The recipient's server took it."
        case "delivered": "It was delivered to the handset."
        case "undelivered": "It left the provider and did not arrive. " + code(message)
        case "failed" where message["provider_status"] == "not_found":
            "Its answer was lost, and an hour later the provider knew of no such message: it was never sent."
        case "failed" where message["provider_status"] == "declared_unsent":
            "Its answer was lost, and somebody who looked at the provider's log said that it was never sent."
        case "failed" where message["provider_status"] == "rejected": "The provider refused it. " + code(message)
        case "failed": "The provider took it and gave it up. " + code(message)
        default: "It is in a state that has no words yet."
        }
    }

    private static func isLater(_ time: JSONValue?) -> Bool { (time?.string.flatMap { Instant(rfc3339: $0) }).map { $0 > .now() } ?? false }

    static func skipped(_ reason: String) -> String {
        let why =
            switch reason {
            case "no_address": "the contact has no address on this channel."
            case "invalid_address": "the provider had said that the address does not exist."
            case "no_consent": "the contact has not agreed to messages on this channel."
            case "opted_out": "the contact has opted out."
            case "suppressed": "the address is suppressed."
            case "duplicate_address": "another recipient of the campaign has the same address."
            case "empty_text": "nothing was left of the text for this contact."
            case "text_too_long": "the text is too long for this contact."
            case "contact_deleted": "the contact was deleted."
            case "address_changed": "the contact's address changed after the audience was frozen."
            case "campaign_cancelled": "the campaign was cancelled before its turn."
            case "holdout": "the contact is held out, to tell what the campaign adds."
            case "over_cap": "the contact would have got more messages than the workspace allows in that time."
            case "over_budget": "the campaign's budget was used up."
            case "over_monthly_limit": "the workspace's limit for the month was reached."
            case "quiet_hours": "there was no time left at which it may be sent where the contact is."
            case "too_late": "its time had passed."
            case "request_ended": "the request for consent had ended before its turn."
            case "restored":
                "the server was restored to an earlier time, and it may have been sent after that."
            case "template_failed": "the text could not be made for this contact."
            default: "of `\(reason)`."
            }
        return "It was not sent: " + why
    }

    private static func unknown(_ reason: String) -> String {
        let why =
            switch reason {
            case "worker_lost": "the worker died between asking the provider and hearing from it."
            case "no_answer": "the connection broke before the provider answered."
            case "unreadable_answer": "the provider's answer could not be read."
            default: "the provider answered with an error that does not tell (\(reason))."
            }
        return "Whether it was sent is not known: \(why) A callback or a look-up at the provider will tell; it is not sent again."
    }

    private static func code(_ message: JSONValue) -> String {
        guard let code = message["error_code"]?.integer else { return "It gave no reason." }
        return message["channel"] == "email" ? EmailError.of(code).meaning : TwilioError.of(code).meaning
    }
}
