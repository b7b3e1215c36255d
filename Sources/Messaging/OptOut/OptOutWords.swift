// The words of opt-outs, as data. English first, then the languages that our users' customers write most.

/// Expressions of several words, found by their first word.
struct Phrases: Sendable {
    /// The longest first.
    private let byFirstWord: [String: [[String]]]

    init(_ phrases: [String]) {
        byFirstWord = Dictionary(grouping: phrases.map { $0.split(separator: " ").map(String.init) }) { $0[0] }
            .mapValues { $0.sorted { $0.count > $1.count } }
    }

    /// How many words, from the first, are one of them.
    func length(atStartOf words: ArraySlice<String>) -> Int? {
        guard let first = words.first, let candidates = byFirstWord[first] else { return nil }
        return candidates.first { words.starts(with: $0) }?.count
    }

    func occur(in words: [String]) -> Bool { words.indices.contains { length(atStartOf: words[$0...]) != nil } }
}

enum OptOutWords {
    /// Around a request without changing it.
    static let courtesy: Set<String> = [
        "please", "pls", "plz", "plse", "thanks", "thank", "you", "thx", "ty", "hi", "hello", "hey", "ok", "okay", "now", "sir",
        "maam", "madam", "dear", "kindly", "just", "immediately", "asap", "already", "por", "favor", "gracias", "svp", "merci",
        "bitte", "danke", "obrigado", "obrigada", "grazie",
    ]

    /// Whole texts.
    static let stop: Set<String> = [
        // Twilio's own.
        "stop", "stopall", "stop all", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "opt out",
        "unsub", "unsubscribe me", "unsubscribed", "un subscribe", "remove", "remove me", "delete", "delete me", "no more", "enough",
        "stop it", "stop stop", "stop stop stop", "stop to end", "stop 2 end", "stop2end", "stop to stop", "stop to opt out",
        "stop to quit", "stop to cancel", "stop to unsubscribe", "reply stop", "text stop", "txt stop", "txtstop", "st0p", "5top",
        "sto", "stip", "stpo", "sotp", "atop", "opt me out", "opting out", "opted out", "leave", "leave me alone", "go away",
        "get lost", "fuck off", "f off", "piss off", "shut up", "off", "td",
        // Spanish
        "alto", "parar", "pare", "para", "paren", "baja", "dar de baja", "darme de baja", "cancelar", "salir", "detener", "basta",
        "no mas", "no más", "no mas mensajes", "no más mensajes", "eliminar", "desuscribir", "quitar",
        // French
        "arret", "arrêt", "arreter", "arrêter", "arretez", "arrêtez", "desabonner", "désabonner", "désabonnement", "me désabonner",
        "désinscrire", "désinscription", "desinscription", "annuler", "retirer",
        // German
        "stopp", "stoppen", "abmelden", "abmeldung", "abbestellen", "aufhören", "aufhoeren", "austragen", "ende", "keine sms mehr",
        "keine nachrichten mehr", "lass mich in ruhe",
        // Portuguese, Italian, Dutch, Scandinavian, Polish, Turkish
        "sair", "remover", "descadastrar", "cancella", "cancellami", "annulla", "rimuovi", "ferma", "disiscrivi", "fermare",
        "afmelden", "uitschrijven", "stopt", "sluta", "avsluta", "avregistrera", "slutt", "avmeld", "stopp nå", "afmeld", "lopeta",
        "wypisz", "rezygnuję", "rezygnuje", "koniec", "dur", "iptal", "iptal et",
        // Russian, Ukrainian, Vietnamese, Tagalog, Haitian, Indonesian
        "стоп", "отписка", "отписаться", "отпишите", "отпишите меня", "хватит", "отмена", "відписатися", "dừng", "huỷ", "hủy",
        "tigil", "itigil", "ihinto", "sispann", "rete", "berhenti",
        // Arabic, Hebrew, Hindi, Korean
        "إيقاف", "ايقاف", "توقف", "إلغاء", "الغاء", "הסר", "הסרה", "עצור", "रोकें", "बंद", "बंद करो", "수신거부", "수신 거부", "중지", "그만",
    ]

