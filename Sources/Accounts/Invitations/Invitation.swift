internal import JSON
internal import Vocabulary
internal import Web

struct InvitationDraft: BodyDecodable {
    let email: String
    let role: Role
    static let schema: Schema = .object([
        .required("email", .string(min: 3, max: 254, format: "email"), "Who is invited; only a user with this address can accept"),
        .required("role", roleSchema, "What they may do once they are in"),
    ])
    init(_ body: JSONObject) throws {
        email = EmailAddress(body.string("email"))!.description
        role = Role(rawValue: body.string("role"))!
    }
}

struct InvitationToken: BodyDecodable {
    let token: String
    static let schema: Schema = .object([.required("token", .string(min: 1, max: 200), "As the invitation was answered with")])
    init(_ body: JSONObject) throws { token = body.string("token") }
}
