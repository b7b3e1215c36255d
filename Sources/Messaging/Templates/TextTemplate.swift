// Texts with variables: `Hi {{ first_name | default: "there" }}`.
public import JSON
internal import Vocabulary

/// A parsed text. What it cannot say (conditions, loops, code) it cannot do: rendering always ends and never fails.
public struct TextTemplate: Sendable, Hashable {
    public indirect enum Piece: Sendable, Hashable {
        case literal(String)
        case variable(TemplateVariable, [Filter])
        /// `{{ "{{" }}` writes what would otherwise begin a variable.
        case quoted(String, [Filter])
    }
    public enum Filter: Sendable, Hashable {
        case fallback(String)
        case upcase, downcase, capitalize, trim
    }

    public let pieces: [Piece]
    public let markup: Markup

    /// - Parameter markup: what the text is; in HTML everything that `{{ … }}` writes is escaped.
    /// - Throws: every fault of the text, each with its line and column.
    public init(_ text: String, markup: Markup = .plain) throws(Faults) {
        var parser = TemplateParser(text)
        pieces = try parser.parse()
        self.markup = markup
    }

    /// The variables it reads, each once, with whether every use of it says what to write when there is none.
    public var variables: [(variable: TemplateVariable, hasFallback: Bool)] {
        var found: [(variable: TemplateVariable, hasFallback: Bool)] = []
        for case .variable(let variable, let filters) in pieces {
            let hasFallback = filters.contains { if case .fallback = $0 { true } else { false } }
            if let index = found.firstIndex(where: { $0.variable == variable }) {
                found[index].hasFallback = found[index].hasFallback && hasFallback
            } else {
                found.append((variable, hasFallback))
            }
        }
        return found
    }

    /// The text for one contact, in NFC, trimmed at both ends. Empty when nothing is left.
    /// - Parameter contact: an object with the built-in fields and `attributes`.
    public func render(_ contact: JSONValue) -> String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .literal(let literal): text += literal
            case .quoted(let literal, let filters): text += markup.written(TextTemplate.apply(filters, to: literal))
            case .variable(let variable, let filters):
                text += markup.written(TextTemplate.apply(filters, to: variable.text(in: contact)))
            }
        }
        return markup == .plain ? normalized(trimmed(text)) : trimmed(text)
    }

    private static func apply(_ filters: [Filter], to text: String) -> String {
        filters.reduce(text) { text, filter in
            switch filter {
            // Blank counts as missing: nobody wants to read "Hi  ,".
            case .fallback(let fallback): trimmed(text).isEmpty ? fallback : text
            case .upcase: text.uppercased()
            case .downcase: text.lowercased()
            case .capitalize: text.prefix(1).uppercased() + text.dropFirst()
            case .trim: trimmed(text)
            }
        }
    }
}

/// A field of a contact: a built-in one or an attribute.
public struct TemplateVariable: Sendable, Hashable, CustomStringConvertible {
    /// Fields that every contact has.
    public static let builtIns: [String] = [
        "email", "phone", "name", "first_name", "last_name", "external_id", "status", "timezone", "country", "tags",
    ]
    /// `name`, or `attributes.city` however it was written.
    public let description: String
    private let attribute: String?

    init(_ path: String) {
        if path.hasPrefix("attributes.") {
            description = path
            attribute = String(path.dropFirst("attributes.".count))
        } else if TemplateVariable.builtIns.contains(path) {
            description = path
            attribute = nil
        } else {
            description = "attributes." + path
            attribute = path
        }
    }

    /// The attribute's key; `nil` for a built-in field.
    public var attributeKey: String? { attribute }

    /// What it says of a contact; empty where there is nothing.
    func text(in contact: JSONValue) -> String {
        guard let attribute else { return TemplateVariable.text(contact[description]) }
        guard let attributes = contact["attributes"] else { return "" }
        if let value = attributes[attribute] { return TemplateVariable.text(value) }
        // `attributes.home.city` may also be a member of a member.
        var value = attributes
        for part in attribute.split(separator: ".") {
            guard let next = value[String(part)] else { return "" }
            value = next
        }
        return TemplateVariable.text(value)
    }

    private static func text(_ value: JSONValue?) -> String {
        switch value {
        case .string(let text): text
        case .integer(let number): String(number)
        case .real(let number): number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
        case .bool(let truth): truth ? "true" : "false"
        case .array(let values): values.map { text($0) }.joined(separator: ", ")
        case .null, .object, nil: ""
        }
    }
}
