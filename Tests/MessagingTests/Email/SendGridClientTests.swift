import Foundation
import HTTPClient
import JSON
import Secrets
import Testing
import Vocabulary

@testable import Messaging

@Suite struct SendGridClientTests {
    private let client = SendGridClient(baseURL: "https://api.example")

    @Test func `a mail is one personalization with our ids and a button to leave`() throws {
        let (message, sender) = (MessageID.new(), SenderID.new())
        let mail = RenderedEmail(subject: "Grüße", text: "Hi\n", html: "<p>Hi</p>", unsubscribeURL: "https://m.example/u/T")
        let origin = EmailOrigin(address: "team@shop.example", name: "Shop", replyTo: "help@shop.example")
        let request = client.send(mail, to: "ada@example.org", message: message, sender: sender, origin, apiKey: "SG.secret")
        #expect(request.method == "POST" && request.url == "https://api.example/v3/mail/send")
        #expect(request.headers.contains { $0.name == "Authorization" && $0.value == "Bearer SG.secret" })
        let expected: JSONValue = [
            "personalizations": [
                [
                    "to": [["email": "ada@example.org"]],
                    "custom_args": ["muster_message_id": .string("\(message)"), "muster_sender_id": .string("\(sender)")],
                ]
            ], "from": ["email": "team@shop.example", "name": "Shop"], "reply_to": ["email": "help@shop.example"], "subject": "Grüße",
            "content": [["type": "text/plain", "value": "Hi\n"], ["type": "text/html", "value": "<p>Hi</p>"]],
            "headers": ["List-Unsubscribe": "<https://m.example/u/T>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"],
            "tracking_settings": ["subscription_tracking": ["enable": false], "click_tracking": ["enable_text": false]],
        ]
        #expect(try JSONValue(parsing: request.body) == expected)
    }

    @Test func `each answer means what it must`() {
        func outcome(_ status: Int, _ body: String = "", _ headers: [(name: String, value: String)] = []) -> SendOutcome {
            client.classify(.success(HTTPResponse(status: status, headers: headers, body: Array(body.utf8))))
        }
        let recipient = "{\"errors\":[{\"message\":\"no\",\"field\":\"personalizations.0.to.0.email\",\"help\":null}]}"
        #expect(outcome(202, "", [("X-Message-Id", "abc.filter1")]) == .sent(sid: "abc", status: "queued", parts: nil))
        #expect(outcome(202) == .unknown(reason: "unreadable_answer"))
        #expect(outcome(200) == .unknown(reason: "status_200"))
        for status in [400, 404, 405, 415] { #expect(outcome(status) == .rejected(code: status, class: .configuration)) }
        #expect(outcome(400, recipient.replacing("personalizations.0.to.0", with: "from")) == .rejected(code: 400, class: .configuration))
        #expect(outcome(400, recipient) == .rejected(code: 50_103, class: .hard))
        #expect(outcome(413) == .rejected(code: 413, class: .bug))
        #expect(outcome(401) == .authenticationFailed && outcome(403) == .authenticationFailed)
        #expect(outcome(500) == .unknown(reason: "status_500") && outcome(503) == .unknown(reason: "status_503"))
        #expect(outcome(408) == .unknown(reason: "status_408"))
        #expect(outcome(429) == .retryLater(afterSeconds: nil))
        #expect(outcome(429, "", [("X-RateLimit-Reset", "1")]) == .retryLater(afterSeconds: 0.5))
        #expect(outcome(429, "", [("X-RateLimit-Reset", "99999999999")]) == .retryLater(afterSeconds: 300))
        #expect(client.classify(.failure(HTTPFailure(.notSent, ""))) == .retryLater(afterSeconds: nil))
        #expect(client.classify(.failure(HTTPFailure(.unknown, ""))) == .unknown(reason: "no_answer"))
    }

    @Test func `every vector gets the verdict of SendGrid's own library`() throws {
        let cases = try vectors("sendgrid_signatures")
        #expect(cases.count == 17)
        for vector in cases {
            let request = SendGridSignature(
                timestamp: try #require(vector["timestamp"] as? String), body: Array(try #require(vector["body"] as? String).utf8))
            let verdict = request.isValid(try #require(vector["signature"] as? String), key: vector["public_key"] as? String)
            #expect(verdict == (vector["valid"] as? Bool), "\(vector["name"] ?? "")")
        }
        let own = SigningKey()
        let signature = try #require(own.signature(of: Array("1[]".utf8)))
        let request = SendGridSignature(timestamp: "1", body: Array("[]".utf8))
        #expect(request.isValid(base64Encode(signature), key: base64Encode(own.publicKey)))
        #expect(!request.isValid(base64Encode(signature), key: nil) && !request.isValid(base64Encode(signature), key: ""))
        #expect(!request.isValid(base64Encode(signature), key: base64Encode(SigningKey().publicKey)))
    }
}