    static let start: Set<String> = [
        "start", "yes", "unstop", "un stop", "opt in", "optin", "opt me in", "opt me back in", "subscribe", "subscribe me",
        "resubscribe", "re subscribe", "resume", "start again", "start texting", "start texting me", "start all", "sign me up",
        "sign me up again", "join", "undo stop", "empezar", "comenzar", "iniciar", "commencer", "reprendre", "starten", "старт",
    ]

    /// Whole texts that answer a question, besides `start`.
    static let yes: Set<String> = [
        "y", "yes yes", "yes i do", "yes i agree", "yes confirm", "yep", "yeah", "confirm", "i confirm", "confirmed", "agree", "i agree",
        "si", "sí", "oui", "ja", "da", "sim", "tak", "да", "confirmar", "confirmo", "confirmer", "je confirme", "bestätigen",
        "ich bestätige", "evet",
    ]

    static let help: Set<String> = [
        "help", "info", "help me", "information", "aide", "ayuda", "hilfe", "ajuda", "aiuto", "hulp", "hjälp", "pomoc", "помощь",
        "帮助", "ヘルプ", "도움말",
    ]

    /// Anywhere in a sentence.
    static let stopPhrases = Phrases([
        "opt out", "optout", "opt me out", "unsubscribe", "unsub", "take me off", "remove me", "remove my number", "remove this number",
        "remove from list", "off your list", "off this list", "off the list", "stop texting", "stop txting", "stop sending",
        "stop messaging", "stop contacting", "stop calling", "stop these", "stop this", "stop all", "stop spamming", "stop bothering",
        "stop harassing", "stop with the", "stop your", "stop the texts", "stop the messages", "stop sms", "please stop", "pls stop",
        "plz stop", "want to stop", "want you to stop", "like you to stop", "you to stop", "need you to stop", "asked you to stop",
        "told you to stop", "said stop", "wish to stop", "want this to stop", "want these to stop", "make it stop",
        "do not text", "dont text", "do not txt", "dont txt", "do not contact", "dont contact", "do not message", "dont message",
        "do not send", "dont send", "do not ever text", "dont ever text", "never text me", "never contact me", "quit texting",
        "quit messaging", "quit sending", "quit contacting", "cease and desist", "no more texts", "no more text", "no more messages",
        "no more msgs", "no more sms", "no more of these", "no longer want", "no longer wish", "dont want these", "do not want these",
        "dont want to receive", "do not want to receive", "dont want any more", "do not want any more", "dont want your",
        "do not want your", "do not wish to receive", "dont wish to receive", "leave me alone", "revoke consent", "revoke my consent",
        "withdraw my consent", "withdraw consent", "i do not consent", "i dont consent", "delete my number", "lose my number",
        "end these messages", "end messages", "end texts", "cancel my subscription", "cancel subscription", "cancel these",
        "cancel texts", "cancel messages", "cancel alerts", "fuck off", "dame de baja", "darme de baja", "no quiero recibir",
        "no me envíen", "no me envien", "dejen de", "deja de", "ne plus recevoir", "ne souhaite plus", "désabonnez moi",
        "keine weiteren nachrichten", "keine sms mehr", "keine nachrichten mehr", "nicht mehr schreiben", "não quero receber",
        "non voglio ricevere", "не присылайте", "не пишите", "больше не",
    ])

    /// In scripts that write without spaces.
    static let unspaced: [String] = ["退订", "退訂", "取消订阅", "取消訂閱", "停止", "配信停止", "解除"]

    /// First word of a request, alone or with one of `followers`.
    static let stopVerbs: Set<String> = ["stop", "stopall", "quit", "revoke", "end", "cancel", "cease", "stopp"]
    static let followers: Set<String> = [
        "it", "all", "everything", "txt", "txts", "text", "texts", "texting", "msg", "msgs", "message", "messages", "messaging", "sms",
        "sending", "contacting", "spam", "spamming", "this", "that", "these", "them", "stop", "me", "receiving", "subscription",
        "promotions", "alerts", "notifications", "ads", "marketing", "i", "unsubscribe", "damn", "fucking", "forever", "with",
    ]

