internal import JSON

/// Reads a text once, left to right; goes on behind a fault so that all are told at once.
///
///     text     = { literal | "{{" value { "|" filter } "}}" }
///     value    = path | string
///     filter   = "default" ":" string | "upcase" | "downcase" | "capitalize" | "trim"
///     path     = name { "." name }       name = letter or "_", then letters, digits, "_" or "-"
///     string   = '"' … '"' with \" and \\, or the same with single quotes
struct TemplateParser {
    private let scalars: [Unicode.Scalar]
    private var position = 0
    private var faults = Faults()

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    mutating func parse() throws(Faults) -> [TextTemplate.Piece] {
        var pieces: [TextTemplate.Piece] = []
        var literal = String.UnicodeScalarView()
        while position < scalars.count {
            guard starts(with: "{{") else {
                literal.append(scalars[position])
                position += 1
                continue
            }
            if !literal.isEmpty { pieces.append(.literal(String(literal))) }
            literal = String.UnicodeScalarView()
            let start = position
            position += 2
            do throws(Stop) {
                pieces.append(try expression(from: start))
            } catch {
                faults.add("", error.code, place(error.position) + error.detail)
                skipToEnd()
            }
        }
        if !literal.isEmpty { pieces.append(.literal(String(literal))) }
        try faults.check()
        return pieces
    }

    private struct Stop: Error {
        let position: Int
        let code: String
        let detail: String
    }

    private mutating func expression(from start: Int) throws(Stop) -> TextTemplate.Piece {
        skipSpace()
        let piece: TextTemplate.Piece
        if let quote = peek, quote == "\"" || quote == "'" {
            let text = try string()
            piece = .quoted(text, try filters(start))
        } else {
            let path = try path(start)
            piece = .variable(TemplateVariable(path), try filters(start))
        }
        return piece
    }

    private mutating func filters(_ start: Int) throws(Stop) -> [TextTemplate.Filter] {
        var filters: [TextTemplate.Filter] = []
        while true {
            skipSpace()
            if starts(with: "}}") {
                position += 2
                return filters
            }
            guard let next = peek else { throw unclosed(start) }
            guard next == "|" else {
                throw Stop(position: position, code: "template_unexpected", detail: "Expected | or }} here, found \(shown(next)).")
            }
            position += 1
            filters.append(try filter(start))
        }
    }

    private mutating func filter(_ start: Int) throws(Stop) -> TextTemplate.Filter {
        skipSpace()
        let at = position
        let name = word()
        switch name {
        case "upcase": return .upcase
        case "downcase": return .downcase
        case "capitalize": return .capitalize
        case "trim": return .trim
        case "default":
            skipSpace()
            guard peek == ":" else {
                throw Stop(position: position, code: "template_bad_argument", detail: "`default` is written default: \"text\".")
            }
            position += 1
            skipSpace()
            guard peek == "\"" || peek == "'" else {
                throw Stop(position: position, code: "template_bad_argument", detail: "`default` takes a text in quotes.")
            }
            return .fallback(try string())
        case "":
            if position >= scalars.count { throw unclosed(start) }
            throw Stop(position: at, code: "template_unexpected", detail: "Expected the name of a filter behind |.")
        default:
            throw Stop(
                position: at, code: "template_unknown_filter",
                detail: "There is no filter `\(name.prefix(50))`; there are default, upcase, downcase, capitalize and trim.")
        }
    }

    private mutating func path(_ start: Int) throws(Stop) -> String {
        let at = position
        var path = word()
        while !path.isEmpty, peek == ".", position + 1 < scalars.count {
            position += 1
            let part = word()
            guard !part.isEmpty else {
                throw Stop(position: position, code: "template_unexpected", detail: "Expected a name behind the dot.")
            }
            path += "." + part
        }
        guard !path.isEmpty else {
            if position >= scalars.count { throw unclosed(start) }
            throw Stop(
                position: at, code: starts(with: "}}") ? "template_empty_variable" : "template_unexpected",
                detail: "Expected the name of a variable, such as first_name or attributes.city.")
        }
        return path
    }

    private mutating func word() -> String {
        var word = String.UnicodeScalarView()
        while let next = peek {
            let isFirst = word.isEmpty
            guard
                next == "_" || next.properties.isAlphabetic
                    || !isFirst && (next == "-" || next.properties.numericType != nil)
            else { break }
            word.append(next)
            position += 1
        }
        return String(word)
    }

    private mutating func string() throws(Stop) -> String {
        let start = position
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
        throw Stop(position: start, code: "template_unclosed", detail: "This text in quotes is never closed.")
    }

    // MARK: Characters and places

    private var peek: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private func starts(with pair: String) -> Bool {
        position + 2 <= scalars.count && scalars[position..<(position + 2)].elementsEqual(pair.unicodeScalars)
    }

    private mutating func skipSpace() {
        while let next = peek, next.properties.isWhitespace { position += 1 }
    }

    private mutating func skipToEnd() {
        while position < scalars.count, !starts(with: "}}") {
            // The next variable is not lost behind one that was never closed.
            if starts(with: "{{") { return }
            position += 1
        }
        position = min(position + 2, scalars.count)
    }

    private func unclosed(_ start: Int) -> Stop {
        Stop(position: start, code: "template_unclosed", detail: "This {{ is never closed with }}.")
    }

    private func shown(_ scalar: Unicode.Scalar) -> String { "`\(scalar)`" }

    /// Lines and columns count from 1, columns in Unicode scalars.
    private func place(_ offset: Int) -> String {
        let before = scalars[..<min(offset, scalars.count)]
        let line = before.count { $0 == "\n" } + 1
        let column = before.count - (before.lastIndex(of: "\n").map { $0 + 1 } ?? 0) + 1
        return "Line \(line), column \(column): "
    }
}

extension Faults {
    /// The same faults, found at `pointer` of a larger whole.
    func moved(to pointer: String) -> Faults {
        var moved = Faults()
        for fault in list { moved.add(pointer + fault.pointer, fault.code, fault.detail) }
        return moved
    }
}
