// Twilio's request signatures, over raw bytes. Source: Twilio's webhook security guide, and the behaviour of its
// Python library 9.13 where the guide is silent.
internal import Secrets

/// Verifies `X-Twilio-Signature`.
///
/// Names and values stay bytes throughout: Swift's String equality and order follow Unicode equivalence, which
/// signatures do not.
public struct TwilioSignature {
    /// As Twilio requested it: scheme, host, port, path and query, bytes untouched.
    public let url: [UInt8]
    public let contentType: String
    public let body: [UInt8]
    public let isPost: Bool

    public init(url: String, isPost: Bool, contentType: String, body: [UInt8]) {
        self.url = Array(url.utf8)
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
                case "key": key = String(pair[1])
                case "algorithm" where pair[1] == "HMAC_SHA1": isSHA256 = false
                case "algorithm" where pair[1] == "HMAC_SHA256": isSHA256 = true
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
        guard let given = base64Decode(signature), given.count == (sha256 ? 32 : 20) else { return false }
        if let expected = queryValue("bodySHA256") {
            // The hash stands for the body; both must hold.
            guard constantTimeEqual(Array(hexEncode(Hash.sha256(body)).utf8), expected) else {
                return false
            }
        }
        var isMatch = false
        for candidate in candidates() {
            for token in tokens {
                let key = Array(token.utf8)
                let mac = sha256 ? Hash.hmacSHA256(key: key, candidate) : Hash.hmacSHA1(key: key, candidate)
                if constantTimeEqual(mac, given) { isMatch = true }
            }
        }
        return isMatch
    }

    /// What Twilio signed, for the URL with its port and without: which of them it used differs by product.
    private func candidates() -> [[UInt8]] {
        let appended = queryValue("bodySHA256") == nil && isPost && isForm ? signedParameters() : []
        return urlVariants().map { $0 + appended }
    }

    private var isForm: Bool {
        contentType.isEmpty || contentType.lowercased().hasPrefix("application/x-www-form-urlencoded")
    }

    /// Names in byte order, each followed by its distinct values in byte order, without separators.
    private func signedParameters() -> [UInt8] {
        var values: [[UInt8]: Set<[UInt8]>] = [:]
        for (name, value) in formBytes(body) { values[name, default: []].insert(value) }
        var signed: [UInt8] = []
        for name in values.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            for value in values[name]!.sorted(by: { $0.lexicographicallyPrecedes($1) }) { signed += name + value }
        }
        return signed
    }

    private func queryValue(_ name: String) -> [UInt8]? {
        guard let question = url.firstIndex(of: UInt8(ascii: "?")) else { return nil }
        return formBytes(Array(url[(question + 1)...])).first { $0.name == Array(name.utf8) }?.value
    }

    /// The URL as it is, with the scheme's port added, and with any port removed. Credentials are never signed.
    private func urlVariants() -> [[UInt8]] {
        let text = String(decoding: url, as: UTF8.self)
        guard let schemeEnd = schemeSeparator(text) else { return [url] }
        let scheme = String(text[..<schemeEnd.lowerBound])
        let rest = text[schemeEnd.upperBound...]
        let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex
        var authority = String(rest[..<authorityEnd])
        let tail = Array(String(rest[authorityEnd...]).utf8)
        if let at = authority.lastIndex(of: "@") { authority = String(authority[authority.index(after: at)...]) }
        var host = authority
        var port: String?
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            host = String(authority[..<colon])
            port = String(authority[authority.index(after: colon)...])
        }
        let standard = scheme.lowercased() == "https" ? "443" : "80"
        return [
            Array("\(scheme)://\(host):\(port ?? standard)".utf8) + tail, Array("\(scheme)://\(host)".utf8) + tail,
        ]
    }

    /// Signs as Twilio does: the sandbox's side.
    public static func sign(url: String, form: [(name: String, value: String)], token: String) -> String {
        var signed = Array(url.utf8)
        for pair in form.map({ (Array($0.name.utf8), Array($0.value.utf8)) }).sorted(by: { $0.0.lexicographicallyPrecedes($1.0) }) {
            signed += pair.0 + pair.1
        }
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

private func schemeSeparator(_ text: String) -> Range<String.Index>? {
    guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else { return nil }
    return colon..<text.index(colon, offsetBy: 3)
}
