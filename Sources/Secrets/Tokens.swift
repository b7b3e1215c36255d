// API keys and session tokens: a brand and kind, 30 random base-62 characters (178 bits), and six of their CRC-32, so
// that a typing error or a made-up token is refused without a look-up and scanners find leaked ones.

/// The format of the tokens that we give out.
public enum APIKeyFormat {
    public enum Kind: String, Sendable {
        case apiKey = "muster_live_"
        case session = "muster_sess_"
        case invitation = "muster_invt_"
    }
    private static let alphabet = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    public static func generate(_ kind: Kind = .apiKey) -> String {
        let random = (0..<30).map { _ in alphabet[Int(Random.number(below: 62))] }
        return kind.rawValue + String(decoding: random, as: UTF8.self) + checksum(random)
    }

    /// The kind of a well-formed token; `nil` for anything else.
    public static func kind(of token: String) -> Kind? {
        let bytes = Array(token.utf8)
        guard bytes.count == 48,
            let kind = Kind(rawValue: String(decoding: bytes[..<12], as: UTF8.self)),
            bytes[12...].allSatisfy({ (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) }),
            checksum(Array(bytes[12..<42])) == String(decoding: bytes[42...], as: UTF8.self)
        else { return nil }
        return kind
    }

    /// What may be shown and looked up: brand, kind and the first four random characters.
    public static func prefix(of token: String) -> String { String(token.prefix(16)) }

    /// CRC-32 of the random part in base 62, six characters.
    public static func checksum(_ random: [UInt8]) -> String {
        var rest = Int(crc32(random))
        var digits: [UInt8] = []
        for _ in 0..<6 {
            digits.append(alphabet[rest % 62])
            rest /= 62
        }
        return String(decoding: digits.reversed(), as: UTF8.self)
    }
}
