// Where a webhook may lead. Names are looked up when the worker connects, and the address is checked there again; here
// everything is refused that no look-up is needed for.
internal import HTTPClient
internal import JSON

enum WebhookURL {
    /// - Parameter allowsPrivate: for development and tests, any host and http as well.
    /// - Throws: a fault at `/url`.
    static func check(_ text: String, allowsPrivate: Bool = false) throws(Fault) {
        func refuse(_ code: String, _ detail: String) -> Fault { Fault(pointer: "/url", code: code, detail: detail) }
        guard text.utf8.count <= 2000 else { throw refuse("too_long", "At most 2000 bytes.") }
        // A backslash is a slash to some readers of URLs and a character to others.
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\\") }) else {
            throw refuse("bad_character", "Visible ASCII characters only, no backslash: an international name in its xn-- form.")
        }
        let scheme = text.prefix { $0 != ":" }.lowercased()
        guard text.dropFirst(scheme.count).hasPrefix("://"), scheme == "https" || allowsPrivate && scheme == "http" else {
            throw refuse("not_https", "It begins with https://.")
        }
        let rest = text.dropFirst(scheme.count + 3)
        guard !rest.contains("#") else { throw refuse("bad_format", "No fragment: it is never sent.") }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@") else { throw refuse("credentials_in_url", "No user or password: the signature tells who calls.") }
        let (host, port) = split(authority)
        guard let port, port == 443 || port == 80 || (1024...65535).contains(port) else {
            throw refuse("bad_port", "The port is 443, 80, or one from 1024.")
        }
        guard let host else { throw refuse("bad_format", "There is no host in it that is written as hosts are.") }
        guard allowsPrivate || isPublic(host) else {
            throw refuse("not_public", "The host is not one of the public internet, or its address is not written plainly.")
        }
    }

    /// Host in lower case, an IPv6 address with its brackets; and the port, 443 when there is none. `nil`: malformed.
    private static func split(_ authority: Substring) -> (host: String?, port: Int?) {
        let end = authority.hasPrefix("[") ? authority.firstIndex(of: "]").map(authority.index(after:)) : authority.firstIndex(of: ":")
        let host = authority[..<(end ?? authority.endIndex)].lowercased()
        let rest = authority[(end ?? authority.endIndex)...]
        let port: Int?
        if rest.isEmpty {
            port = 443
        } else {
            let digits = rest.dropFirst()
            port =
                rest.hasPrefix(":") && (1...5).contains(digits.count) && digits.utf8.allSatisfy { (48...57).contains($0) }
                ? Int(digits) : nil
        }
        if host.hasPrefix("[") {
            let literal = host.dropFirst().dropLast()
            return (host.hasSuffix("]") && literal.contains(":") && IPAddress(String(literal)) != nil ? host : nil, port)
        }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName =
            host.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 || $0 == 95 }
            }
        return (isName ? host : nil, port)
    }

    /// Names that lead nowhere outside, or are not unique there (RFC 6761, 6762, 7686, 8375, 9476).
    private static let privateSuffixes = [
        "localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa", "onion", "test", "invalid", "alt",
    ]

    private static func isPublic(_ host: String) -> Bool {
        if host.hasPrefix("[") { return IPAddress(String(host.dropFirst().dropLast()))?.isPublic ?? false }
        let labels = host.split(separator: ".")
        guard let last = labels.last, labels.count > 1 else { return false }
        // What ends in a number is an address to every reader of URLs, in whatever notation: only the plain one is taken.
        if last.utf8.allSatisfy({ (48...57).contains($0) }) || last.hasPrefix("0x") { return IPAddress(host)?.isPublic ?? false }
        return !privateSuffixes.contains(String(last))
    }
}
