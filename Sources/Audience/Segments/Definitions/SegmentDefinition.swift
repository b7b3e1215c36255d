// A segment as a file: what it means, in words that mean the same in another workspace. Pure.
internal import JSON

/// What a rule mentions by id where it is stored, and by name in a file.
enum ReferenceKind: String, CaseIterable {
    case segment, list, campaign
}

/// Name, description and rule; whatever else a segment has belongs to the workspace where it is.
struct SegmentDefinition {
    let name: String
    let description: String?
    /// References are names.
    let rule: JSONValue

    var json: JSONValue { ["name": .string(name), "description": JSONValue(description), "rule": rule] }

    /// JSON text whose lines change only where the meaning does: one member per line, members in one order.
    static func text(_ json: JSONValue) -> [UInt8] {
        var bytes: [UInt8] = []
        write(json, indent: 0, &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private static func write(_ json: JSONValue, indent: Int, _ bytes: inout [UInt8]) {
        func line(_ depth: Int) { bytes += "\n".utf8 + Array(repeating: UInt8(ascii: " "), count: depth * 2) }
        switch json {
        case .array(let elements) where !elements.isEmpty:
            bytes += "[".utf8
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes += ",".utf8 }
                line(indent + 1)
                write(element, indent: indent + 1, &bytes)
            }
            line(indent)
            bytes += "]".utf8
        case .object(let object) where !object.isEmpty:
            bytes += "{".utf8
            for (index, member) in object.members.sorted(by: isBefore).enumerated() {
                if index > 0 { bytes += ",".utf8 }
                line(indent + 1)
                writeJSONString(member.key, into: &bytes)
                bytes += ": ".utf8
                write(member.value, indent: indent + 1, &bytes)
            }
            line(indent)
            bytes += "}".utf8
        default: json.write(into: &bytes)
        }
    }

    /// What one reads first comes first; members that this list does not know follow by their bytes.
    private static func isBefore(_ a: (key: String, value: JSONValue), _ b: (key: String, value: JSONValue)) -> Bool {
        let (x, y) = (order[a.key] ?? order.count, order[b.key] ?? order.count)
        return x == y ? a.key.utf8.lexicographicallyPrecedes(b.key.utf8) : x < y
    }
    private static let order: [String: Int] = Dictionary(
        uniqueKeysWithValues: [
            "segments", "name", "description", "rule", "version", "timezone", "match", "all", "any", "none", "not", "at_least",
            "aggregate", "of", "field", "event", "segment", "list", "consent", "campaign", "sequence", "bucket", "did", "state", "op",
            "value", "count", "was", "changed", "which", "within", "after", "where", "case", "missing", "salt", "from", "to",
        ].enumerated().map { ($1, $0) })

    /// The rule with other references: `change` gets the kind, the text and the place of each.
    static func mapReferences(
        _ json: JSONValue, at pointer: String, _ change: (ReferenceKind, String, String) throws -> JSONValue
    ) rethrows -> JSONValue {
        switch json {
        case .array(let elements):
            return .array(try elements.enumerated().map { try mapReferences($1, at: jsonPointer(pointer, $0), change) })
        case .object(let object):
            var changed = JSONObject()
            for (key, value) in object {
                let place = jsonPointer(pointer, key)
                if let kind = ReferenceKind(rawValue: key), let text = value.string, !(kind == .campaign && text == "*") {
                    changed[key] = try change(kind, text, place)
                } else {
                    changed[key] = try mapReferences(value, at: place, change)
                }
            }
            return .object(changed)
        default: return json
        }
    }
}

/// Definitions in an order in which each follows those that it reads.
enum DefinitionOrder {
    /// - Parameter reads: by definition, the definitions that its rule names.
    /// - Returns: the order; or the way along a circle, which begins and ends with the same one.
    static func sorted(_ reads: [[Int]]) -> (order: [Int], circle: [Int]?) {
        var order: [Int] = []
        var done: Set<Int> = []
        var way: [Int] = []
        func visit(_ index: Int) -> [Int]? {
            if done.contains(index) { return nil }
            if let start = way.firstIndex(of: index) { return way[start...] + [index] }
            way.append(index)
            defer { way.removeLast() }
            for other in reads[index] { if let circle = visit(other) { return circle } }
            done.insert(index)
            order.append(index)
            return nil
        }
        for index in reads.indices { if let circle = visit(index) { return ([], circle) } }
        return (order, nil)
    }
}
