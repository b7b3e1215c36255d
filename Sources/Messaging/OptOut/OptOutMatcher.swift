// What a person's reply asks for. Wider than the provider's own list: any reasonable wording counts (47 CFR
// 64.1200(a)(10)), and what only might be one is kept for a person to read.

public enum InboundIntent: String, Sendable {
    case stop, start, help
    /// Looks like an opt-out, surely or not: nothing more is sent until somebody has read it.
    case review
    case none
}

/// Reads the intent of a reply.
/// - Parameter providerType: Twilio's `OptOutType`, where Advanced Opt-Out is on; it knows the account's own keywords.
public func inboundIntent(of body: String, providerType: String? = nil) -> InboundIntent {
    switch providerType?.uppercased() {
    case "STOP": return .stop
    case "START": return .start
    case "HELP": return .help
    default: break
    }
    let words = normalizedWords(body)
    guard let first = words.first else { return .none }
    let text = words.joined(separator: " ")
    if stopTexts.contains(text) { return .stop }
    if startTexts.contains(text) { return .start }
    if helpTexts.contains(text) { return .help }
    let padded = " \(text) "
    if negations.contains(where: { padded.contains(" \($0) ") }) { return .none }
    if stopPhrases.contains(where: { padded.contains(" \($0) ") }) { return .stop }
    if stopStarters.contains(first), words.count == 1 || stopFollowers.contains(words[1]) { return .stop }
    if words.last.map(stopStarters.contains) == true, words.count <= 3 { return .stop }
    // A keyword somewhere in a short text: perhaps.
    if words.count <= 5, words.contains(where: { doubtful.contains($0) }) { return .review }
    return .none
}

/// Lower-case words without punctuation; accents stay, apostrophes go ("don't" is "dont").
private func normalizedWords(_ body: String) -> [String] {
    var words: [String] = []
    var word = ""
    for character in body.lowercased() {
        if character.isLetter || character.isNumber {
            word.append(character)
        } else if character == "'" || character == "\u{2019}" {
            continue
        } else if !word.isEmpty {
            words.append(word)
            word = ""
        }
    }
    if !word.isEmpty { words.append(word) }
    return words
}

/// Whole texts. English first, then the languages that our users' customers write most.
private let stopTexts: Set<String> = [
    "stop", "stopall", "stop all", "unsubscribe", "unsubscribe me", "unsub", "cancel", "end", "quit", "revoke", "optout",
    "opt out", "remove", "remove me", "no more", "leave me alone", "go away", "stopp", "stop stop", "stop stop stop",
    "arret", "arrêt", "arreter", "arrêter", "desabonner", "désabonner",
    "alto", "parar", "pare", "baja", "cancelar", "salir", "detener",
    "abmelden", "abbestellen", "aufhören",
    "sair", "remover", "cancella", "annulla", "rimuovi", "afmelden", "uitschrijven",
]
private let startTexts: Set<String> = ["start", "yes", "unstop", "opt in", "optin", "subscribe", "resubscribe", "resume"]
private let helpTexts: Set<String> = ["help", "info", "aide", "ayuda", "hilfe", "ajuda", "aiuto"]
private let stopPhrases: [String] = [
    "opt out", "optout", "opt me out", "unsubscribe", "unsubscribe me", "take me off", "remove me", "remove my number",
    "stop texting", "stop sending", "stop messaging", "stop contacting", "stop these", "stop this", "stop spamming",
    "stop bothering", "please stop", "do not text", "dont text", "do not contact", "dont contact", "do not message",
    "dont message", "do not send", "dont send", "no more texts", "no more messages", "no more text", "leave me alone",
    "revoke consent", "revoke my consent", "delete my number", "lose my number", "quit texting", "quit messaging",
    "quit sending", "end these messages", "cancel my subscription", "cancel subscription", "cancel these", "not interested stop",
]
private let stopStarters: Set<String> = ["stop", "stopall", "unsubscribe", "quit", "revoke", "optout"]
private let stopFollowers: Set<String> = [
    "please", "pls", "plz", "it", "now", "all", "everything", "txt", "text", "texts", "texting", "msg", "messages", "messaging",
    "sms", "sending", "contacting", "spam", "thanks", "thank", "sir", "asap", "immediately", "stop", "me", "already",
    "receiving", "subscription", "promotions", "alerts",
]
private let negations: [String] = ["dont stop", "do not stop", "never stop", "cant stop", "non stop", "nonstop", "wont stop"]
private let doubtful: Set<String> = ["stop", "unsubscribe", "cancel", "quit", "remove", "end", "revoke", "spam", "arrêt", "baja", "abmelden"]
