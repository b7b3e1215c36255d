// A mail as its author wrote it, and as somebody gets it.
internal import JSON
internal import Vocabulary

/// The parsed texts of a campaign by e-mail.
///
/// By law and by the rules of mailboxes each mail names a postal address and a way to leave (15 USC 7704(a)(5); RFC 8058).
/// Both stand at the foot of each part, unless the part says them itself, mostly by `{{ postal_address }}` and
/// `{{ unsubscribe_url }}`: what counts is what somebody gets, not what a branch for others would have said.
struct EmailTemplate {
    let subject: TextTemplate
    let text: TextTemplate
    let html: TextTemplate?
    let preheader: TextTemplate?
    private let postalAddress: String

    /// Names that are not fields of contacts.
    static let ownVariables: Set<String> = ["unsubscribe_url", "postal_address"]

    /// - Throws: the faults of each text, at the member that it is.
    init(subject: String, text: String, html: String?, preheader: String?, postalAddress: String) throws(Faults) {
        func parsed(_ text: String, _ pointer: String, _ markup: Markup = .plain) throws(Faults) -> TextTemplate {
            do { return try TextTemplate(text, markup: markup) } catch { throw error.moved(to: pointer) }
        }
        self.subject = try parsed(subject, "/subject")
        self.text = try parsed(text, "/body")
        if let html { self.html = try parsed(html, "/html", .html) } else { self.html = nil }
        // It stands in the HTML, so what it says is escaped, its own characters too.
        if let preheader { self.preheader = try parsed(preheader, "/preheader") } else { self.preheader = nil }
        self.postalAddress = trimmed(postalAddress)
    }

    init(_ parts: EmailParts) throws(Faults) {
        try self.init(
            subject: parts.subject ?? "", text: parts.body, html: parts.html, preheader: parts.preheader,
            postalAddress: parts.postalAddress ?? "")
    }

    /// All templates, each with the member that it came from.
    var all: [(pointer: String, template: TextTemplate)] {
        [("/subject", subject), ("/body", text)] + (preheader.map { [("/preheader", $0)] } ?? []) + (html.map { [("/html", $0)] } ?? [])
    }

    var readsContact: Bool { all.contains { !$0.template.variables.isEmpty } }

    /// - Parameter contact: as `TextTemplate.render` reads it.
    func render(_ contact: JSONValue, unsubscribeURL: String) -> RenderedEmail {
        let fields = contact.adding(["unsubscribe_url": .string(unsubscribeURL), "postal_address": .string(postalAddress)])
        func written(_ template: TextTemplate?) -> String? { template.map { $0.text(for: fields) } ?? "" }
        guard let subject = written(subject), var plain = written(text), let rich = written(html), let preheader = written(preheader) else {
            return RenderedEmail(subject: "", text: "", html: nil, unsubscribeURL: unsubscribeURL, isOverflow: true)
        }
        let isEmpty = plain.isEmpty
        let foot =
            (says(postalAddress, in: plain) ? [] : [postalAddress])
            + (plain.contains(unsubscribeURL) ? [] : ["Unsubscribe: \(unsubscribeURL)"])
        if !foot.isEmpty { plain += "\n\n" + foot.joined(separator: "\n") }
        return RenderedEmail(
            subject: oneLine(subject), text: isEmpty ? "" : plain + "\n",
            html: html.map { _ in rich.isEmpty ? "" : completed(rich, preheader: preheader, unsubscribeURL) },
            unsubscribeURL: unsubscribeURL)
    }

    /// Whatever the line breaks between its words.
    private func says(_ words: String, in text: String) -> Bool {
        func joined(_ text: String) -> String { text.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        return words.isEmpty || joined(text).contains(joined(words))
    }

    /// The HTML with a preheader in front that nobody sees opened, and the foot.
    private func completed(_ html: String, preheader: String, _ unsubscribeURL: String) -> String {
        let seen = html
        var html = html
        if !preheader.isEmpty {
            let hidden = "<div style=\"display:none;max-height:0;overflow:hidden\">\(Markup.html.written(oneLine(preheader)))</div>"
            html.insert(contentsOf: hidden, at: endOfTag("<body", in: html) ?? html.startIndex)
        }
        var foot: [String] = []
        let (address, url) = (Markup.html.written(postalAddress), Markup.html.written(unsubscribeURL))
        if !says(address, in: seen) { foot.append(address.split(separator: "\n").joined(separator: "<br>")) }
        // SendGrid leaves it alone then: whoever leaves should not be followed.
        if !seen.contains(url) { foot.append("<a href=\"\(url)\" clicktracking=\"off\">Unsubscribe</a>") }
        if !foot.isEmpty {
            let paragraph = "<p style=\"font-size:12px;color:#666\">\(foot.joined(separator: "<br>"))</p>"
            html.insert(contentsOf: paragraph, at: start(of: "</body", in: html) ?? html.endIndex)
        }
        return html
    }
}

/// A mail for one address.
struct RenderedEmail {
    /// One line; empty when nothing is left.
    let subject: String
    /// Empty when nothing is left of what its author wrote.
    let text: String
    let html: String?
    let unsubscribeURL: String
    /// A part reached a bound of `TemplateRenderer`.
    var isOverflow = false
    /// It has our own links and pixel.
    var isTracked = false

    /// RFC 5322's longest line, and what most mailboxes still show whole.
    static let longestSubject = 998
    static let mostBytes = 204_800

    /// Why it cannot be sent, as messages are skipped.
    var refusal: String? {
        if isOverflow { return "template_failed" }
        if subject.isEmpty || text.isEmpty || html?.isEmpty == true { return "empty_text" }
        let isTooLong = subject.utf8.count > Self.longestSubject || text.utf8.count + (html?.utf8.count ?? 0) > Self.mostBytes
        return isTooLong ? "text_too_long" : nil
    }
}

extension JSONValue {
    /// A contact that says something more, as attributes do.
    fileprivate func adding(_ values: JSONObject) -> JSONValue {
        var contact = object ?? JSONObject()
        var attributes = contact["attributes"]?.object ?? JSONObject()
        for (name, value) in values { attributes[name] = value }
        contact["attributes"] = .object(attributes)
        return .object(contact)
    }
}

/// Without line breaks or other control characters, which would begin another header.
func oneLine(_ text: String) -> String {
    let words = text.unicodeScalars.split { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || $0 == "\u{2028}" || $0 == "\u{2029}" }
    return trimmed(words.map { String($0) }.joined(separator: " "))
}

/// Where ASCII text begins for the last time, whatever the case of its letters.
private func start(of needle: String, in text: String) -> String.Index? {
    let (bytes, wanted) = (Array(text.utf8), Array(needle.utf8))
    guard bytes.count >= wanted.count else { return nil }
    for start in stride(from: bytes.count - wanted.count, through: 0, by: -1) {
        if zip(bytes[start...], wanted).allSatisfy({ lower($0) == $1 }) { return text.utf8.index(text.startIndex, offsetBy: start) }
    }
    return nil
}

/// Behind the first tag that begins so.
private func endOfTag(_ needle: String, in text: String) -> String.Index? {
    let (bytes, wanted) = (Array(text.utf8), Array(needle.utf8))
    guard bytes.count > wanted.count else { return nil }
    for start in 0..<(bytes.count - wanted.count) where zip(bytes[start...], wanted).allSatisfy({ lower($0) == $1 }) {
        guard let end = bytes[start...].firstIndex(of: UInt8(ascii: ">")) else { return nil }
        return text.utf8.index(text.startIndex, offsetBy: end + 1)
    }
    return nil
}

private func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }
