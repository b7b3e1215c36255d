internal import JSON
internal import Web

/// The hours in which a workspace sends, by the clocks of whoever gets it. What the law of a place says narrows them
/// (migration 0093); `off` turns that off as well.
enum QuietHours {
    static let schema = Schema.described(
        .oneOf([
            .string(oneOf: ["on", "strict", "off"]),
            .object([
                .required("from", .string(min: 5, max: 5), "The first quarter of an hour, like 08:30"),
                .required("to", .string(min: 5, max: 5), "The quarter of an hour by which it ends; 24:00 is midnight"),
            ]),
        ]), "on: 8 to 21 h; strict: 9 to 20 h, on Sundays from noon; or hours of one's own", example: ["from": "08:30", "to": "20:00"])

    static func check(_ setting: JSONValue?, _ pointer: String, _ faults: inout Faults) {
        guard let hours = setting?.object else { return }
        let times = ["from", "to"].map { name in
            let minutes = minutes(hours.string(name))
            if minutes == nil { faults.add("\(pointer)/\(name)", "bad_format", "Expected a quarter of an hour, like 08:30.") }
            return minutes
        }
        if let from = times[0], let to = times[1], from >= to {
            faults.add(pointer + "/to", "reversed_range", "The hours end after they begin, before midnight.")
        }
    }

    /// From midnight; `nil` for what is no quarter of an hour.
    private static func minutes(_ text: String) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60, minute % 15 == 0, hour * 60 + minute <= 1440
        else { return nil }
        return hour * 60 + minute
    }
}
