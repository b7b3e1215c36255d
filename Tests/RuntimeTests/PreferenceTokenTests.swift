@testable import Runtime
import Secrets
import Testing
import Vocabulary

@Suite struct PreferenceTokenTests {
    private let key = SealingKey([UInt8](repeating: 7, count: 32))!
    private let token = PreferenceToken(workspace: .new(), contact: .new(), channel: .email)

    @Test(arguments: Channel.allCases) func `a token names its workspace, contact and channel`(channel: Channel) throws {
        let token = PreferenceToken(workspace: token.workspace, contact: token.contact, channel: channel)
        let text = token.text(key: key)
        #expect(text.utf8.count == 66)
        #expect(
            text.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 || $0 == 95 })
        #expect(PreferenceToken(text, key: key) == token)
    }

    @Test func `a token opens with the key that made it and no other`() {
        #expect(PreferenceToken(token.text(key: key), key: SealingKey([UInt8](repeating: 8, count: 32))!) == nil)
    }

    @Test func `no token with one bit changed holds`() throws {
        let bytes = try #require(base64URLDecode(token.text(key: key)))
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << (bit % 8)
            #expect(PreferenceToken(base64URLEncode(changed), key: key) == nil, "bit \(bit)")
        }
    }

    @Test func `what is too short, too long or no base 64 is no token`() {
        let text = token.text(key: key)
        for other in [
            "", String(text.dropLast()), text + "A", text.dropLast() + "=", "/" + text.dropFirst(), String(repeating: "é", count: 33),
        ] {
            #expect(PreferenceToken(String(other), key: key) == nil)
        }
    }
}
