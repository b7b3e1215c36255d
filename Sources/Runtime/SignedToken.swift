// Addresses of pages that need no sign-in: ids, and a proof that we wrote them.
internal import Secrets
internal import Vocabulary

/// Some bytes that name something, and the first 16 of an HMAC-SHA256 over them, in base64url.
enum SignedToken {
    private static let tagLength = 16

    /// - Parameters:
    ///   - count: how many bytes name it.
    ///   - purpose: tokens of one purpose are nothing to another.
    /// - Returns: the bytes; `nil` where they are not ours.
    static func read(_ text: some StringProtocol, names count: Int, purpose: String, _ key: SealingKey) -> [UInt8]? {
        let length = ((count + tagLength) * 4 + 2) / 3
        guard text.utf8.count == length, let bytes = base64URLDecode(text), bytes.count == count + tagLength,
            constantTimeEqual(Array(bytes[count...]), tag(Array(bytes[..<count]), purpose, key))
        else { return nil }
        return Array(bytes[..<count])
    }

    static func text(_ bytes: [UInt8], purpose: String, _ key: SealingKey) -> String {
        base64URLEncode(bytes + tag(bytes, purpose, key))
    }

    static func bytes(_ uuid: UUID) -> [UInt8] {
        [uuid.high, uuid.low].flatMap { half in
            stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: half >> UInt64($0)) }
        }
    }

    static func uuid(_ bytes: [UInt8], at start: Int) -> UUID {
        func number(at start: Int) -> UInt64 { bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        return UUID(high: number(at: start), low: number(at: start + 8))
    }

    private static func tag(_ bytes: [UInt8], _ purpose: String, _ key: SealingKey) -> [UInt8] {
        Array(Hash.hmacSHA256(key: key.derived(purpose), bytes).prefix(tagLength))
    }
}
