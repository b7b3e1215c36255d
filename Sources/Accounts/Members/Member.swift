internal import JSON
internal import Web

struct MemberChange: BodyDecodable {
    let role: Role
    static let schema: Schema = .object([.required("role", roleSchema, "What they may do in the workspace")])
    init(_ body: JSONObject) throws { role = Role(rawValue: body.string("role"))! }
}

let roleSchema: Schema = .string(oneOf: Role.allCases.map(\.rawValue))
