import Messaging
import Testing

@Suite struct TwilioSignatureTests {
    @Test func `every vector gets the verdict of Twilio's own library`() throws {
        let cases = try vectors("twilio_signatures")
        #expect(cases.count == 40)
        for vector in cases {
            let name = try #require(vector["name"] as? String)
            let request = try TwilioSignature(
                url: #require(vector["url"] as? String), isPost: vector["method"] as? String == "POST",
                contentType: vector["content_type"] as? String ?? "", body: body(of: vector))
            #expect(try verdict(request, vector) == (vector["valid"] as? Bool), "\(name)")
            // The URL as somebody configured it, with credentials or overrides, is signed as the one requested.
            if let configured = vector["configured_url"] as? String {
                let same = TwilioSignature(
                    url: configured, isPost: true, contentType: "application/x-www-form-urlencoded", body: body(of: vector))
                #expect(try verdict(same, vector) == true, "\(name)")
            }
        }
    }

    @Test func `one token of several is enough, an empty one never is`() {
        let form: [(name: String, value: String)] = [("MessageSid", "SM1"), ("MessageStatus", "sent")]
        let body = formEncoded(form.map { ($0.name, $0.value) })
        let request = TwilioSignature(url: "https://a.example/x", isPost: true, contentType: formType, body: body)
        let old = TwilioSignature.sign(url: "https://a.example/x", form: form, token: "old")
        #expect(request.isValid(old, tokens: ["new", "old"]))
        #expect(!request.isValid(old, tokens: ["new"]))
        #expect(!request.isValid(TwilioSignature.sign(url: "https://a.example/x", form: form, token: ""), tokens: ["", "new"]))
    }

    @Test func `no change of a single byte goes unnoticed`() {
        let url = "https://a.example/webhooks/twilio/x/status?m=1"
        let form: [(name: String, value: String)] = [("Body", "é 1"), ("MessageSid", "SM1"), ("MessageStatus", "sent")]
        let body = formEncoded(form.map { ($0.name, $0.value) })
        let signature = TwilioSignature.sign(url: url, form: form, token: "t")
        func holds(_ url: String, _ body: [UInt8], _ signature: String) -> Bool {
            TwilioSignature(url: url, isPost: true, contentType: formType, body: body).isValid(signature, tokens: ["t"])
        }
        #expect(holds(url, body, signature))
        for index in body.indices {
            var changed = body
            changed[index] ^= 1
            #expect(!holds(url, changed, signature), "body byte \(index)")
        }
        for index in 0..<url.utf8.count {
            var changed = Array(url.utf8)
            changed[index] ^= 1
            #expect(!holds(String(decoding: changed, as: UTF8.self), body, signature), "URL byte \(index)")
        }
        for index in 0..<signature.utf8.count {
            var changed = Array(signature.utf8)
            changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(!holds(url, body, String(decoding: changed, as: UTF8.self)), "signature byte \(index)")
        }
    }

    @Test func `a signature of a URL alone does not vouch for a body`() {
        let url = "https://a.example/inbound?From=%2B12025550143"
        let signature = TwilioSignature.sign(url: url, form: [], token: "t")
        #expect(TwilioSignature(url: url, isPost: false, contentType: "", body: []).isValid(signature, tokens: ["t"]))
        for type in ["application/json", "text/plain", formType] {
            let request = TwilioSignature(url: url, isPost: true, contentType: type, body: Array("Body=STOP".utf8))
            #expect(!request.isValid(signature, tokens: ["t"]), "\(type)")
        }
    }

    @Test func `the settings header names one key and one known algorithm`() {
        #expect(TwilioSignature.Settings(header: "key=k1,algorithm=HMAC_SHA256")?.isSHA256 == true)
        #expect(TwilioSignature.Settings(header: "key=k1, algorithm=HMAC_SHA1")?.key == "k1")
        for header in [
            "", "key=k1", "algorithm=HMAC_SHA1", "key=k1,algorithm=HMAC_MD5", "key=k1,key=k2,algorithm=HMAC_SHA1",
            "key=k1,algorithm=HMAC_SHA1,algorithm=HMAC_SHA256", "key=k1,algorithm=HMAC_SHA1,x=y", "nonsense",
        ] {
            #expect(TwilioSignature.Settings(header: header) == nil, "\(header)")
        }
    }

    private let formType = "application/x-www-form-urlencoded"

    private func body(of vector: [String: Any]) -> [UInt8] {
        Array((vector["raw_body"] as? String ?? vector["body"] as? String ?? "").utf8)
    }

    private func verdict(_ request: TwilioSignature, _ vector: [String: Any]) throws -> Bool {
        let signature = try #require(vector["signature"] as? String)
        let token = try #require(vector["auth_token"] as? String)
        guard let header = vector["signature_settings_header"] as? String else { return request.isValid(signature, tokens: [token]) }
        guard let settings = TwilioSignature.Settings(header: header) else { return false }
        return request.isValid(signature, tokens: [token], sha256: settings.isSHA256)
    }
}
