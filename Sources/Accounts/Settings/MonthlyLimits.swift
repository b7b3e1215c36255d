// How much a workspace may send in a month.
internal import JSON
internal import Web

enum MonthlyLimits {
    private static let most = Schema.nullable(.integer(0...1_000_000_000_000))
    static let members: [Member] = [
        .optional(
            "monthly_limits",
            .nullable(
                .object([
                    .optional("sms_parts", most, "Message parts of texts; null or absent: no limit"),
                    .optional("emails", most, "E-mails; null or absent: no limit"),
                ])),
            "What campaigns may start in one calendar month of the workspace's time zone; at the limit they pause until the next month; null: no limits"
        )
    ]
}
