internal import JSON
internal import Web

private let frequencyCap = Schema.object([
    .required("channel", .string(oneOf: ["sms", "email"]), "Of messages on this channel"),
    .required("at_most", .integer(1...1000), "To one contact"),
    .required("per_hours", .integer(1...8784), "Before any instant at which one is sent"),
    .optional("tag", .nullable(.string(min: 1, max: 50)), "Only of campaigns with this tag"),
])

/// Settings that are to change; what is absent stays.
struct SettingsChange: BodyDecodable {
    let workspace: WorkspaceChange
    /// Laid over the stored settings.
    let settings: JSONObject

    private static let stored: [Member] =
        [
            .optional(
                "brand", .nullable(.string(min: 1, max: 100)),
                "How people know the workspace: on their preference page and in answers to texts"
            ),
            .optional(
                "help_text", .nullable(.string(min: 1, max: 320)),
                "What a text HELP is answered with, behind the brand: how to reach you. Turn off the provider's own answer, or both are sent"
            ),
            .optional(
                "consent_mode", .string(oneOf: ["opt_in", "opt_out"]),
                "Whether silence means no (opt_in) or yes (opt_out, where the law allows it)"),
            .optional("retention_days_audit", .integer(1...3650), "Days after which audit entries are deleted"),
            .optional("retention_days_receipts", .integer(1...3650), "Days after which raw provider callbacks are deleted"),
            .optional("quiet_hours_sms", QuietHours.schema, "When texts may be sent where recipients are; on when absent"),
            .optional(
                "frequency_caps", .array(frequencyCap, max: 10), "How many messages a contact gets at most in rolling hours; all hold"),
            .optional("quiet_hours_email", QuietHours.schema, "The same for e-mail; off when absent"),
            .optional(
                "postal_address", .nullable(.string(min: 1, max: 500)),
                "Stands at the foot of every e-mail, as the law wants it; without one no campaign by e-mail starts"),
        ] + WorkspaceHoldout.members + PriceSettings.members + StopRuleSettings.members + MonthlyLimits.members
    static let schema: Schema = .object(WorkspaceChange.members + stored)

    init(_ body: JSONObject) throws {
        workspace = try WorkspaceChange(body)
        var settings = JSONObject()
        for member in Self.stored { settings[member.name] = body[member.name] }
        if let holdout = try WorkspaceHoldout(body) { settings["holdout"] = holdout.json }
        if let prices = try PriceSettings(body) { settings["prices"] = prices.json }
        if let rules = try StopRuleSettings(body) { settings["stop_rules"] = rules.json }
        self.settings = settings
        var faults = Faults()
        for name in ["quiet_hours_sms", "quiet_hours_email"] { QuietHours.check(settings[name], "/" + name, &faults) }
        try faults.check()
    }
}
