// When campaigns of a workspace stop by themselves.
internal import JSON
internal import Web

struct StopRuleSettings {
    let json: JSONValue

    private static let rates = [
        ("failure_rate", "Messages that failed or did not arrive; 0.5 when absent"),
        ("filtered_rate", "Messages that a carrier filtered for their text; 0.2 when absent"),
        ("opt_out_rate", "People who opted out; 0.1 when absent"),
        ("complaint_rate", "People who complained of spam; 0.003 when absent"),
    ]
    static let members: [Member] = [
        .optional(
            "stop_rules",
            .nullable(
                .object(
                    rates.map { .optional($0.0, .nullable(.number), $0.1) } + [
                        .optional("minimum_messages", .integer(1...1_000_000), "As many must have been tried; 50 when absent")
                    ])),
            "Shares of what was tried, above 0 up to 1, beyond which a campaign pauses; null for a share: no such rule; null for all: as absent"
        )
    ]

    /// `nil` where the body gives none.
    init?(_ body: JSONObject) throws {
        guard let rules = body["stop_rules"]?.object else { return nil }
        var faults = Faults()
        for (name, _) in Self.rates {
            guard let rate = rules[name]?.real, !(rate > 0 && rate <= 1) else { continue }
            faults.add("/stop_rules/\(name)", "out_of_range", "Above 0, up to 1; null for no such rule.")
        }
        try faults.check()
        json = .object(rules)
    }
}
