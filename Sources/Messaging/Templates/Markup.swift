internal import Vocabulary

/// What a text is: in HTML nothing that a contact's fields say becomes a tag, an attribute or an entity.
public enum Markup: Sendable, Hashable {
    case plain, html

    /// A value as it stands in such a text: between tags and inside quoted attributes alike.
    ///
    /// In HTML it is brought to NFC before it is escaped and never together with what surrounds it: `>` and a value that
    /// begins with U+0338 would become `≯`, and the tag in front of it would no longer end.
    func written(_ value: String) -> String {
        guard self == .html else { return value }
        var text = String.UnicodeScalarView()
        for scalar in normalized(value).unicodeScalars {
            switch scalar {
            case "&": text.append(contentsOf: "&amp;".unicodeScalars)
            case "<": text.append(contentsOf: "&lt;".unicodeScalars)
            case ">": text.append(contentsOf: "&gt;".unicodeScalars)
            case "\"": text.append(contentsOf: "&quot;".unicodeScalars)
            case "'": text.append(contentsOf: "&#39;".unicodeScalars)
            default: text.append(scalar)
            }
        }
        return String(text)
    }
}
