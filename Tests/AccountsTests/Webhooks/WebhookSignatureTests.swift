import Foundation
import JSON
import Secrets
import TestSupport
import Testing
import Vocabulary

@testable import Accounts

private func vectors() throws -> [JSONValue] {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Resources/standard_webhooks.json")
    return try JSONValue(parsing: Array(try Data(contentsOf: file)), limits: .trusted)["cases"]?.array ?? []
}

@Suite struct WebhookSignatureTests {
    @Test func `the receiver that our tests use accepts and refuses what the vectors say`() throws {
        let all = try vectors()
        #expect(all.count == 22)
        for vector in all {
            let key = try #require((vector["secret"] ?? vector["public_key"])?.string)
            func header(_ name: String) throws -> String { try #require(vector["headers"]?[name]?.string) }
            let isValid = StandardWebhooks.verify(
                key: key, id: try header("webhook-id"), timestamp: try header("webhook-timestamp"),
                signature: try header("webhook-signature"), body: try #require(vector["body"]?.string),
                now: Int64(try #require(vector["now"]?.integer)), tolerance: Int64(try #require(vector["tolerance_seconds"]?.integer)))
            #expect(isValid == vector["valid"]?.bool, "\(vector["name"]?.string ?? "")")
        }
    }

    @Test func `what we sign is what the official packages sign`() throws {
        var signed = 0
        for vector in try vectors() where vector["scheme"] == "v1" && vector["valid"] == true {
            let expected = try #require(vector["headers"]?["webhook-signature"]?.string)
            // Those with several entries are of a rotation, or of versions that we do not write.
            guard !expected.contains(" ") else { continue }
            let secret = try #require(vector["secret"]?.string)
            let key = try #require(base64Decode(secret.hasPrefix("whsec_") ? secret.dropFirst(6) : secret[...]))
            let headers = WebhookSignature.headers(
                id: try #require(vector["headers"]?["webhook-id"]?.string),
                timestamp: try #require(vector["headers"]?["webhook-timestamp"]?.string.flatMap { Int64($0) }),
                body: Array(try #require(vector["body"]?.string).utf8), secrets: [WebhookSecret(key: key)])
            #expect(headers.first { $0.name == "webhook-signature" }?.value == expected, "\(vector["name"]?.string ?? "")")
            signed += 1
        }
        #expect(signed >= 7)
    }

    @Test func `during a rotation the receiver may know either secret, and no other`() throws {
        let (new, old) = (WebhookSecret.generate(), WebhookSecret.generate())
        let headers = WebhookSignature.headers(id: "a", timestamp: 1_795_231_800, body: Array("{}".utf8), secrets: [new, old])
        let signature = try #require(headers.first { $0.name == "webhook-signature" }?.value)
        func accepts(_ secret: WebhookSecret) -> Bool {
            StandardWebhooks.verify(
                key: secret.text, id: "a", timestamp: "1795231800", signature: signature, body: "{}", now: 1_795_231_800)
        }
        #expect(accepts(new) && accepts(old) && !accepts(.generate()))
    }

    @Test func `a secret is 32 bytes that open for their webhook alone`() throws {
        let key = try #require(SealingKey(Random.bytes(32)))
        let secret = WebhookSecret.generate()
        #expect(secret.text.hasPrefix("whsec_") && secret.key.count == 32 && secret != .generate())
        let (workspace, webhook) = (WorkspaceID.new(), WebhookID.new())
        let sealed = secret.sealed(with: key, workspace: workspace, webhook: webhook)
        #expect(WebhookSecret(opening: sealed, with: key, workspace: workspace, webhook: webhook) == secret)
        #expect(WebhookSecret(opening: sealed, with: key, workspace: workspace, webhook: .new()) == nil)
        #expect(WebhookSecret(opening: sealed, with: key, workspace: .new(), webhook: webhook) == nil)
    }
}
