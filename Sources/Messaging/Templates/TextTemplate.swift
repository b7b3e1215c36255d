// Texts with variables, conditions and loops: `Hi {{ first_name | default: "there" }}`. docs/templates.md is the manual.
public import JSON
internal import Vocabulary

/// A parsed text. It reads the contact and nothing else, runs no code, and ends within bounds whatever it says.
public struct TextTemplate: Sendable, Hashable {
    public let markup: Markup
    private let nodes: [TemplateNode]

    /// - Parameter markup: what the text is; in HTML everything that `{{ … }}` writes is escaped.
    /// - Throws: every fault of the text, each with its line and column.
    public init(_ text: String, markup: Markup = .plain) throws(Faults) {
        var parser = TemplateParser(text)
        nodes = try parser.parse()
        self.markup = markup
    }

    /// The fields of contacts that it reads, each once, with whether it does without: every use has a default, or stands
    /// in a condition or behind one that asks for the field.
    public var variables: [(variable: TemplateVariable, hasFallback: Bool)] {
        var reads = TemplateReads()
        reads.read(nodes)
        return reads.found
    }

    /// The text for one contact, in NFC, trimmed at both ends. Empty when nothing is left.
    /// - Parameter contact: an object with the built-in fields and `attributes`.
    /// - Returns: `nil` when it would be too long or take too long (`TemplateRenderer` has the bounds).
    public func text(for contact: JSONValue) -> String? {
        var renderer = TemplateRenderer(contact, markup)
        do { try renderer.render(nodes) } catch { return nil }
        // HTML was brought to NFC piece by piece, and must stay so: see Markup.
        return markup == .plain ? normalized(trimmed(renderer.text)) : trimmed(renderer.text)
    }

    /// The same; empty also beyond bounds.
    public func render(_ contact: JSONValue) -> String { text(for: contact) ?? "" }
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

    /// What it says of a contact; `nil` where there is nothing.
    func value(in contact: JSONValue) -> JSONValue? {
        guard let attribute else { return contact[description] }
        guard let attributes = contact["attributes"] else { return nil }
        if let value = attributes[attribute] { return value }
        // `attributes.home.city` may also be a member of a member.
        var value = attributes
        for part in attribute.split(separator: ".") {
            guard let next = value[String(part)] else { return nil }
            value = next
        }
        return value
    }
}
