// What a person's reply asks for. Wider than the provider's own list: any reasonable wording counts (47 CFR
// 64.1200(a)(10)), and what only might be one is kept for a person to read.

public enum InboundIntent: String, Sendable {
    case stop, start, help
    /// Perhaps an opt-out: treated as one until somebody has read it.
    case review
    case none
}

/// Reads the intent of a reply. Words alone decide: case, punctuation, courtesy and what is quoted from us do not.
/// - Parameter providerType: Twilio's `OptOutType`, where Advanced Opt-Out is on; it knows the account's own keywords.
public func inboundIntent(of body: String, providerType: String? = nil) -> InboundIntent {
    switch providerType?.uppercased() {
    case "STOP": return .stop
    case "START": return .start
    case "HELP": return .help
    default: break
    }
    let own = withoutQuotations(body)
    let intent = Reply(own).intent
    if intent == .stop || intent == .start || intent == .help { return intent }
    // A signature or a second thought below a keyword does not take it back.
    let lines = own.split(whereSeparator: \.isNewline)
    if lines.count > 1, lines.contains(where: { Reply(String($0)).isStop }) { return .stop }
    return intent
}

/// Whether a reply says yes to what it was asked: the words of a START, and those that mean nothing unless somebody asked.
func isYes(_ body: String, _ intent: InboundIntent) -> Bool {
    intent == .start || intent == .none && Reply(withoutQuotations(body)).isYes
}

/// The words of a reply, and the questions that decide.
private struct Reply {
    /// As written, but for case and punctuation.
    private let words: [String]
    /// Without courtesy at either end.
    private let core: [String]

    init(_ text: String) {
        let words = OptOutWords.split(text)
        // "S T O P", "S.T.O.P."
        self.words = words.count > 2 && words.allSatisfy { $0.count == 1 } ? [words.joined()] : words
        var core = self.words[...]
        while let first = core.first, OptOutWords.courtesy.contains(first) { core.removeFirst() }
        while let last = core.last, OptOutWords.courtesy.contains(last) { core.removeLast() }
        self.core = core.isEmpty ? self.words : Array(core)
    }

    var intent: InboundIntent {
        if words.isEmpty { return .none }
        if isStop { return .stop }
        let text = core.joined(separator: " ")
        if OptOutWords.start.contains(text) { return .start }
        if OptOutWords.help.contains(text) { return .help }
        let rest = withoutHarmless(core)
        if asksToStop(rest) { return .stop }
        return isDoubtful(rest) ? .review : .none
    }

    var isYes: Bool { OptOutWords.yes.contains(core.joined(separator: " ")) }

    /// The whole text is an opt-out.
    var isStop: Bool {
        let text = core.joined(separator: " ")
        return OptOutWords.stop.contains(text) || core.count == 1 && OptOutWords.isMisspelled(text)
    }

    /// A sentence that asks for it.
    private func asksToStop(_ words: [String]) -> Bool {
        guard let first = words.first, let last = words.last else { return false }
        if OptOutWords.stopPhrases.occur(in: words) { return true }
        if words.contains(where: { word in OptOutWords.unspaced.contains { word.contains($0) } }) { return true }
        if OptOutWords.stopVerbs.contains(first), words.count == 1 || OptOutWords.followers.contains(words[1]) { return true }
        return last == "stop" && words.count <= 3
    }

    private func isDoubtful(_ words: [String]) -> Bool {
        if OptOutWords.doubtfulPhrases.occur(in: words) { return true }
        return words.contains { OptOutWords.strong.contains($0) } && words.count <= 20
            || words.contains { OptOutWords.weak.contains($0) } && words.count <= 4
    }

    /// Leaves out what has the words but not the meaning: "don't stop", "bus stop", "cancel my order".
    private func withoutHarmless(_ words: [String]) -> [String] {
        var kept: [String] = []
        var index = 0
        while index < words.count {
            if index + 1 < words.count, OptOutWords.negated.contains(words[index + 1]), isNegation(words, index) {
                index += 2
            } else if let length = OptOutWords.harmless.length(atStartOf: words[index...]) {
                index += length
            } else {
                kept.append(words[index])
                index += 1
            }
        }
        return kept
    }

    /// "did not stop" is a complaint, "do not stop" is none.
    private func isNegation(_ words: [String], _ index: Int) -> Bool {
        if words[index] == "not" { return index == 0 || !["did", "does", "will", "would"].contains(words[index - 1]) }
        return ["dont", "never", "cant", "cannot", "non"].contains(words[index])
    }
}

/// Without longer quotations: phones send reactions as `Liked “Sale! Reply STOP to opt out”`.
private func withoutQuotations(_ body: String) -> String {
    var kept = ""
    var quoted: String?
    for character in body {
        switch (character, quoted) {
        case ("\u{201C}", nil), ("\"", nil): quoted = ""
        case ("\u{201D}", let text?), ("\"", let text?):
            if text.count <= 12 { kept += " \(text) " }
            quoted = nil
        case (_, let text?): quoted = text + String(character)
        default: kept.append(character)
        }
    }
    // A quotation that never ends is the person's own text.
    return kept + (quoted ?? "")
}
