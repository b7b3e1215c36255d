// Values as rules read them, said once more and plainly.
import Foundation
import JSON
import Vocabulary

func naiveLower(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { scalar in
                // Simple lower-casing: one character becomes one. The full mapping of İ alone has two.
                scalar == "\u{130}" ? "i" : scalar.properties.lowercaseMapping.unicodeScalars.first!
            }))
}

func naiveText(_ value: JSONValue?) -> String? {
    switch value {
    case .string(let text): text.isEmpty ? nil : text
    case .bool(let truth): truth ? "true" : "false"
    case .integer, .real: NaiveDecimal(value)!.description
    default: nil
    }
}

func naiveText(_ text: String, _ op: String, _ wanted: JSONValue, _ lower: Bool) -> Bool {
    // Nobody's domain depends on case.
    let lower = lower || op == "domain_is"
    func fold(_ text: String) -> [Unicode.Scalar] {
        Array((lower ? naiveLower(text) : text).precomposedStringWithCanonicalMapping.unicodeScalars)
    }
    let whole = Array(text.unicodeScalars)
    func string(_ scalars: [Unicode.Scalar]) -> String { String(String.UnicodeScalarView(scalars)) }
    let text = fold(text)
    let list = (wanted.array ?? [wanted]).compactMap(\.string).map(fold)
    func contains(_ part: [Unicode.Scalar]) -> Bool {
        text.count >= part.count && (0...(text.count - part.count)).contains { Array(text[$0..<($0 + part.count)]) == part }
    }
    return switch op {
    case "is", "is_any_of": list.contains { $0 == text }
    case "contains", "contains_any_of": list.contains(where: contains)
    case "contains_all_of": list.allSatisfy(contains)
    case "starts_with": Array(text.prefix(list[0].count)) == list[0]
    case "ends_with": Array(text.suffix(list[0].count)) == list[0]
    case "domain_is":
        // What stands between the first at sign and the next.
        list.map { $0.first == "@" ? Array($0.dropFirst()) : $0 }
            .contains(Array(text.drop { $0 != "@" }.dropFirst().prefix { $0 != "@" }))
    case "country_is": (wanted.array ?? [wanted]).contains { $0.string?.uppercased() == naiveCountry(string(text)) }
    case "matches":
        try! NSRegularExpression(pattern: wanted.string!, options: lower ? [.caseInsensitive] : [])
            .firstMatch(in: string(whole), range: NSRange(string(whole).startIndex..., in: string(whole))) != nil
    default: false
    }
}

func naiveBoolean(_ value: JSONValue?) -> Bool? {
    switch value {
    case .bool(let truth): truth
    case .string(let text): ["true": true, "yes": true, "1": true, "false": false, "no": false, "0": false][text.lowercased()]
    case .integer, .real: ["1": true, "0": false][NaiveDecimal(value)!.description]
    default: nil
    }
}

func naiveTags(_ value: JSONValue?) -> [String]? {
    guard let elements = value?.array else { return nil }
    let texts = elements.compactMap(\.string)
    return texts.count == elements.count ? texts : nil
}

func naiveTags(_ tags: [String]?, _ op: String, _ wanted: JSONValue, _ lower: Bool) -> Bool {
    let count = tags?.count ?? 0
    if op == "is_empty" { return count == 0 }
    if op == "size" { return naiveCount(count, wanted) }
    guard let tags else { return false }
    func fold(_ texts: [String]) -> Set<[Unicode.Scalar]> {
        Set(texts.map { Array((lower ? naiveLower($0) : $0).precomposedStringWithCanonicalMapping.unicodeScalars) })
    }
    let (own, list) = (fold(tags), fold(wanted.array?.compactMap(\.string) ?? []))
    return switch op {
    case "has_any_of": !own.isDisjoint(with: list)
    case "has_all_of": list.isSubset(of: own)
    case "is_exactly": own == list
    default: false
    }
}

func naiveCount(_ count: Int, _ wanted: JSONValue) -> Bool {
    let (key, value) = (wanted.object!.keys[0], wanted.object!.map(\.value)[0])
    return switch key {
    case "is": count == value.integer!
    case "at_least": count >= value.integer!
    case "at_most": count <= value.integer!
    case "more_than": count > value.integer!
    case "less_than": count < value.integer!
    default: count >= value.array![0].integer! && count <= value.array![1].integer!
    }
}

/// Of the numbers that the test makes up.
private func naiveCountry(_ phone: String) -> String? {
    let countries = ["+1204": "CA", "+1212": "US", "+1876": "JM", "+49": "DE", "+44": "GB"]
    return countries.first { phone.hasPrefix($0.key) }?.value
}
