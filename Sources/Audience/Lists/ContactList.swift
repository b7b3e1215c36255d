// Lists: membership made by hand.
internal import JSON
internal import Vocabulary
internal import Web

struct ListDraft: BodyDecodable {
    let name: String
    static let schema: Schema = .object([.required("name", .string(min: 1, max: 255), "Unique in the workspace")])

    init(_ body: JSONObject) throws {
        guard let name = storedText(body.string("name")) else {
            throw Problem.invalid("/name", "empty", "A name has at least one character.")
        }
        self.name = name
    }
}

struct ListMembers: BodyDecodable {
    let contacts: [ContactID]
    static let schema: Schema = .object([
        .required("contact_ids", .array(.string(format: "uuid"), min: 1, max: 1000), "Contacts of this workspace")
    ])

    init(_ body: JSONObject) throws {
        contacts = Array(Set(body.strings("contact_ids").compactMap { ContactID($0) })).sorted()
    }
}
