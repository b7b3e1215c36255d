// Signatures with a public key: ECDSA on the curve P-256 with SHA-256 (FIPS 186-5).
internal import Crypto

/// Verifies what the holder of a private key signed.
public struct VerifyingKey: Sendable {
    private let key: P256.Signing.PublicKey

    /// - Parameter der: SubjectPublicKeyInfo. `nil` for anything else, and for other curves.
    public init?(der: [UInt8]) {
        do { key = try P256.Signing.PublicKey(derRepresentation: der) } catch { return nil }
    }

    /// - Parameter signature: DER. Both values of s that fit are taken, as OpenSSL does.
    public func isValid(_ signature: [UInt8], for message: [UInt8]) -> Bool {
        do {
            return key.isValidSignature(try P256.Signing.ECDSASignature(derRepresentation: signature), for: message)
        } catch {
            return false
        }
    }
}

/// A private key that lives as long as its process: the sandbox's.
public struct SigningKey: Sendable {
    private let key = P256.Signing.PrivateKey()
    public init() {}

    /// SubjectPublicKeyInfo in DER.
    public var publicKey: [UInt8] { Array(key.publicKey.derRepresentation) }

    /// In DER.
    public func signature(of message: [UInt8]) -> [UInt8]? {
        do { return Array(try key.signature(for: message).derRepresentation) } catch { return nil }
    }
}
