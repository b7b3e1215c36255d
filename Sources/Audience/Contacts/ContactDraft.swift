// What is written of a contact, in the form in which it is stored.
public import JSON
public import Vocabulary
internal import Web

/// Members of a contact as the API takes them. `nil` outside: not mentioned; `.some(nil)`: made missing.
public struct ContactDraft: BodyDecodable, Sendable {
    public var texts: [String: String?] = [:]
    public var email: String??
    public var phone: String??
    /// The member of the workspace whose contact this is.
    public var assignedTo: UserID??
    public var tags: [String]?
    public var attributes: JSONObject?

    /// Columns of plain text.
    static let textColumns = ["external_id", "name", "first_name", "last_name", "status", "timezone", "country"]

    public static let schema: Schema = .object(
        textColumns.map { .optional($0, .nullable(.string(max: 255)), "Empty text or null is missing") } + [
            .optional("email", .nullable(.string(max: 254)), "Kept in lower case; unique in the workspace"),
            .optional("phone", .nullable(.string(max: 40)), "E.164, or national when the workspace has a default country"),
            .optional("assigned_to", .nullable(.string(format: "uuid")), "The member of the workspace whose contact this is"),
            .optional("tags", .array(.string(min: 1, max: 100), max: 100), "Replaces the tags"),
            .optional("attributes", .map(.any, max: 200), "Merged into the attributes; null removes a key"),
        ])

    public init(_ body: JSONObject) throws {
        var faults = Faults()
        for column in Self.textColumns {
            guard let value = body[column] else { continue }
            texts[column] = .some(value.string.flatMap(storedText))
        }
        if case .some(.some(let zone)) = texts["timezone"], !isZoneName(zone) {
            faults.add("/timezone", "bad_format", "Expected an IANA zone such as Europe/Berlin.")
        }
        if case .some(.some(let country)) = texts["country"], !isKnownCountry(country) {
            faults.add("/country", "bad_format", "Expected a country code of two capital letters.")
        }
        if let value = body["email"] {
            let text = value.string.flatMap(storedText)
            email = .some(text.flatMap { EmailAddress($0)?.description })
            if text != nil, email == .some(nil) { faults.add("/email", "bad_format", "This is not an e-mail address.") }
        }
        if let value = body["phone"] { phone = .some(value.string.flatMap(storedText)) }
        if let value = body["assigned_to"] { assignedTo = .some(value.string.flatMap { UserID($0) }) }
        if body["tags"] != nil { tags = Array(Set(body.strings("tags").compactMap(storedText))).sorted() }
        if let value = body["attributes"]?.object {
            // Size first: the look at each key compares it with all before it.
            if JSONValue.object(value).text.utf8.count > maximumAttributeBytes {
                faults.add("/attributes", "attributes_too_large", attributesTooLarge)
            } else {
                attributes = checked(value, "/attributes", 1, &faults)
            }
        }
        try faults.check()
    }

    /// Brings the phone number into E.164, which needs the workspace's country.
    mutating func normalizePhone(country: String?) throws {
        guard case .some(.some(let text)) = phone else { return }
        do {
            phone = .some(try phoneNumber(text, country: country).description)
        } catch {
            throw Problem.invalid("/phone", "bad_phone", error.detail)
        }
    }
}

/// JSON text that one write may bring; what is stored is bounded by `attributes_are_bounded`.
let maximumAttributeBytes = 65_536
let attributesTooLarge = "The contact's attributes would be too large together: one write has at most \(maximumAttributeBytes) bytes."

/// Text as it is stored: NFC, without blanks around it; `nil` when nothing is left.
func storedText(_ text: String) -> String? {
    var scalars = Substring(text).unicodeScalars[...]
    while let first = scalars.first, first.properties.isWhitespace { scalars = scalars.dropFirst() }
    while let last = scalars.last, last.properties.isWhitespace { scalars = scalars.dropLast() }
    let trimmed = String(String.UnicodeScalarView(scalars))
    return trimmed.isEmpty ? nil : normalizedNFC(trimmed)
}

/// Unicode normalisation form C. ASCII, most of what there is, is normal already.
func normalizedNFC(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
    return String(decoding: text._nfcCodeUnits, as: UTF8.self)
}

private func isZoneName(_ text: String) -> Bool {
    text.utf8.allSatisfy { (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || [43, 45, 47, 95].contains($0) }
}

/// Attributes within their limits: five deep, keys of 1 to 100 characters without dots, which join nested keys.
private func checked(_ object: JSONObject, _ pointer: String, _ depth: Int, _ faults: inout Faults) -> JSONObject {
    var result = JSONObject()
    for (key, value) in object {
        let place = jsonPointer(pointer, key)
        guard (1...100).contains(key.unicodeScalars.count), !key.contains("."), !key.contains("\0") else {
            faults.add(place, "bad_key", "A key has 1 to 100 characters and no dot.")
            continue
        }
        switch value {
        case .string(let text):
            if text.unicodeScalars.contains("\0") { faults.add(place, "bad_character", "The character U+0000 cannot be stored.") }
            if text.unicodeScalars.count > 10_000 { faults.add(place, "too_long", "At most 10000 characters.") }
            result[normalizedNFC(key)] = .string(normalizedNFC(text))
        case .object(let inner):
            if depth >= 5 { faults.add(place, "too_deep", "Attributes may be nested five deep.") }
            result[normalizedNFC(key)] = .object(depth < 5 ? checked(inner, place, depth + 1, &faults) : [:])
        case .array(let elements) where elements.contains { $0.object != nil || $0.array != nil }:
            faults.add(place, "wrong_type", "An array holds texts, numbers or booleans.")
        case .array(let elements):
            if elements.contains(where: { $0.string?.unicodeScalars.contains("\0") == true }) {
                faults.add(place, "bad_character", "The character U+0000 cannot be stored.")
            }
            result[normalizedNFC(key)] = .array(elements.map { $0.string.map { .string(normalizedNFC($0)) } ?? $0 })
        default: result[normalizedNFC(key)] = value
        }
    }
    return result
}
