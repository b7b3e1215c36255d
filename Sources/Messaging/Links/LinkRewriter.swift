// Addresses in texts, and what stands in their place. No I/O: whoever calls makes keys and keeps them.
internal import Vocabulary

struct LinkRewriter {
    /// Where the outside reaches us. Links of our own, such as those to unsubscribe, stay as they are.
    let publicURL: String
    /// Longer ones stay as they are.
    static let longest = 2000

    /// - Parameter key: for an address; the same one may be asked for twice.
    func shortURL(_ key: String) -> String { "\(publicURL)/l/\(key)" }
    func pixelURL(_ key: String) -> String { "\(publicURL)/o/\(key)" }

    /// Recipients reach a server that has a name or an address of its own; without one addresses stay as they are.
    var canServe: Bool {
        let host = publicURL.split(separator: "/", maxSplits: 2).last ?? ""
        return !["localhost", "127.", "[::1]", "0.0.0.0"].contains { host.hasPrefix($0) }
    }

    // MARK: Plain text

    /// The text of one message with its own short addresses, one for each different address.
    func plain(_ text: String) -> (text: String, links: [NewLink]) {
        guard canServe else { return (text, []) }
        var links: [NewLink] = []
        let written = plain(text) { url in Self.key(for: url, &links) }
        return (written, links)
    }

    /// The same of the HTML part of an e-mail, with the pixel. What links of the plain part are there already are used again.
    func html(_ html: String, besides links: [NewLink] = []) -> (html: String, links: [NewLink]) {
        guard canServe else { return (html, links) }
        var links = links
        let pixel = NewLink(nil)
        let written = self.html(html, pixel: pixel.key) { url in Self.key(for: url, &links) }
        return (written, links + [pixel])
    }

    /// A mail with short addresses in both parts, the same ones, and a pixel in its HTML. Its link to leave is ours and stays.
    func email(_ email: RenderedEmail) -> (email: RenderedEmail, links: [NewLink]) {
        guard canServe, !email.text.isEmpty else { return (email, []) }
        let (text, ofText) = plain(email.text)
        let parts = email.html.map { html($0, besides: ofText) }
        let rewritten = RenderedEmail(
            subject: email.subject, text: text, html: parts?.html, unsubscribeURL: email.unsubscribeURL, isTracked: true)
        return (rewritten, parts?.links ?? ofText)
    }

    /// As long as it will be.
    func counted(_ text: String) -> String { canServe ? plain(text) { _ in LinkKey.placeholder } : text }

    private static func key(for url: String, _ links: inout [NewLink]) -> String {
        if let link = links.first(where: { $0.url == url }) { return link.key }
        links.append(NewLink(url))
        return links[links.count - 1].key
    }

