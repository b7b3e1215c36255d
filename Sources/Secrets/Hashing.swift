// Digests, randomness and comparison. libsodium where it has them, swift-crypto for the rest.
internal import CSodium
internal import Crypto

/// libsodium must be initialised once per process, before anything else of it.
enum Sodium {
    static let ready: Bool = {
        precondition(sodium_init() >= 0, "libsodium cannot start")
        return true
    }()
}

public enum Hash {
    /// 32 bytes.
    public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
            crypto_hash_sha256(digest.baseAddress!, bytes, UInt64(bytes.count))
            count = 32
        }
    }

    /// 20 bytes. For Twilio's signatures only: SHA-1 is broken for collisions, not for HMAC.
    public static func hmacSHA1(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        Array(HMAC<Insecure.SHA1>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }

    /// 32 bytes.
    public static func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key)))
    }
}

public enum Random {
    public static func bytes(_ count: Int) -> [UInt8] {
        _ = Sodium.ready
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            randombytes_buf(buffer.baseAddress!, count)
            initialized = count
        }
    }

    /// A number in `0..<bound`, without bias.
    static func number(below bound: UInt32) -> UInt32 {
        _ = Sodium.ready
        return randombytes_uniform(bound)
    }
}

/// Compares without telling by its time where two secrets differ. Lengths are not secret.
public func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && sodium_memcmp(a, b, a.count) == 0
}
