// Twilio's request signatures, over raw bytes. Source: Twilio's webhook security guide, and the behaviour of its
// Python library 9.13 where the guide is silent.
internal import Secrets

/// Verifies `X-Twilio-Signature`.
///
/// Names and values stay bytes throughout: Swift's String equality and order follow Unicode equivalence, which
/// signatures do not.
public struct TwilioSignature {
    /// As Twilio requested it: scheme, host, port, path and query, bytes untouched; what follows `#` is never sent.
    private let url: ArraySlice<UInt8>
    private let isPost: Bool
    private let contentType: String
    private let body: [UInt8]

    public init(url: String, isPost: Bool, contentType: String, body: [UInt8]) {
        self.url = Array(url.utf8).prefix { $0 != UInt8(ascii: "#") }
        self.isPost = isPost
        self.contentType = contentType
        self.body = body
    }

    /// Which hash the request says it used, and with which shared key; `nil` for Auth Token and SHA-1.
    public struct Settings: Equatable, Sendable {
        public let key: String
        public let isSHA256: Bool
        /// `key=<id>,algorithm=HMAC_SHA1|HMAC_SHA256`. `nil`: not of that form, so refuse.
        public init?(header: String) {
            var key: String?
            var isSHA256: Bool?
            for part in header.split(separator: ",") {
                let pair = part.split(separator: "=", maxSplits: 1).map { $0.drop { $0 == " " } }
                guard pair.count == 2 else { return nil }
                switch pair[0] {
                case "key" where key == nil: key = String(pair[1])
                case "algorithm" where isSHA256 == nil && pair[1] == "HMAC_SHA1": isSHA256 = false
                case "algorithm" where isSHA256 == nil && pair[1] == "HMAC_SHA256": isSHA256 = true
                default: return nil
                }
            }
            guard let key, let isSHA256 else { return nil }
            self.key = key
            self.isSHA256 = isSHA256
        }
    }

    /// Whether the signature is of one of the tokens. Constant time in the secret parts.
    public func isValid(_ signature: String, tokens: [String], sha256: Bool = false) -> Bool {
        guard let given = base64Decode(signature), given.count == (sha256 ? 32 : 20), let appended = signedBody() else {
            return false
        }
        var isMatch = false
        for variant in urlVariants() {
            let signed = variant + appended
            for token in tokens where !token.isEmpty {
                let key = Array(token.utf8)
                let mac = sha256 ? Hash.hmacSHA256(key: key, signed) : Hash.hmacSHA1(key: key, signed)
                if constantTimeEqual(mac, given) { isMatch = true }
            }
        }
        return isMatch
    }

    /// What of the body is signed behind the URL; `nil` when the signature would say nothing of the body.
    private func signedBody() -> [UInt8]? {
        if let expected = queryValue("bodySHA256") {
            // The hash in the URL stands for the body; both must hold.
            return constantTimeEqual(Array(hexEncode(Hash.sha256(body)).utf8), expected) ? [] : nil
        }
        if isPost, contentType.isEmpty || contentType.lowercased().hasPrefix("application/x-www-form-urlencoded") {
            return TwilioSignature.concatenated(formBytes(body))
        }
        return body.isEmpty ? [] : nil
    }

    /// Pairs in byte order, of the same pair one, without separators.
    private static func concatenated(_ pairs: [(name: [UInt8], value: [UInt8])]) -> [UInt8] {
        let sorted = pairs.sorted { a, b in
            a.name == b.name ? a.value.lexicographicallyPrecedes(b.value) : a.name.lexicographicallyPrecedes(b.name)
        }
        var signed: [UInt8] = []
        for (index, pair) in sorted.enumerated() where index == 0 || pair != sorted[index - 1] {
            signed += pair.name
            signed += pair.value
        }
        return signed
    }

    private func queryValue(_ name: String) -> [UInt8]? {
        guard let question = url.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        return formBytes(Array(url[(question + 1)...])).first { $0.name.elementsEqual(name.utf8) }?.value
    }

    /// The URL with its port, or its scheme's, and without one: which of them is signed differs by product.
    /// Credentials in it are never signed.
    private func urlVariants() -> [[UInt8]] {
        guard let colon = url.firstIndex(of: UInt8(ascii: ":")), url[colon...].starts(with: "://".utf8) else { return [Array(url)] }
        let scheme = url[..<(colon + 3)]
        let rest = url[(colon + 3)...]
        let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
        var host = rest[..<end]
        if let at = host.lastIndex(of: UInt8(ascii: "@")) { host = host[(at + 1)...] }
        var port = scheme.count == 8 ? Array(":443".utf8) : Array(":80".utf8)
        // Colons inside brackets belong to an IPv6 address.
        if let mark = host.lastIndex(of: UInt8(ascii: ":")), host.last != UInt8(ascii: "]") {
            port = Array(host[mark...])
            host = host[..<mark]
        }
        return [Array(scheme + host + port + rest[end...]), Array(scheme + host + rest[end...])]
    }

    /// Signs as Twilio does: the sandbox's side.
    public static func sign(url: String, form: [(name: String, value: String)], token: String) -> String {
        let signed =
            Array(url.utf8.prefix { $0 != UInt8(ascii: "#") }) + concatenated(form.map { (Array($0.name.utf8), Array($0.value.utf8)) })
        return base64Encode(Hash.hmacSHA1(key: Array(token.utf8), signed))
    }
}

/// Decodes a form into bytes: `+` is a space, `%XX` a byte, broken escapes stay as they are.
func formBytes(_ body: [UInt8]) -> [(name: [UInt8], value: [UInt8])] {
    body.split(separator: UInt8(ascii: "&")).map { pair in
        let name = pair.prefix { $0 != UInt8(ascii: "=") }
        return (decoded(name), decoded(pair.dropFirst(name.count + 1)))
    }
}

private func decoded(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 97...102: byte - 87
        case 65...70: byte - 55
        default: nil
        }
    }
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    var index = bytes.startIndex
    while index < bytes.endIndex {
        let byte = bytes[index]
        if byte == UInt8(ascii: "%"), index + 2 < bytes.endIndex, let h = digit(bytes[index + 1]), let l = digit(bytes[index + 2]) {
            out.append(h << 4 | l)
            index += 3
            continue
        }
        out.append(byte == UInt8(ascii: "+") ? 32 : byte)
        index += 1
    }
    return out
}
