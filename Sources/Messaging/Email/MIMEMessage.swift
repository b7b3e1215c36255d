// A mail as it travels: RFC 5322 with MIME (RFC 2045 to 2047). Pure.
internal import Secrets
internal import Vocabulary

/// One mail for one recipient. Whatever its texts hold, no header is begun that is not here, and each line is short enough
/// for every server.
struct MIMEMessage {
    let from: EmailOrigin
    let to: String
    /// Without its brackets.
    let id: String
    let date: Instant
    let email: RenderedEmail

    /// With CR LF throughout.
    var bytes: [UInt8] {
        var lines = [
            field("Date", [rfc2822(date)]), field("Message-ID", ["<\(oneLine(id))>"]),
            field("From", phrase(from.name) + ["<\(oneLine(from.address))>"]), field("To", ["<\(oneLine(to))>"]),
        ]
        if let replyTo = from.replyTo { lines.append(field("Reply-To", ["<\(oneLine(replyTo))>"])) }
        lines += [
            field("Subject", words(of: email.subject)), field("MIME-Version", ["1.0"]),
            // RFC 8058: mailboxes show a button that leaves without a page.
            field("List-Unsubscribe", ["<\(oneLine(email.unsubscribeURL))>"]),
            field("List-Unsubscribe-Post", ["List-Unsubscribe=One-Click"]),
        ]
        let text = part("text/plain", email.text)
        if let html = email.html {
            lines.append("Content-Type: multipart/alternative; boundary=\"\(Self.boundary)\"\r\n")
            // The last is the best that a reader can show (RFC 2046, section 5.1.4).
            for part in [text, part("text/html", html)] { lines.append("\r\n--\(Self.boundary)\r\n\(part)") }
            lines.append("\r\n--\(Self.boundary)--\r\n")
        } else {
            lines.append(text)
        }
        return Array(lines.joined().utf8)
    }

    /// In quoted-printable `=` is followed by digits or the end of a line, so this is in no part.
    private static let boundary = "=_muster"

    private func part(_ type: String, _ content: String) -> String {
        "Content-Type: \(type); charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\(quotedPrintable(content))"
    }
}

/// A header, folded between its words so that lines have at most 78 characters wherever words allow.
private func field(_ name: String, _ words: [String]) -> String {
    var line = name + ":"
    var text = ""
    for word in words {
        if line.utf8.count + 1 + word.utf8.count > 78, line != name + ":" {
            text += line + "\r\n"
            line = ""
        }
        line += " " + word
    }
    return text + line + "\r\n"
}

/// The name beside an address: as it is, in quotes, or encoded.
private func phrase(_ name: String?) -> [String] {
    guard let name = name.map(oneLine), !name.isEmpty else { return [] }
    guard name.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), !name.contains("=?"), name.utf8.count <= 70 else {
        return encodedWords(name)
    }
    let isAtoms = name.utf8.allSatisfy {
        (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 0x20 || $0 == UInt8(ascii: "-")
    }
    if isAtoms, !name.contains("  ") { return [name] }
    return ["\"" + name.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] } + "\""]
}

/// A text in a header: its words where it is plain ASCII, else encoded.
private func words(of text: String) -> [String] {
    let text = oneLine(text)
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    let isPlain =
        text.utf8.allSatisfy { (0x20...0x7E).contains($0) } && !text.contains("=?") && words.allSatisfy { (1...70).contains($0.utf8.count) }
    return isPlain ? words : encodedWords(text)
}

/// RFC 2047 in base 64: each word at most 75 characters, none splits a character.
func encodedWords(_ text: String) -> [String] {
    // 39 bytes are 52 characters; `=?utf-8?B?` and `?=` are 12 more, and there is room for a header's name before them.
    var words: [[UInt8]] = [[]]
    for scalar in text.unicodeScalars {
        let bytes = Array(String(scalar).utf8)
        if words[words.count - 1].count + bytes.count > 39 { words.append([]) }
        words[words.count - 1] += bytes
    }
    return words.map { "=?utf-8?B?\(base64Encode($0))?=" }
}

/// RFC 2045, section 6.7: lines of at most 76 characters, CR LF where the text has a line break of any kind.
func quotedPrintable(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    var bytes = Array(text.utf8)
    // CR LF and CR are LF.
    if bytes.contains(13) {
        var plain: [UInt8] = []
        for (index, byte) in bytes.enumerated() where !(byte == 10 && index > 0 && bytes[index - 1] == 13) {
            plain.append(byte == 13 ? 10 : byte)
        }
        bytes = plain
    }
    var length = 0
    for (index, byte) in bytes.enumerated() {
        if byte == 10 {
            out += [13, 10]
            length = 0
            continue
        }
        let isLast = index + 1 == bytes.count || bytes[index + 1] == 10
        // White space at the end of a line would be lost on the way.
        let isPlain = (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "=") || (byte == 32 || byte == 9) && !isLast
        let piece = isPlain ? [byte] : [UInt8(ascii: "="), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        // The soft break itself needs a place, unless the line ends here.
        if length + piece.count > (isLast ? 76 : 75) {
            out += [UInt8(ascii: "="), 13, 10]
            length = 0
        }
        out += piece
        length += piece.count
    }
    return String(decoding: out, as: UTF8.self)
}