    /// In longer texts these ask for a reader; the weak ones only in short texts.
    static let strong: Set<String> = [
        "stop", "stopall", "unsubscribed", "unsubscribing", "quit", "revoke", "remove", "lawyer", "attorney", "lawsuit", "sue", "tcpa",
        "fcc", "harassment", "harassing", "spam", "spamming", "scam", "baja", "abmelden", "arrêt", "désabonner", "afmelden", "стоп",
    ]
    static let weak: Set<String> = ["cancel", "end", "delete", "enough", "leave", "reported", "blocked", "blocking", "cease", "parar"]
    static let doubtfulPhrases = Phrases([
        "wrong number", "wrong person", "not interested", "no longer interested", "do not call", "dont call", "dont want", "do not want",
        "too many texts", "too many messages", "who gave you", "how did you get my number", "número equivocado", "numero equivocado",
        "falsche nummer", "kein interesse", "no me interesa", "mauvais numéro",
    ])

    /// Behind a negation they ask for the opposite: "don't stop".
    static let negated: Set<String> = [
        "stop", "stopping", "unsubscribe", "unsub", "quit", "cancel", "end", "remove", "delete", "leave", "opt",
    ]

    /// Expressions that have nothing to do with us.
    static let harmless: Phrases = {
        var phrases = [
            "stop by", "stop in", "stop over", "stop at", "stop for", "stop sign", "stop light", "stop loss", "bus stop", "train stop",
            "next stop", "pit stop", "last stop", "first stop", "second stop", "one stop", "rest stop", "full stop", "the stop",
            "nothing can stop", "end of", "the end", "dead end", "back end", "front end", "high end", "low end", "year end", "week end",
            "to end", "in the end", "end up", "it end", "sale end", "leave it", "leave at", "quit smoking", "quit my job", "to leave",
            "spam folder", "spam filter",
        ]
        for verb in ["cancel", "delete", "end", "remove", "leave"] {
            for what in [
                "order", "appointment", "appt", "booking", "reservation", "meeting", "delivery", "pickup", "flight", "ticket",
                "tickets", "class", "lesson", "table", "visit", "session", "item", "trip", "tour", "payment", "review", "card", "party",
            ] {
                for which in ["", "my ", "our ", "the ", "an ", "a ", "that ", "this "] { phrases.append("\(verb) \(which)\(what)") }
            }
        }
        return Phrases(phrases)
    }()

    /// A keyword with letters repeated or with what a thumb adds: "STOOPPP", "unsuscribe".
    static func isMisspelled(_ word: String) -> Bool {
        misspellings.contains(word) || word.count <= 20 && collapsed(word) == "stop" && word.hasPrefix("s")
    }

    private static let misspellings: Set<String> = [
        "unsubcribe", "unsuscribe", "unsubsribe", "unsubscibe", "unsubscrib", "unsubscribr", "usubscribe", "unsubsrcibe", "unsubscride",
        "ubsubscribe", "stopm", "sstop", "stop1", "stopped", "stops", "stoppa", "cancle", "cancell", "cancal", "qiut", "wuit",
    ]

    private static func collapsed(_ word: String) -> String {
        var letters = ""
        for letter in word where letters.last != letter { letters.append(letter) }
        return letters
    }

    /// Lower-case words without punctuation; accents stay, apostrophes go ("don't" is "dont").
    static func split(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        for character in plain(text).lowercased() {
            if character.isLetter || character.isNumber {
                word.append(character)
            } else if character == "'" || character == "\u{2019}" || character == "`" {
                continue
            } else if !word.isEmpty {
                words.append(word)
                word = ""
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    /// Full-width letters become plain ones, what cannot be seen goes, and the stop sign is a word.
    private static func plain(_ text: String) -> String {
        var plain = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0xFF01...0xFF5E: plain.append(Unicode.Scalar(UInt8(scalar.value - 0xFEE0)))
            case 0x200B...0x200F, 0xFEFF, 0xAD, 0xFE0E, 0xFE0F: continue
            case 0x1F6D1, 0x26D4: plain.append(contentsOf: " stop ".unicodeScalars)
            default: plain.append(scalar)
            }
        }
        return String(plain)
    }
}
