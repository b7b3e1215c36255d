// The people of a workspace whom no campaign reaches, so that all of them together can be measured.
internal import JSON
internal import Vocabulary
internal import Web

struct WorkspaceHoldout {
    private let share: BasisPoints
    private let salt: String

    /// The salt is part of what is stored, so that rules can name the same people whatever the default will be.
    static let members: [Member] = [
        .optional(
            "holdout",
            .nullable(
                .object([
                    .required("percent", .number, "Of all contacts, 0 to 50, in steps of 0.01"),
                    .optional("salt", .string(min: 1, max: 100), "Another salt draws other people; `holdout` when absent"),
                ])),
            "Contacts whom no campaign reaches, drawn at random: those of the rule {\"bucket\":{\"salt\":…,\"from\":0,\"to\":100 × percent − 1}}; null: nobody"
        )
    ]

    /// `nil` where the body gives none.
    init?(_ body: JSONObject) throws {
        guard let object = body["holdout"]?.object else { return nil }
        guard let percent = object["percent"]?.real, percent <= 50, let share = BasisPoints(percent: percent) else {
            throw Fault(pointer: "/holdout/percent", code: "out_of_range", detail: "From 0 to 50, in steps of 0.01.")
        }
        self.share = share
        salt = object.optionalString("salt") ?? "holdout"
    }

    var json: JSONValue { ["percent": .real(share.percent), "salt": .string(salt)] }
}
