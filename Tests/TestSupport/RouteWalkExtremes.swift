// Whatever fits a route's schema is taken or refused, and never a mistake of ours.
import JSON
import Vocabulary
import Web

extension RouteWalk {
    /// Sends every member and query parameter at the edges of what its schema allows, one at a time.
    /// - Parameter things: as for `complaints`.
    /// - Returns: what ended as 5xx, by route; empty when all is well.
    public func mistakes(things: [String: UUID]) throws -> [String] {
        var found: [String] = []
        for route in routes {
            let name = "\(route.method.rawValue) \(route.path)"
            let path = filled(route.path, thing(of: route, among: things) ?? UUID.v7())
            func check(_ answer: TestAnswer, _ what: String) {
                if answer.status >= 500 { found.append("\(name) with \(what.prefix(120)): \(answer.status) \(answer.code ?? "")") }
            }
            let token = people[.owner]!.token
            for parameter in route.query where parameter.name != "cursor" {
                for text in extremes(parameter.schema).compactMap(queryText) where raw[name] == nil {
                    guard route.method == .get else { continue }
                    check(try responder.send("GET", "\(path)?\(parameter.name)=\(text)", token: token), "?\(parameter.name)=\(text)")
                }
            }
            guard raw[name] == nil, let body = (bodies[name] ?? route.body.map(sample))?.object, case .object(let members)? = route.body
            else { continue }
            for member in members {
                for value in extremes(member.schema) {
                    var changed = body
                    changed[member.name] = value
                    check(
                        try responder.send(route.method.rawValue, path, token: token, json: .object(changed)),
                        "\(member.name) = \(value.text)")
                }
            }
        }
        return found
    }

    private func extremes(_ schema: Schema) -> [JSONValue] {
        switch schema {
        case .string(_, _, let format?, _):
            switch format {
            case "uuid": [.string(UUID.v7().description), "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"]
            case "date-time":
                ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00+23:59", "2016-12-31T23:59:60Z"]
            case "date": ["0001-01-01", "9999-12-31"]
            case "email":
                [
                    .string(String(repeating: "x", count: 64) + "@" + String(repeating: "y", count: 60) + ".example"),
                    "\u{FC}@\u{FC}.example",
                ]
            case "e164": ["+1000000", "+999999999999999"]
            default: ["https://", .string("https://" + String(repeating: "x", count: 300))]
            }
        case .string(_, let most, nil, let choices):
            choices.isEmpty
                ? ["x", "\u{1F600}", "'"].map { .string(String(repeating: $0, count: min(most, 100_000))) }
                    + ["", " ", "%_\\%", "\"'\\\n\t\u{7F}\u{2028}", "{{", "\u{301}\u{200D}\u{FEFF}", "NaN", "infinity", "-1"].filter {
                        $0.unicodeScalars.count <= most
                    }.map { .string($0) }
                : choices.map { .string($0) }
        case .integer(let range): [.integer(Int64(range.lowerBound)), .integer(Int64(range.upperBound))]
        case .number: [0, -1, 1e308, -1e308, 5e-324, 1e19, .integer(.max)]
        case .boolean: [true, false]
        case .array(let element, _, let most):
            [.array(Array(repeating: extremes(element).first ?? 1, count: most))] + extremes(element).map { [$0] }
        case .map:
            [
                [:], ["": 1], ["a.b": [:]], ["'\"\\": ["\u{1F600}": [.null, 1e308, true, ["x": "y"]]]],
                [.init(repeating: "k", count: 5000): "v"],
            ]
        case .any:
            [
                .null, [], [:], 1e308, .string(String(repeating: "x", count: 100_000)), [[[[[1]]]]], ["match": [:]],
                ["conditions": [[:], 1, .null]],
            ]
        case .object(let members):
            [sample(schema)]
                + members.flatMap { member in
                    extremes(member.schema).map { value in
                        var object = sample(schema).object ?? [:]
                        object[member.name] = value
                        return .object(object)
                    }
                }
        case .nullable(let inner): [.null] + extremes(inner)
        case .described(let inner, _, _): extremes(inner)
        case .oneOf(let schemas): schemas.flatMap(extremes)
        }
    }

    /// As it stands in a query string.
    private func queryText(_ value: JSONValue) -> String? {
        switch value {
        case .string(let text):
            text.utf8.count > 3000 ? nil : text.utf8.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        case .integer(let number): String(number)
        case .bool(let bool): "\(bool)"
        default: nil
        }
    }
}
