// What holds of every route of a table, asked of each: nobody, the wrong role, the wrong scope, another workspace.
import JSON
import PostgreSQL
import Vocabulary
import Web

/// The smallest value that a schema takes; objects have their required members only.
public func sample(_ schema: Schema) -> JSONValue {
    switch schema {
    case .string(_, _, let format?, _):
        switch format {
        case "uuid": return "019aa5a0-0000-7000-8000-000000000000"
        case "date-time": return "2026-11-21T03:30:00Z"
        case "date": return "2026-11-21"
        case "email": return "sample@example.com"
        case "e164": return "+12025550123"
        default: return "https://example.com"
        }
    case .string(let min, _, nil, let choices): return .string(choices.first ?? String(repeating: "x", count: max(1, min)))
    case .integer(let range): return .integer(Int64(range.lowerBound))
    case .number: return 1
    case .boolean: return true
    case .array(let element, let min, _): return .array(Array(repeating: sample(element), count: min))
    case .object(let members):
        var object = JSONObject()
        for member in members where member.isRequired { object[member.name] = sample(member.schema) }
        return .object(object)
    case .map: return [:]
    case .any: return "x"
    case .nullable(let inner), .described(let inner, _, _): return sample(inner)
    case .oneOf(let schemas): return schemas.first.map(sample) ?? "x"
    }
}

/// Every route of a table that needs a workspace, seen by those who may not.
public struct RouteWalk {
    let routes: [Route]
    let responder: TestResponder
    let people: [Role: TestUser]
    let workspace: WorkspaceID
    private let stranger: TestUser
    let db: Connection
    let bodies: [String: JSONValue]
    let raw: [String: (contentType: String, body: String)]
    private let names: [String: String]
    let queries: [String: String]

    /// - Parameters:
    ///   - db: of the owner, for people and keys.
    ///   - workspace: whose things are asked for.
    ///   - bodies: by `METHOD /path`, where the smallest body of the schema is refused for what it means.
    ///   - raw: bodies that are not JSON, by `METHOD /path`.
    ///   - names: what stands in the path for a parameter that is no id.
    ///   - queries: by `GET /path`, where it answers nothing without.
    public init(
        _ routes: [Route], _ responder: TestResponder, _ db: Connection, workspace: WorkspaceID, bodies: [String: JSONValue] = [:],
        raw: [String: (contentType: String, body: String)] = [:], names: [String: String] = [:],
        queries: [String: String] = [:]
    ) throws {
        self.routes = routes.filter { $0.needs != .anyone && $0.needs != .signedIn }
        self.responder = responder
        self.db = db
        self.workspace = workspace
        self.bodies = bodies
        self.raw = raw
        self.names = names
        self.queries = queries
        people = try Dictionary(uniqueKeysWithValues: Role.allCases.map { ($0, try db.createUser($0.rawValue, in: workspace)) })
        stranger = try db.createUser("owner", in: try db.createWorkspace("Elsewhere"))
    }

    /// - Parameter things: an existing id of `workspace` by the head of the path, `/api/campaigns`. The longest head counts.
    /// - Returns: what went wrong, by route; empty when all is well.
    public func complaints(things: [String: UUID]) throws -> [String] {
        var complaints: [String] = []
        for route in routes {
            let thing = thing(of: route, among: things)
            let path = filled(route.path, thing ?? UUID.v7())
            func expect(_ status: Int, _ who: String, token: String?, headers: [(String, String)] = []) throws {
                let answer = try send(route, path, token, headers)
                if answer.status != status {
                    complaints.append(
                        "\(route.method.rawValue) \(route.path) as \(who): \(answer.status) \(answer.code ?? ""), expected \(status)")
                }
            }
            try expect(401, "nobody", token: nil)
            let here = [("X-Workspace-Id", workspace.description)]
            try expect(404, "a stranger who names the workspace", token: stranger.token, headers: here)
            if thing != nil { try expect(404, "a stranger who knows the id", token: stranger.token) }
            for role in Role.allCases where !route.needs.roles.contains(role) {
                try expect(403, role.rawValue, token: people[role]!.token)
            }
            let others = Permission.scopes.filter { $0 != "*" && $0 != route.needs.scope }
            try expect(403, "a key without the scope", token: try db.createAPIKey(in: workspace, scopes: others).token)
        }
        return complaints
    }

    func thing(of route: Route, among things: [String: UUID]) -> UUID? {
        things.filter { route.path.hasPrefix($0.key + "/{") }.max { $0.key.count < $1.key.count }?.value
    }

    func filled(_ path: String, _ id: some CustomStringConvertible) -> String {
        path.split(separator: "/").map { part in
            part.hasPrefix("{") ? names[String(part.dropFirst().dropLast())] ?? id.description : String(part)
        }.reduce("") { $0 + "/" + $1 }
    }

    private func send(_ route: Route, _ path: String, _ token: String?, _ headers: [(String, String)]) throws -> TestAnswer {
        let name = "\(route.method.rawValue) \(route.path)"
        if let (type, body) = raw[name] {
            return try responder.send(
                route.method.rawValue, path, token: token, headers: headers, contentType: type, body: Array(body.utf8))
        }
        guard let body = bodies[name] ?? route.body.map(sample) else {
            return try responder.send(route.method.rawValue, path, token: token, headers: headers)
        }
        return try responder.send(route.method.rawValue, path, token: token, headers: headers, json: body)
    }
}
