import Foundation
import Messaging
import Testing
import Vocabulary

/// Vectors stand beside the tests; `#filePath` finds them wherever the package lies.
func vectors(_ name: String) throws -> [[String: Any]] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let data = try Data(contentsOf: folder.appendingPathComponent("Resources/\(name).json"))
    let file = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    return try #require(file["cases"] as? [[String: Any]])
}

@Suite struct MessageSizeTests {
    @Test func `every character has the septets that 3GPP gives it`() throws {
        let cases = try vectors("gsm7")
        #expect(cases.count == 161)
        for vector in cases {
            // The escape has no character: it announces one of the extension table and never stands in a text.
            guard let text = vector["char"] as? String else {
                #expect(vector["code"] as? String == "0x1B")
                #expect(GSM7.septets("\u{1B}") == nil)
                continue
            }
            let scalar = try #require(text.unicodeScalars.first)
            let septets = vector["table"] is NSNull ? nil : vector["septets"] as? Int
            #expect(GSM7.septets(scalar) == septets, "\(vector["unicode"] ?? "")")
        }
    }

    @Test func `every text has the parts that Twilio's calculator counts`() throws {
        let cases = try vectors("sms_segments")
        #expect(cases.count == 42)
        for vector in cases {
            let name = try #require(vector["name"] as? String)
            let size = MessageSize(try #require(vector["text"] as? String))
            #expect(size.encoding.rawValue == vector["encoding"] as? String, "\(name)")
            #expect(size.units == vector["units"] as? Int, "\(name)")
            #expect(size.parts == vector["segments"] as? Int, "\(name)")
            #expect(size.partUnits == vector["segment_units"] as? [Int], "\(name)")
        }
    }

    @Test func `a cluster larger than a part is split at scalars instead of never`() {
        let zalgo = "я" + String(repeating: "\u{0301}", count: 140)
        #expect(MessageSize(zalgo).partUnits == [67, 67, 7])
    }

    @Test func `an accent beside its letter costs no more than one on it`() {
        #expect(MessageSize("cafe\u{0301}").encoding == .ucs2)
        #expect(MessageSize(normalized("cafe\u{0301}")).encoding == .gsm7)
        #expect(normalized("plain") == "plain")
    }

    @Test func `characters that force UCS-2 are named once each`() {
        #expect(GSM7.outsiders(in: "“Hi” — “you”").map { $0 } == ["“", "”", "—"])
        #expect(GSM7.outsiders(in: "Hi, 5 €").isEmpty)
    }
}
