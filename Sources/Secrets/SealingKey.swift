// Encryption at rest for provider credentials.
internal import Crypto

/// A 256-bit key that seals small secrets with AES-256-GCM.
///
/// Sealed form: 4 bytes of key id (from the key itself), 12 of nonce, ciphertext, 16 of tag. The context (whose
/// secret it is) is authenticated, so that a sealed secret moved to another row does not open.
public struct SealingKey: Sendable {
    private let bytes: [UInt8]
    /// Tells which key sealed something, so that keys can be changed.
    public let id: [UInt8]

    /// `nil` unless there are 32 bytes.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
        id = Array(Hash.hmacSHA256(key: bytes, Array("key id".utf8)).prefix(4))
    }

    /// - Parameter context: who it belongs to; `open` needs the same.
    public func seal(_ plain: [UInt8], context: [UInt8]) -> [UInt8] {
        do {
            let box = try AES.GCM.seal(plain, using: SymmetricKey(data: bytes), authenticating: context)
            return id + Array(box.combined!)
        } catch {
            preconditionFailure("AES-GCM refused to seal: \(error)")
        }
    }

    /// `nil` when another key sealed it, for another context, or it was changed.
    public func open(_ sealed: [UInt8], context: [UInt8]) -> [UInt8]? {
        guard sealed.count >= 32, Array(sealed.prefix(4)) == id else { return nil }
        do {
            let box = try AES.GCM.SealedBox(combined: sealed.dropFirst(4))
            return Array(try AES.GCM.open(box, using: SymmetricKey(data: bytes), authenticating: context))
        } catch {
            return nil
        }
    }

    /// A key for another purpose, which tells nothing of this one.
    public func derived(_ purpose: String) -> [UInt8] { Hash.hmacSHA256(key: bytes, Array(("derive:" + purpose).utf8)) }
}
