import Messaging
import Testing

@Suite struct OptOutMatcherTests {
    @Test(arguments: [
        // Twilio's own keywords, whole body, any case.
        "STOP", "stop", "Stopall", "STOP ALL", "Unsubscribe", "CANCEL", "End", "quit", "REVOKE", "OPTOUT",
        // What Twilio's filter does not see.
        "stop please", "Please stop", "STOP!!!", "  stop.  ", "\"STOP\"", "opt out", "Opt-out", "opt me out please", "unsubscribe me",
        "S T O P", "S.T.O.P.", "ＳＴＯＰ", "st\u{200B}op", "Stooop", "STOPPPP", "🛑", "unsuscribe", "st0p", "Stop, thank you", "ok stop now",
        "Stop texting me", "stop sending me these messages", "STOP it", "stop all texts", "quit texting me!", "end messages",
        "I want you to stop", "I would like you to stop", "why don't you stop texting me", "take me off your list",
        "Remove me from this list", "please remove my number", "Don't text me again", "do not contact me", "no more texts please",
        "I no longer wish to receive messages", "I don\u{2019}t want to receive these", "leave me alone", "I revoke my consent",
        "How do I unsubscribe?", "lose my number", "cease and desist", "reply STOP", "Stop to end", "yes stop",
        "STOP\n\nSent from my iPhone", "Hi there\nstop",
        // Other languages.
        "arrêt", "ARRE\u{302}T", "Alto", "baja", "por favor dame de baja", "no más mensajes", "Stopp", "abmelden", "Bitte abmelden",
        "keine SMS mehr", "sair", "annulla", "afmelden", "wypisz", "стоп", "Отписаться", "退订", "请退订", "停止", "수신거부", "إيقاف", "berhenti",
    ])
    func `an opt-out in any reasonable wording is one`(text: String) {
        #expect(inboundIntent(of: text) == .stop)
    }

    @Test(arguments: [
        "Don't stop the music", "dont stop", "Never stop being awesome", "Can't stop loving these deals!", "non-stop fun",
        "I'll stop by tomorrow", "Can I stop in at 5?", "Is there a bus stop near the store?", "What's your cancellation policy?",
        "Can I cancel my order?", "cancel my appointment please", "When does the sale end?", "The end of the month works", "",
        "Thanks!", "no", "ok", "👍", "See you tomorrow", "yes that works for me", "I need help with my order", "Please don't unsubscribe me",
        "do not cancel", "Do you have this in blue?", "stopover in Denver", "Tuesday", "how much is it", "!!!",
        "Liked “Flash sale today only! Reply STOP to opt out”", "Reacted 😂 to \"Flash sale today only! Reply STOP to opt out\"",
    ])
    func `what only has the words is none`(text: String) {
        #expect(inboundIntent(of: text) == .none)
    }

    @Test(arguments: [
        "Wrong number", "not interested", "This is spam", "I'm calling my lawyer about this harassment", "did I ever sign up? stop",
        "it just does not stop does it", "I quit", "cancel everything tomorrow", "who gave you this number", "I don't want it",
    ])
    func `what may be an opt-out waits for a reader`(text: String) {
        #expect([.review, .stop].contains(inboundIntent(of: text)))
        #expect(inboundIntent(of: text) != .none)
    }

    @Test(arguments: [
        "START", "start", "Yes", "YES please", "unstop", "Un-stop", "opt in", "resubscribe", "Subscribe me", "please start again",
    ])
    func `a wish to be back is one`(text: String) { #expect(inboundIntent(of: text) == .start) }

    @Test(arguments: ["HELP", "help?", "Info", "ayuda", "Aide svp", "please help", "hilfe!"])
    func `a call for help is one`(text: String) { #expect(inboundIntent(of: text) == .help) }

    @Test func `the provider's own verdict comes first`() {
        #expect(inboundIntent(of: "BASTAPLS", providerType: "STOP") == .stop)
        #expect(inboundIntent(of: "VUELVE", providerType: "START") == .start)
        #expect(inboundIntent(of: "stop", providerType: "HELP") == .help)
        #expect(inboundIntent(of: "stop", providerType: "NEW") == .stop)
    }

    @Test func `a text of any bytes and length has an intent`() {
        for text in [
            String(repeating: "stop ", count: 400), String(repeating: "\u{301}", count: 1600), "\0", "\"", "“stop",
            String(repeating: "\"", count: 99),
        ] {
            _ = inboundIntent(of: text)
        }
        #expect(inboundIntent(of: String(repeating: "stop ", count: 300)) == .stop)
        #expect(inboundIntent(of: "“stop") == .stop)
    }
}
