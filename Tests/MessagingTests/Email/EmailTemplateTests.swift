import JSON
import Testing
import Vocabulary

@testable import Messaging

@Suite struct EmailTemplateTests {
    private let url = "https://muster.example/u/TOKEN"
    private func template(
        subject: String = "Hello", _ text: String = "Hi {{ first_name }}", html: String? = nil, preheader: String? = nil,
        address: String = "Shop & Co\n1 Main Street"
    ) throws -> EmailTemplate {
        try EmailTemplate(subject: subject, text: text, html: html, preheader: preheader, postalAddress: address)
    }
    private let ada: JSONValue = ["first_name": "Ada <3", "attributes": ["city": "Berlin"]]

    @Test func `each part ends with the postal address and a way to leave`() throws {
        let mail = try template(html: "<html><body><h1>Hi {{ first_name }}</h1></BODY></html>").render(ada, unsubscribeURL: url)
        #expect(mail.text == "Hi Ada <3\n\nShop & Co\n1 Main Street\nUnsubscribe: \(url)\n")
        let html = try #require(mail.html)
        #expect(html.hasPrefix("<html><body><h1>Hi Ada &lt;3</h1><p "), "\(html)")
        #expect(
            html.hasSuffix("Shop &amp; Co<br>1 Main Street<br><a href=\"\(url)\" clicktracking=\"off\">Unsubscribe</a></p></BODY></html>"),
            "\(html)")
        #expect(mail.refusal == nil)
    }

    @Test func `a part that places them itself gets them there and nowhere else`() throws {
        let mail = try template(
            "{{ unsubscribe_url }} {{ postal_address }} {{ city }}", html: "<a href=\"{{ unsubscribe_url }}\">x</a>"
        ).render(ada, unsubscribeURL: url)
        #expect(mail.text == "\(url) Shop & Co\n1 Main Street Berlin\n")
        let html = try #require(mail.html)
        #expect(html.hasPrefix("<a href=\"\(url)\">x</a><p ") && !html.contains("Unsubscribe</a>") && html.contains("Main Street"))
    }

    @Test(
        arguments: [
            "{% if unsubscribe_url and postal_address %}Hi{% endif %}",
            "{% if first_name == \"Bob\" %}{{ unsubscribe_url }} {{ postal_address }}{% endif %}Hi", "{{ unsubscribe_url | size }} Hi",
        ])
    func `what is asked for and not written stands at the foot all the same`(_ text: String) throws {
        let mail = try template(text, html: "<p>\(text)</p>").render(ada, unsubscribeURL: url)
        #expect(mail.text.hasSuffix("Hi\n\nShop & Co\n1 Main Street\nUnsubscribe: \(url)\n"), "\(mail.text)")
        let html = try #require(mail.html)
        #expect(html.hasSuffix("Shop &amp; Co<br>1 Main Street<br><a href=\"\(url)\" clicktracking=\"off\">Unsubscribe</a></p>"), "\(html)")
    }

    @Test func `a part that reaches a bound or has nothing left is refused, not sent empty`() throws {
        let bomb = "{% for a in x %}{% for b in x %}{% for c in x %}-{% endfor %}{% endfor %}{% endfor %}"
        let many: JSONValue = ["first_name": "Ada", "attributes": ["x": .array((0..<50).map { .integer($0) })]]
        #expect(try template(html: bomb).render(many, unsubscribeURL: url).refusal == "template_failed")
        #expect(try template(bomb).render(many, unsubscribeURL: url).refusal == "template_failed")
        #expect(try template(subject: bomb).render(many, unsubscribeURL: url).refusal == "template_failed")
        #expect(try template(html: "<p>x</p>", preheader: bomb).render(many, unsubscribeURL: url).refusal == "template_failed")
        #expect(try template(html: "{{ nothing }} ").render(many, unsubscribeURL: url).refusal == "empty_text")
        #expect(try template().render(many, unsubscribeURL: url).refusal == nil)
    }

    @Test func `a contact's own attribute of the name leads nobody elsewhere`() throws {
        let sly: JSONValue = ["attributes": ["unsubscribe_url": "https://evil.example", "postal_address": "nowhere"]]
        let mail = try template("{{ unsubscribe_url }} {{ postal_address }}").render(sly, unsubscribeURL: url)
        #expect(mail.text == "\(url) Shop & Co\n1 Main Street\n")
    }

    @Test func `a subject is one line whatever a contact is called`() throws {
        let contact: JSONValue = ["first_name": "Ada\r\nBcc: all@example.com\u{2028}x\u{0}"]
        let mail = try template(subject: "For {{ first_name }}").render(contact, unsubscribeURL: url)
        #expect(mail.subject == "For Ada Bcc: all@example.com x")
    }

    @Test func `a preheader stands hidden in front, escaped`() throws {
        let mail = try template(html: "<body class=\"a\">Hi</body>", preheader: "1 < {{ first_name }}").render(ada, unsubscribeURL: url)
        #expect(try #require(mail.html).hasPrefix("<body class=\"a\"><div style=\"display:none"), "\(mail.html ?? "")")
        #expect(try #require(mail.html).contains(">1 &lt; Ada &lt;3</div>Hi<p"))
    }

    @Test func `what is empty or too large is not sent`() throws {
        #expect(try template(subject: "{{ x }}").render(ada, unsubscribeURL: url).refusal == "empty_text")
        #expect(try template("{{ x }}").render(ada, unsubscribeURL: url).refusal == "empty_text")
        let large = String(repeating: "ü", count: 103_000)
        #expect(try template(large).render(ada, unsubscribeURL: url).refusal == "text_too_long")
        #expect(try template(html: large).render(ada, unsubscribeURL: url).refusal == "text_too_long")
        let long: JSONValue = ["first_name": .string(String(repeating: "ü", count: 500))]
        #expect(try template(subject: "{{ first_name }}").render(long, unsubscribeURL: url).refusal == "text_too_long")
    }

    @Test func `faults are told at the member that has them`() throws {
        #expect { try template(html: "{{ x | nope }}") } throws: { ($0 as? Faults)?.list.first?.pointer == "/html" }
        #expect { try template(subject: "{{") } throws: { ($0 as? Faults)?.list.first?.pointer == "/subject" }
    }
}

