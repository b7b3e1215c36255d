// What holds of every route of a table for what is malformed: it is told as such, to somebody who may.
import JSON
import Vocabulary
import Web

extension RouteWalk {
    /// - Parameter things: as for `complaints`.
    /// - Returns: what was not refused as it should be, by route; empty when all is well.
    public func misunderstandings(things: [String: UUID]) throws -> [String] {
        var found: [String] = []
        for route in routes {
            let name = "\(route.method.rawValue) \(route.path)"
            let thing = thing(of: route, among: things)
            let path = filled(route.path, thing ?? UUID.v7())
            func expect(_ status: Int, _ code: String?, _ what: String, _ answer: TestAnswer) {
                guard answer.status != status || (code != nil && answer.code != code) else { return }
                found.append("\(name), \(what): \(answer.status) \(answer.code ?? ""), expected \(status) \(code ?? "")")
            }
            let body = raw[name] == nil ? bodies[name] ?? route.body.map(sample) : nil
            func send(_ target: String, json: JSONValue? = nil) throws -> TestAnswer {
                if let (type, content) = raw[name] { return try self.send(route, target, Array(content.utf8), type) }
                guard let json = json ?? body else { return try self.send(route, target, [], nil) }
                return try self.send(route, target, Array(json.text.utf8), "application/json")
            }
            if route.path.contains("id}") { expect(404, "not_found", "a malformed id", try send(filled(route.path, "no-id"))) }
            if thing != nil, route.method == .delete || (route.method == .patch || route.method == .put) && route.path.hasSuffix("}") {
                let answer = try responder.send(
                    route.method.rawValue, path, token: people[.owner]!.token, headers: [("If-Match", "\"v999\"")],
                    contentType: body == nil ? nil : "application/json", body: body.map { Array($0.text.utf8) } ?? [])
                expect(412, "version_mismatch", "a tag of another version", answer)
            }
            if !route.openQuery { expect(422, "unknown_parameter", "an unknown parameter", try send(path + "?no_such=1")) }
            for parameter in route.query {
                guard let wrong = wrongText(parameter.schema) else { continue }
                expect(422, nil, "a wrong \(parameter.name)", try send("\(path)?\(parameter.name)=\(wrong)"))
            }
            let exists = thing != nil || !route.path.contains("{")
            if exists, route.query.contains(where: { $0.name == "cursor" }) {
                expect(400, "bad_cursor", "a made-up cursor", try send(path + "?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
            }
            guard let schema = route.body, let body, raw[name] == nil else { continue }
            expect(415, nil, "a body of another type", try self.send(route, path, Array(body.text.utf8), "text/plain"))
            expect(400, "json_syntax", "a broken body", try self.send(route, path, Array("{\"a\":".utf8), "application/json"))
            expect(
                400, "json_too_deep", "a deep body",
                try self.send(route, path, Array(String(repeating: "[", count: 99).utf8), "application/json"))
            guard case .object(let members) = schema, let object = body.object else { continue }
            expect(422, "wrong_type", "an array", try send(path, json: []))
            for (change, code, member) in changes(of: members, in: object) {
                let answer = try send(path, json: .object(change))
                expect(422, nil, "\(code) \(member)", answer)
                let faults = answer.json["errors"]?.array ?? []
                let isTold = faults.contains { $0["code"]?.string == code && $0["pointer"]?.string == "/\(member)" }
                if answer.status == 422, !isTold { found.append("\(name): \(code) /\(member) is not among \(faults.map(\.text))") }
            }
        }
        return found
    }

    /// Everything that is read, by everybody who may: each role that has the permission, and a key with its scope alone.
    /// - Returns: who was refused, or what is not there; empty when all is well.
    public func refusals(things: [String: UUID]) throws -> [String] {
        var found: [String] = []
        for route in routes where route.method == .get {
            let thing = thing(of: route, among: things)
            let path = filled(route.path, thing ?? UUID.v7())
            guard thing != nil || !route.path.contains("id}") else {
                found.append("GET \(route.path): there is nothing to ask for")
                continue
            }
            let key = try db.createAPIKey(in: workspace, scopes: [route.needs.scope])
            for (who, token) in route.needs.roles.map({ ($0.rawValue, people[$0]!.token) }) + [("a key with the scope", key.token)] {
                let query = queries["GET \(route.path)"].map { "?" + $0 } ?? ""
                let answer = try responder.send("GET", path + query, token: token)
                if answer.status != 200 { found.append("GET \(route.path) as \(who): \(answer.status) \(answer.code ?? "")") }
            }
        }
        return found
    }

    private func send(_ route: Route, _ target: String, _ body: [UInt8], _ type: String?) throws -> TestAnswer {
        try responder.send(
            route.method.rawValue, target, token: people[.owner]!.token, contentType: type, body: body)
    }

    /// The body with one thing wrong, what is wrong and where.
    private func changes(of members: [Member], in object: JSONObject) -> [(JSONObject, code: String, member: String)] {
        var changes: [(JSONObject, String, String)] = []
        var surplus = object
        surplus["no_such_member"] = 1
        changes.append((surplus, "unknown_member", "no_such_member"))
        for member in members {
            if let wrong = wrongValue(member.schema) {
                var changed = object
                changed[member.name] = wrong
                changes.append((changed, "wrong_type", member.name))
            }
            if member.isRequired {
                var lacking = object
                lacking.removeValue(forKey: member.name)
                changes.append((lacking, "required", member.name))
            }
        }
        return changes
    }

    /// A value of another type; `nil` where any type will do.
    private func wrongValue(_ schema: Schema) -> JSONValue? {
        switch schema {
        case .any, .oneOf: nil
        case .string: 5
        case .integer, .number, .boolean, .array, .object, .map: "x"
        case .nullable(let inner), .described(let inner, _, _): wrongValue(inner)
        }
    }

    /// Text that a query parameter does not take; `nil` where most will do.
    private func wrongText(_ schema: Schema) -> String? {
        switch schema {
        case .string(_, _, let format?, _): format == "uri" ? nil : "x"
        case .string(_, let most, nil, let choices):
            choices.isEmpty ? (most < 4000 ? String(repeating: "x", count: most + 1) : nil) : "no-such"
        case .integer, .number, .boolean: "x"
        case .nullable(let inner), .described(let inner, _, _): wrongText(inner)
        default: nil
        }
    }
}
