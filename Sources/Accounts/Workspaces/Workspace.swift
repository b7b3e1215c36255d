internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// What is written of a new workspace.
struct WorkspaceDraft: BodyDecodable {
    let name: String
    let timezone: String
    let country: String?

    static let schema: Schema = .object([
        .required("name", .string(min: 1, max: 200), "As people see it"),
        .optional("timezone", .string(min: 1, max: 64), "A time zone as tzdata names it; UTC when absent"),
        .optional("default_country", .nullable(.string(min: 2, max: 2)), "Country of phone numbers in national form, ISO 3166"),
    ])

    init(name: String, timezone: String, country: String?) {
        self.name = name
        self.timezone = timezone
        self.country = country
    }

    init(_ body: JSONObject) throws {
        var faults = Faults()
        name = storedText(body.string("name"))
        timezone = body.optionalString("timezone") ?? "UTC"
        country = body.optionalString("default_country")
        if name.isEmpty { faults.add("/name", "empty", "The name is blank.") }
        checkCountry(country, &faults)
        try faults.check()
    }
}

/// Members of a workspace that are to change; what is absent stays.
struct WorkspaceChange: BodyDecodable {
    let name: String?
    let timezone: String?
    let country: String??

    static let members: [Member] = [
        .optional("name", .string(min: 1, max: 200), "As people see it"),
        .optional("timezone", .string(min: 1, max: 64), "A time zone as tzdata names it"),
        .optional("default_country", .nullable(.string(min: 2, max: 2)), "Country of phone numbers in national form, ISO 3166"),
    ]
    static let schema: Schema = .object(members)

    init(_ body: JSONObject) throws {
        var faults = Faults()
        name = body.optionalString("name").map(storedText)
        timezone = body.optionalString("timezone")
        country = body["default_country"].map(\.string)
        if name == "" { faults.add("/name", "empty", "The name is blank.") }
        checkCountry(country ?? nil, &faults)
        try faults.check()
    }
}

func checkCountry(_ country: String?, _ faults: inout Faults) {
    guard let country, !country.utf8.allSatisfy({ (65...90).contains($0) }) else { return }
    faults.add("/default_country", "bad_format", "Expected two capital letters, as in US.")
}

/// PostgreSQL computes with zones, so it decides which there are.
func checkTimezone(_ zone: String?, _ db: Connection) throws {
    guard let zone else { return }
    guard try db.one(WorkspaceSQL.isTimezone, zone) else {
        throw Problem.invalid("/timezone", "unknown_timezone", "tzdata has no zone of this name; one is America/New_York.")
    }
}