    /// Each address in a text by a short one.
    /// - Parameter key: makes the key for an address, as it is to be stored: ASCII, http or https.
    func plain(_ text: String, _ key: (String) -> String) -> String {
        let bytes = Array(text.utf8)
        var written: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard let end = addressEnd(bytes, from: index) else {
                written.append(bytes[index])
                index += 1
                continue
            }
            let address = Array(bytes[index..<end])
            if let url = stored(address) { written += shortURL(key(url)).utf8 } else { written += address }
            index = end
        }
        return String(decoding: written, as: UTF8.self)
    }

    /// Where the address ends that begins here; `nil`: none does. It reaches to white space or a mark that no address has;
    /// punctuation that ends the sentence, and a bracket that was opened before the address, are not of it.
    private func addressEnd(_ bytes: [UInt8], from start: Int) -> Int? {
        guard bytes[start] | 32 == UInt8(ascii: "h"), start == 0 || bytes[start - 1] >= 0x80 || !isWord(bytes[start - 1]) else {
            return nil
        }
        let scheme = bytes[start...].prefix(8).map { $0 | 32 }
        guard scheme.starts(with: "http".utf8), let colon = [4, 5].first(where: { bytes.dropFirst(start + $0).starts(with: "://".utf8) }),
            colon == 4 || scheme[4] == UInt8(ascii: "s")
        else { return nil }
        let host = start + colon + 3
        var end = host
        while end < bytes.count, !isEnd(bytes, end) { end += 1 }
        while end > host, isTrailing(bytes[host..<end]) { end -= 1 }
        return end > host && isWord(bytes[host]) ? end : nil
    }

    private func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte >= 0x80
    }
    private func isEnd(_ bytes: [UInt8], _ index: Int) -> Bool {
        switch bytes[index] {
        case 0...32, 127, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "`"): true
        // No-break space, and the spaces, dashes and quotation marks from U+2000 on.
        case 0xC2: index + 1 < bytes.count && bytes[index + 1] == 0xA0
        case 0xE2: index + 1 < bytes.count && bytes[index + 1] == 0x80
        default: false
        }
    }
    private func isTrailing(_ address: ArraySlice<UInt8>) -> Bool {
        func lacks(_ open: UInt8, _ close: UInt8) -> Bool { address.count { $0 == open } < address.count { $0 == close } }
        return switch address.last! {
        case UInt8(ascii: "."), UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: ":"), UInt8(ascii: "!"), UInt8(ascii: "?"),
            UInt8(ascii: "'"), UInt8(ascii: "*"):
            true
        case UInt8(ascii: ")"): lacks(UInt8(ascii: "("), UInt8(ascii: ")"))
        case UInt8(ascii: "]"): lacks(UInt8(ascii: "["), UInt8(ascii: "]"))
        case UInt8(ascii: "}"): lacks(UInt8(ascii: "{"), UInt8(ascii: "}"))
        default: false
        }
    }

    /// An address as it is followed later: printable ASCII, what lies beyond percent-encoded. `nil` for one that stays.
    func stored(_ address: [UInt8]) -> String? {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in address {
            if (33...126).contains(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        let lowered = bytes.prefix(8).map { (65...90).contains($0) ? $0 | 32 : $0 }
        guard let scheme = ["http://", "https://"].first(where: { lowered.starts(with: $0.utf8) }), bytes.count > scheme.utf8.count,
            bytes.count <= Self.longest
        else { return nil }
        let url = scheme + String(decoding: bytes.dropFirst(scheme.utf8.count), as: UTF8.self)
        return url == publicURL || url.hasPrefix(publicURL + "/") ? nil : url
    }

    // MARK: HTML

    /// The `href` of every `<a>` that leads to the web, but for those with the attribute `data-muster-no-track`, by short
    /// addresses; and the pixel at the end of the body.
    /// - Parameter pixel: its key; `nil` for none.
    func html(_ html: String, pixel: String?, _ key: (String) -> String) -> String {
        let bytes = Array(html.utf8)
        var written: [UInt8] = []
        var bodyEnd: Int?
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "<") {
                if let end = verbatimEnd(bytes, index) {
                    written += bytes[index..<end]
                    index = end
                    continue
                }
                if isTag("</body", bytes, index) { bodyEnd = written.count }
                if isTag("<a", bytes, index) {
                    let tag = HTMLTag(bytes, from: index)
                    if let href = tag.attributes.first(where: { $0.name == "href" }),
                        !tag.attributes.contains(where: { $0.name == "data-muster-no-track" }),
                        let url = stored(decoded(bytes[href.value]))
                    {
                        written += bytes[index..<href.value.lowerBound]
                        written += Markup.html.written(shortURL(key(url))).utf8
                        written += bytes[href.value.upperBound..<tag.end]
                    } else {
                        written += bytes[index..<tag.end]
                    }
                    index = tag.end
                    continue
                }
            }
            written.append(bytes[index])
            index += 1
        }
        if let pixel {
            let image = "<img src=\"\(Markup.html.written(pixelURL(pixel)))\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0\">"
            written.insert(contentsOf: image.utf8, at: bodyEnd ?? written.count)
        }
        return String(decoding: written, as: UTF8.self)
    }

    /// The end of a comment, a style sheet or a script that begins here: nothing in them is a tag.
    private func verbatimEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        func end(_ mark: String, from: Int) -> Int {
            var index = from
            while index < bytes.count {
                if isTag(mark, bytes, index, whole: false) { return index + mark.utf8.count }
                index += 1
            }
            return bytes.count
        }
        if bytes[start...].starts(with: "<!--".utf8) { return end("-->", from: start + 4) }
        if isTag("<style", bytes, start) { return end("</style", from: start + 6) }
        if isTag("<script", bytes, start) { return end("</script", from: start + 7) }
        return nil
    }

    private func isTag(_ name: String, _ bytes: [UInt8], _ start: Int, whole: Bool = true) -> Bool {
        var index = start
        for byte in name.utf8 {
            guard index < bytes.count, bytes[index] == byte || (97...122).contains(byte) && bytes[index] | 32 == byte else { return false }
            index += 1
        }
        guard whole, index < bytes.count else { return true }
        return bytes[index] <= 32 || bytes[index] == UInt8(ascii: ">") || bytes[index] == UInt8(ascii: "/")
    }

    /// The character references that an address may have in it.
    private func decoded(_ value: ArraySlice<UInt8>) -> [UInt8] {
        var text = String(decoding: value, as: UTF8.self)[...]
        var decoded = ""
        while let next = text.first {
            if next == "&", let known = Self.references.first(where: { text.hasPrefix($0.0) }) {
                decoded += known.1
                text = text.dropFirst(known.0.count)
            } else {
                decoded.append(next)
                text = text.dropFirst()
            }
        }
        return Array(trimmed(decoded).utf8)
    }
    private static let references: [(String, String)] = [
        ("&amp;", "&"), ("&quot;", "\""), ("&#39;", "'"), ("&apos;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#38;", "&"), ("&#x26;", "&"),
    ]
}

/// A tag with its attributes, as browsers read it (HTML, section 13.2.5), as far as that matters here.
private struct HTMLTag {
    private(set) var attributes: [(name: String, value: Range<Int>)] = []
    /// Behind `>`, or the end of the text.
    private(set) var end: Int

    init(_ bytes: [UInt8], from start: Int) {
        var index = start + 2
        func isSpace(_ index: Int) -> Bool { index < bytes.count && bytes[index] <= 32 }
        while index < bytes.count, bytes[index] != UInt8(ascii: ">") {
            guard !isSpace(index), bytes[index] != UInt8(ascii: "/") else {
                index += 1
                continue
            }
            let nameStart = index
            index += 1
            while index < bytes.count, !isSpace(index), ![UInt8(ascii: "="), UInt8(ascii: ">"), UInt8(ascii: "/")].contains(bytes[index]) {
                index += 1
            }
            let name = String(decoding: bytes[nameStart..<index], as: UTF8.self).lowercased()
            while isSpace(index) { index += 1 }
            guard index < bytes.count, bytes[index] == UInt8(ascii: "=") else {
                attributes.append((name, index..<index))
                continue
            }
            index += 1
            while isSpace(index) { index += 1 }
            guard index < bytes.count else { break }
            let quote = bytes[index]
            if quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
                let close = bytes[(index + 1)...].firstIndex(of: quote) ?? bytes.count
                attributes.append((name, (index + 1)..<close))
                index = min(close + 1, bytes.count)
            } else {
                let valueStart = index
                while index < bytes.count, !isSpace(index), bytes[index] != UInt8(ascii: ">") { index += 1 }
                attributes.append((name, valueStart..<index))
            }
        }
        end = min(index + 1, bytes.count)
    }
}
