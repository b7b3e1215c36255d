internal import JSON
internal import Vocabulary
internal import Web

/// Who signs up, and their first workspace.
struct SignUpDraft: BodyDecodable {
    let email: String
    let password: String
    let name: String
    let workspace: WorkspaceDraft

    static let schema: Schema = .object([
        .required("email", .string(min: 3, max: 254, format: "email"), "The address to sign in with"),
        .required("password", .string(max: 1000), "15 to 256 characters of any kind"),
        .required("name", .string(min: 1, max: 200), "As others in the workspace see it"),
        .optional("workspace_name", .string(min: 1, max: 200), "The first workspace's name; the person's name when absent"),
        .optional("timezone", .string(min: 1, max: 64), "Its time zone as tzdata names it; UTC when absent"),
        .optional("default_country", .nullable(.string(min: 2, max: 2)), "Country of phone numbers in national form, ISO 3166"),
    ])

    init(_ body: JSONObject) throws {
        var faults = Faults()
        email = EmailAddress(body.string("email"))!.description
        password = PasswordRules.normal(body.string("password"))
        name = storedText(body.string("name"))
        if name.isEmpty { faults.add("/name", "empty", "The name is blank.") }
        if let fault = PasswordRules.fault(password, email: email) { faults.add(fault.pointer, fault.code, fault.detail) }
        let country = body.optionalString("default_country")
        checkCountry(country, &faults)
        let workspaceName = body.optionalString("workspace_name").map(storedText) ?? name
        if workspaceName.isEmpty, !name.isEmpty { faults.add("/workspace_name", "empty", "The name is blank.") }
        try faults.check()
        workspace = WorkspaceDraft(name: workspaceName, timezone: body.optionalString("timezone") ?? "UTC", country: country)
    }
}

struct SignInRequest: BodyDecodable {
    let email: String
    let password: String
    static let schema: Schema = .object([
        .required("email", .string(min: 3, max: 254, format: "email"), "The address of the user"),
        .required("password", .string(max: 1000), "Their password"),
    ])
    init(_ body: JSONObject) throws {
        email = EmailAddress(body.string("email"))!.description
        password = PasswordRules.normal(body.string("password"))
    }
}

struct SignOutRequest: BodyDecodable {
    let everywhere: Bool
    static let schema: Schema = .object([.optional("everywhere", .boolean, "End all sessions of the person; false when absent")])
    init(_ body: JSONObject) throws { everywhere = body.bool("everywhere") }
    init() { everywhere = false }
}

/// Text as it is stored: in normal form, without blanks around it.
func storedText(_ text: String) -> String { normalized(trimmed(text)) }
