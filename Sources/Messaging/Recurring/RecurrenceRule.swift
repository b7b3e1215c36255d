// By which rule of the calendar a campaign recurs. When that is, is known by `occurrences_after` (migration 0111) alone.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// The unit that a rule counts.
enum RecurrenceUnit: String, CaseIterable {
    case day, week, month
}

struct RecurrenceRule: RowDecodable, Equatable {
    private(set) var every: RecurrenceUnit
    private(set) var interval = 1
    /// Of weeks only, from Monday on.
    private(set) var weekdays: [String]?
    /// Of months only.
    private(set) var dayOfMonth: Int?
    /// `09:00`
    private(set) var at: String
    /// `nil`: the workspace's.
    private(set) var timeZone: String?
    /// `nil`: today.
    private(set) var startsOn: Day?
    private(set) var endsOn: Day?
    private(set) var endsAfter: Int?

    static let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

    static let members: [Member] = [
        .optional("interval", .integer(1...100), "Every so many of them; 1 when absent"),
        .optional("weekdays", .nullable(.array(.string(oneOf: days), min: 1, max: 7)), "Of weeks, which begin on Monday: on which days"),
        .optional("day_of_month", .nullable(.integer(1...31)), "Of months: on which day; where a month has no such day, on its last"),
        .optional("time_zone", .string(min: 1, max: 100), "Whose clock: a name like Europe/Paris; the workspace's when absent"),
        .optional("starts_on", .string(format: "date"), "From which day on, and from which intervals are counted; today when absent"),
        .optional("ends_on", .nullable(.string(format: "date")), "The last day on which it may be; null: it does not end by itself"),
        .optional("ends_after", .nullable(.integer(1...10_000)), "Instead: after how many occurrences, skipped ones included"),
    ]
    static let every = Schema.string(oneOf: RecurrenceUnit.allCases.map(\.rawValue))
    static let at = Schema.described(.string(min: 5, max: 5), "What the clock shows, also across daylight saving", example: "09:00")

    init(_ body: JSONObject) {
        every = RecurrenceUnit(rawValue: body.string("every"))!
        at = body.string("at")
        take(body)
    }

    init(_ row: borrowing Row) throws(PostgresError) {
        every = try row["every"]
        interval = try row["interval_count"]
        weekdays = try row["weekdays"]
        dayOfMonth = try row["day_of_month"]
        at = try row["at"]
        timeZone = try row["time_zone"]
        startsOn = try row["starts_on"]
        endsOn = try row["ends_on"]
        endsAfter = try row["ends_after"]
    }

    /// The same with what a body says; what is absent stays, but what only another unit has.
    func changed(by body: JSONObject) -> RecurrenceRule {
        var rule = self
        if let unit = body.optionalString("every").flatMap(RecurrenceUnit.init(rawValue:)), unit != every {
            rule.every = unit
            rule.weekdays = nil
            rule.dayOfMonth = nil
        }
        rule.take(body)
        return rule
    }

    private mutating func take(_ body: JSONObject) {
        if let interval = body.optionalInteger("interval") { self.interval = interval }
        if body["weekdays"] != nil {
            let named = Set(body.strings("weekdays"))
            weekdays = named.isEmpty ? nil : RecurrenceRule.days.filter(named.contains)
        }
        if body["day_of_month"] != nil { dayOfMonth = body.optionalInteger("day_of_month") }
        if let at = body.optionalString("at") { self.at = at }
        if let zone = body.optionalString("time_zone") { timeZone = zone }
        if let day = body.optionalString("starts_on").flatMap({ Day($0) }) { startsOn = day }
        if body["ends_on"] != nil { endsOn = body.optionalString("ends_on").flatMap { Day($0) } }
        if body["ends_after"] != nil { endsAfter = body.optionalInteger("ends_after") }
    }

    /// - Throws: the faults of members that are wrong, or do not go together.
    func check(_ db: Connection) throws {
        var faults = Faults()
        if (every == .week) != (weekdays != nil) {
            if weekdays == nil {
                faults.add("/weekdays", "required", "On which days of the week?")
            } else {
                faults.add("/weekdays", "not_expected", "Only weeks have weekdays.")
            }
        }
        if (every == .month) != (dayOfMonth != nil) {
            if dayOfMonth == nil {
                faults.add("/day_of_month", "required", "On which day of the month?")
            } else {
                faults.add("/day_of_month", "not_expected", "Only months have a day of the month.")
            }
        }
        if LocalMinute("2000-01-01T" + at) == nil { faults.add("/at", "bad_format", "Expected a time of day, like 09:00.") }
        if let timeZone, try !db.one(RecurringSQL.isTimeZone, timeZone) {
            faults.add("/time_zone", "unknown_timezone", "tzdata has no zone of this name; one is America/New_York.")
        }
        // As the table has it.
        if let startsOn, startsOn < Day(year: 2000, month: 1, day: 1)! || startsOn > Day(year: 2200, month: 1, day: 1)! {
            faults.add("/starts_on", "out_of_range", "From 2000-01-01 to 2200-01-01.")
        }
        if let startsOn, let endsOn, endsOn < startsOn { faults.add("/ends_on", "reversed_range", "It would end before it starts.") }
        if endsOn != nil, endsAfter != nil {
            faults.add("/ends_after", "not_expected", "It ends on a day or after so many occurrences; set the other to null.")
        }
        try faults.check()
    }

    /// What is wrong where there is no occurrence.
    var neverOccurs: Fault {
        endsAfter == nil
            ? Fault(pointer: "/ends_on", code: "no_occurrence", detail: "By this rule there is no occurrence from now on.")
            : Fault(pointer: "/ends_after", code: "no_occurrence", detail: "It has had as many occurrences.")
    }
}
extension RecurrenceUnit: SQLEncodable, SQLDecodable {}
