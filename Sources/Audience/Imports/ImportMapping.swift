// Which column fills what.
public import JSON

/// Where a cell goes.
public enum ImportTarget: Sendable, Hashable {
    case externalID, email, phone, tags
    /// A column of plain text of `contacts`.
    case text(String)
    case attribute(String)

    var attributeKey: String? { if case .attribute(let key) = self { key } else { nil } }
}

/// The targets of a file's columns. `nil`: the column is left out.
public struct ImportMapping: Sendable {
    public let columns: [(name: String, target: ImportTarget?)]

    /// The built-in fields that a file can fill, in the order of the staging table.
    static let textColumns = ["name", "first_name", "last_name", "status", "timezone", "country"]

    /// - Parameters:
    ///   - header: the column names.
    ///   - mapping: `{"Column": "field" | "attributes.key" | null}`; columns that it does not name go by their name:
    ///     `email`, `Email` and `First Name` fill built-in fields, unless another column does so more exactly.
    /// - Throws: `CSVUnreadable` for the first column that cannot be placed.
    public init(header: [String], mapping: JSONObject?) throws {
        var columns: [(name: String, target: ImportTarget?)] = []
        var seen: Set<ImportTarget> = []
        for name in mapping?.keys ?? [] where !header.contains(name) {
            throw CSVUnreadable(code: "missing_column", detail: "The mapping names the column \(quoted(name)), which the file lacks.")
        }
        for name in header {
            var target: ImportTarget?
            switch mapping?[name] {
            case .some(.string(let field)):
                guard let mapped = ImportMapping.target(field) else {
                    throw CSVUnreadable(
                        code: "unknown_field", detail: "The column \(quoted(name)) is mapped to \(quoted(field)), which is no field.")
                }
                target = mapped
            case .some: target = nil
            case nil:
                if name.isEmpty {
                    throw CSVUnreadable(code: "empty_column_name", detail: "Column \(columns.count + 1) has no name.")
                }
                let similar = plain(name)
                target =
                    ImportMapping.target(name)
                    ?? (header.contains(similar) ? nil : ImportMapping.target(similar)) ?? .attribute(attributeKey(name))
            }
            if let target, !seen.insert(target).inserted {
                throw CSVUnreadable(code: "duplicate_column", detail: "Two columns fill the same field; the second is \(quoted(name)).")
            }
            columns.append((name, target))
        }
        guard seen.contains(.externalID) || seen.contains(.email) || seen.contains(.phone) else {
            throw CSVUnreadable(
                code: "missing_column", detail: "No column fills external_id, email or phone, so rows cannot be told apart.")
        }
        self.columns = columns
    }

    private static func target(_ field: String) -> ImportTarget? {
        switch field {
        case "external_id": .externalID
        case "email": .email
        case "phone": .phone
        case "tags": .tags
        case _ where textColumns.contains(field): .text(field)
        case _ where field.hasPrefix("attributes.") && field.utf8.count > 11: .attribute(attributeKey(String(field.dropFirst(11))))
        default: nil
        }
    }
}

/// Dots join nested keys, so a column name loses its own; the rest stays as it is written.
private func attributeKey(_ name: String) -> String {
    var key = String.UnicodeScalarView()
    for scalar in normalizedNFC(name).unicodeScalars.prefix(100) { key.append(scalar == "." ? "_" : scalar) }
    return String(key)
}

/// A column name as a field would be written.
private func plain(_ name: String) -> String {
    String(name.lowercased().map { $0 == " " || $0 == "-" ? "_" : $0 })
}

func quoted(_ text: String) -> String { "\u{201C}\(text.prefix(60))\u{201D}" }
