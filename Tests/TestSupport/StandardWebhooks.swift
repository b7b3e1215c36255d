// The receiver's side of Standard Webhooks 1.0.0, written from the specification and not from our signing.
import CSodium
import Secrets

public enum StandardWebhooks {
    /// - Parameters:
    ///   - key: a secret, `whsec_…` or bare base 64, or a public key, `whpk_…`.
    ///   - tolerance: seconds by which the clocks may differ.
    public static func verify(
        key: String, id: String, timestamp: String, signature: String, body: String, now: Int64, tolerance: Int64 = 300
    ) -> Bool {
        guard let at = Int64(timestamp), abs(now - at) <= tolerance else { return false }
        let content = Array("\(id).\(timestamp).\(body)".utf8)
        let isPublic = key.hasPrefix("whpk_")
        guard let bytes = base64Decode(isPublic ? key.dropFirst(5) : key.hasPrefix("whsec_") ? key.dropFirst(6) : key[...]) else {
            return false
        }
        return signature.split(separator: " ").contains { entry in
            let parts = entry.split(separator: ",", maxSplits: 1)
            guard parts.count == 2, parts[0] == (isPublic ? "v1a" : "v1"), let given = base64Decode(parts[1]) else { return false }
            guard isPublic else { return constantTimeEqual(given, Hash.hmacSHA256(key: bytes, content)) }
            return given.count == 64 && bytes.count == 32
                && crypto_sign_verify_detached(given, content, UInt64(content.count), bytes) == 0
        }
    }
}
