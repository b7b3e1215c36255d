import TestSupport
import Testing

@testable import Messaging

@Suite struct ReplyTests {
    private let settings = ReplySettings(brand: "Ada & Sons", helpText: "Call +1 202 555 0100.")

    private func reply(_ text: String, hasReturned: Bool = false, isAnswered: Bool = false, _ settings: ReplySettings? = nil) -> String? {
        (settings ?? self.settings).reply(to: inboundIntent(of: text), text, hasReturned: hasReturned, isAnswered: isAnswered)
    }

    @Test(arguments: ["HELP", "info", "Ayuda", "hilfe!", "aide", "помощь", "ヘルプ"])
    func `HELP is answered with the brand and how to reach it, in many languages`(text: String) {
        #expect(reply(text) == "Ada & Sons: Call +1 202 555 0100.")
        #expect(reply(text, isAnswered: true) == nil)
        #expect(reply(text, ReplySettings(brand: "Ada", helpText: nil)) == nil)
    }

    @Test func `STOP is never answered by us, and START only where Twilio does not and it brought somebody back`() {
        for text in ["STOP", "arrêt", "not interested", "hello"] { #expect(reply(text, hasReturned: true) == nil) }
        for text in ["START", "yes ", "Unstop"] { #expect(reply(text, hasReturned: true) == nil) }
        #expect(reply("opt me back in", hasReturned: true)?.hasPrefix("Ada & Sons: you will get our texts again.") == true)
        #expect(reply("opt me back in", hasReturned: false) == nil)
        #expect(reply("opt me back in", hasReturned: true, ReplySettings(brand: nil, helpText: "x")) == nil)
    }

    @Test func `an answer is escaped, and none is an empty one`() {
        #expect(twiML(nil) == "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>")
        #expect(twiML("<A> & \"B\"").contains("<Message>&lt;A&gt; &amp; &quot;B&quot;</Message>"))
    }

    @Test func `a HELP gets its answer over HTTP, also after a STOP and when the provider asks again`() throws {
        try withWebhooks { site in
            #expect(try site.reply("HELP").text.contains("<Response></Response>"))
            try site.owner.execute("UPDATE workspaces SET settings = settings || '{\"brand\": \"Ada\", \"help_text\": \"Call us.\"}'")
            #expect(try site.reply("STOP").text.contains("<Response></Response>"))
            for _ in 0..<2 { #expect(try site.reply("HELP", sid: "SM1").text.contains("<Message>Ada: Call us.</Message>")) }
            #expect(try site.reply("subscribe").text.contains("<Message>Ada: you will get our texts again."))
            #expect(try site.reply("subscribe").text.contains("<Response></Response>"), "nobody was away")
        }
    }
}
