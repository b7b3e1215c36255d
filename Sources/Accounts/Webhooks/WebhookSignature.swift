// Signatures of what we send: Standard Webhooks 1.0.0, version v1 (HMAC-SHA256).
internal import Secrets

/// The key that a webhook and its receiver share.
struct WebhookSecret: Hashable {
    let key: [UInt8]

    init(key: [UInt8]) { self.key = key }

    /// 32 random bytes.
    static func generate() -> WebhookSecret { WebhookSecret(key: Random.bytes(32)) }

    /// As the receiver configures it. Shown once.
    var text: String { "whsec_" + base64Encode(key) }
}

enum WebhookSignature {
    /// The headers of one attempt.
    /// - Parameters:
    ///   - id: of the event, the same for all attempts; without a dot.
    ///   - timestamp: seconds since 1970 of this attempt.
    ///   - secrets: all that the receiver may know of: during a rotation the new one and the one before.
    static func headers(id: String, timestamp: Int64, body: [UInt8], secrets: [WebhookSecret]) -> [(name: String, value: String)] {
        let content = Array("\(id).\(timestamp).".utf8) + body
        let signatures = secrets.map { "v1," + base64Encode(Hash.hmacSHA256(key: $0.key, content)) }
        return [
            ("webhook-id", id), ("webhook-timestamp", String(timestamp)), ("webhook-signature", signatures.joined(separator: " ")),
        ]
    }
}