@Suite struct EmailErrorTests {
    @Test(
        arguments: [
            ("5.1.1", 50101, .hard), ("4.1.1", 40101, .soft), ("5.2.2", 50202, .soft), ("5.7.26", 50726, .content),
            ("5.4.7", 50407, .expired),
            ("5.2.1", 50201, .hard), ("5.1.8", 50108, .configuration), ("5.0.0", 50000, .soft),
        ] as [(String, Int, ErrorClass)])
    func `an enhanced status says what to do`(_ text: String, _ code: Int, _ errorClass: ErrorClass) {
        #expect(EmailError.code(enhanced: text) == code)
        #expect(EmailError.of(code).errorClass == errorClass)
    }

    @Test func `only what is the address's own counts towards a hold`() {
        for code in [40101, 40202, 50202, 40200, 50407, 40407] { #expect(EmailError.heldCodes.contains(code), "\(code)") }
        let ours = [
            50000, 50107, 50203, 50304, 50400, 50500, 50600, 50700, 50726, 400, 413, 421, 550, EmailError.leftBefore, EmailError.quota,
            EmailError.keptBack,
        ]
        for code in ours { #expect(!EmailError.heldCodes.contains(code), "\(code)") }
        #expect(EmailError.of(EmailError.leftBefore).errorClass == .optOut)
    }

    @Test func `what is no enhanced status is none`() {
        for text in ["", "5.1", "2.0.0", "5.1.1.1", "5.a.1", "5.-1.1", "5.100.1", "6.1.1"] {
            #expect(EmailError.code(enhanced: text) == nil)
        }
    }
}
