/// Why a text is no template, and where: an offset in Unicode scalars.
struct TemplateFault: Error {
    let position: Int
    let code: String
    let detail: String
}

/// Cuts a text into what stands as it is and, inside of `{{ … }}` and `{% … %}`, into tokens.
struct TemplateLexer {
    enum Token: Hashable {
        /// `name { "." name }`; a name is a letter or `_`, then letters, digits, `_` or `-`.
        case path(String)
        /// In double or single quotes, with `\"`, `\'` and `\\`.
        case text(String)
        case number(String)
        /// One of `| : , ( ) == != < <= > >=`.
        case symbol(String)
        /// The end of the tag; with `-` in front of it, white space behind it goes.
        case close(trims: Bool)
        /// The text ended inside of the tag.
        case end
    }
    /// `{{`, `{{-`, `{%` or `{%-`.
    struct Opening {
        let start: Int
        let isBlock: Bool
        let trims: Bool
    }

    let scalars: [Unicode.Scalar]
    private(set) var position = 0
    /// Where the token that was read last begins.
    private(set) var start = 0
    private var closing = "}}"

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    // MARK: Outside of tags

    /// What stands as it is up to the next tag, and that tag; `nil` at the end of the text.
    mutating func literal() -> (text: String, opening: Opening?) {
        var text = String.UnicodeScalarView()
        while position < scalars.count {
            let isBlock = starts(with: "{%")
            if isBlock || starts(with: "{{") {
                let opening = Opening(start: position, isBlock: isBlock, trims: isScalar("-", at: position + 2))
                position += opening.trims ? 3 : 2
                closing = isBlock ? "%}" : "}}"
                return (String(text), opening)
            }
            text.append(scalars[position])
            position += 1
        }
        return (String(text), nil)
    }

    /// Passes over what follows, up to and with `{% word %}`. `nil`: there is none.
    mutating func skip(past word: String) -> (trims: Bool, ())? {
        while literal().opening != nil {
            do throws(TemplateFault) {
                if try next() == .path(word), case .close(let trims) = try next() { return (trims, ()) }
            } catch {
                continue
            }
        }
        return nil
    }

    /// Goes on behind a fault: after the end of the tag, or in front of the next one, which is not lost behind one that
    /// was never closed.
    mutating func recover() {
        while position < scalars.count, !starts(with: closing) {
            if starts(with: "{{") || starts(with: "{%") { return }
            position += 1
        }
        position = min(position + 2, scalars.count)
    }

    // MARK: Inside of tags

    mutating func next() throws(TemplateFault) -> Token {
        while let scalar = peek, scalar.properties.isWhitespace { position += 1 }
        start = position
        guard let scalar = peek else { return .end }
        if starts(with: "-" + closing) {
            position += 3
            return .close(trims: true)
        }
        if starts(with: closing) {
            position += 2
            return .close(trims: false)
        }
        switch scalar {
        case "\"", "'": return .text(try quoted())
        case "|", ":", ",", "(", ")": return symbol(1)
        case "=", "!":
            guard isScalar("=", at: position + 1) else { throw unexpected() }
            return symbol(2)
        case "<", ">": return symbol(isScalar("=", at: position + 1) ? 2 : 1)
        case "-", "0"..."9": return try number()
        default: return try path()
        }
    }

    private mutating func symbol(_ length: Int) -> Token {
        position += length
        return .symbol(text(from: start))
    }

    private mutating func quoted() throws(TemplateFault) -> String {
        let quote = scalars[position]
        position += 1
        var text = String.UnicodeScalarView()
        while let next = peek {
            position += 1
            if next == quote { return String(text) }
            if next == "\\", let escaped = peek, escaped == "\\" || escaped == "\"" || escaped == "'" {
                text.append(escaped)
                position += 1
            } else {
                text.append(next)
            }
        }
        position = start + 1
        throw TemplateFault(position: start, code: "template_unclosed", detail: "This text in quotes is never closed.")
    }

    private mutating func number() throws(TemplateFault) -> Token {
        position += 1
        while let next = peek, ("0"..."9").contains(next) || next == "." && isDigit(at: position + 1) { position += 1 }
        let text = text(from: start)
        guard text != "-", text.utf8.count <= 20, text.utf8.count(where: { $0 == UInt8(ascii: ".") }) <= 1, peek.map(isNameStart) != true
        else { throw unexpected() }
        return .number(text)
    }

    private mutating func path() throws(TemplateFault) -> Token {
        guard skipName() else { throw unexpected() }
        while peek == ".", position + 1 < scalars.count {
            position += 1
            guard skipName() else {
                throw TemplateFault(position: position, code: "template_unexpected", detail: "Expected a name behind the dot.")
            }
        }
        return .path(text(from: start))
    }

    private mutating func skipName() -> Bool {
        guard let first = peek, isNameStart(first) else { return false }
        position += 1
        while let next = peek, isNameStart(next) || next.properties.numericType != nil || next == "-" && !starts(with: "-" + closing) {
            position += 1
        }
        return true
    }

    func unexpected() -> TemplateFault {
        TemplateFault(position: start, code: "template_unexpected", detail: "`\(text(from: start, to: start + 1))` cannot stand here.")
    }

    // MARK: Characters and places

    private var peek: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }
    private func isScalar(_ scalar: Unicode.Scalar, at index: Int) -> Bool { index < scalars.count && scalars[index] == scalar }
    private func isDigit(at index: Int) -> Bool { index < scalars.count && ("0"..."9").contains(scalars[index]) }
    private func isNameStart(_ scalar: Unicode.Scalar) -> Bool { scalar == "_" || scalar.properties.isAlphabetic }

    private func starts(with text: String) -> Bool {
        var index = position
        for scalar in text.unicodeScalars {
            guard isScalar(scalar, at: index) else { return false }
            index += 1
        }
        return true
    }

    private func text(from start: Int, to end: Int? = nil) -> String {
        String(String.UnicodeScalarView(scalars[start..<min(end ?? position, scalars.count)]))
    }

    /// Lines and columns count from 1, columns in Unicode scalars.
    func place(_ offset: Int) -> String {
        let before = scalars[..<min(offset, scalars.count)]
        let line = before.count { $0 == "\n" } + 1
        let column = before.count - (before.lastIndex(of: "\n").map { $0 + 1 } ?? 0) + 1
        return "Line \(line), column \(column): "
    }
}
