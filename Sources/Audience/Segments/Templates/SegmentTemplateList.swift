// The questions themselves. Each is a rule that anybody could have written; "engaged" means replied or clicked, which
// people do, and not opened, which programs do as well.
internal import JSON

private func did(_ deed: JSONValue, _ window: JSONValue? = nil) -> JSONValue {
    guard let window else { return ["campaign": "*", "did": deed] }
    return ["campaign": "*", "did": deed, "within": window]
}
private func engaged(_ window: JSONValue) -> JSONValue {
    ["any": [did("replied", window), did("clicked", window), did("converted", window)]]
}
private func known(_ field: JSONValue) -> JSONValue { ["field": field, "op": "is_known"] }
private func created(_ window: JSONValue) -> JSONValue { ["field": "created_at", "op": "within", "value": window] }
private func days(_ number: Int, _ description: String) -> TemplateParameter { TemplateParameter("days", description, .days(number)) }

let segmentTemplates: [SegmentTemplate] = [
    SegmentTemplate(
        "new_this_week", "New this week", "Contacts that were added since Monday, of one status where it is given",
        [TemplateParameter("status", "Only with this status, such as New", .text)]
    ) { values in
        let week = created(["calendar": "this", "unit": "week"])
        return values["status"].isNull ? week : ["all": [week, ["field": "status", "op": "is", "value": values["status"]]]]
    },
    SegmentTemplate("added_today", "Added today", "Contacts that were imported or added today") { _ in
        created(["calendar": "this", "unit": "day"])
    },
    SegmentTemplate(
        "new_and_not_messaged", "New and not yet messaged", "Contacts of the last days whom no campaign has written to",
        [days(7, "How many days back somebody counts as new")]
    ) { values in ["all": [created(["last": values.days()]), ["not": did("sent")]]] },
    SegmentTemplate("never_messaged", "Never messaged", "Contacts whom no campaign has ever written to") { _ in ["not": did("sent")] },
    SegmentTemplate(
        "engaged", "Engaged", "Contacts who replied, clicked or converted in the last days", [days(30, "How many days back counts")]
    ) { values in engaged(["last": values.days()]) },
    SegmentTemplate(
        "gone_quiet", "Gone quiet", "Contacts who were written to before that, and have not replied, clicked or converted for so many days",
        [days(30, "For how many days they have been quiet")]
    ) { values in ["all": [did("sent", ["until": ["ago": values.days()]]), ["not": engaged(["last": values.days()])]]] },
    SegmentTemplate(
        "likely_to_leave", "Likely to leave",
        "Contacts who were engaged, and then no more: silence after interest is what comes before an opt-out",
        [
            days(30, "For how many days they have been silent"),
            TemplateParameter("before", "How many days back they were engaged at least once", .days(120)),
        ]
    ) { values in
        ["all": [engaged(["last": values.days("before")]), ["not": engaged(["last": values.days()])], ["not": did("opted_out")]]]
    },
    SegmentTemplate(
        "clicked_not_converted", "Clicked, not converted", "Contacts who clicked in the last days and have not converted in them",
        [days(14, "How many days back counts")]
    ) { values in ["all": [did("clicked", ["last": values.days()]), ["not": did("converted", ["last": values.days()])]]] },
    SegmentTemplate("sms_only", "Reachable by SMS only", "Contacts who may be texted and not mailed") { values in
        ["all": [values.reachable("sms"), ["not": values.reachable("email")]]]
    },
    SegmentTemplate("email_only", "Reachable by e-mail only", "Contacts who may be mailed and not texted") { values in
        ["all": [values.reachable("email"), ["not": values.reachable("sms")]]]
    },
    SegmentTemplate("opted_out", "Opted out", "Contacts who do not want messages, by SMS or by e-mail") { _ in
        ["any": [["consent": "sms", "state": "opted_out"], ["consent": "email", "state": "opted_out"]]]
    },
    SegmentTemplate("never_asked", "Never asked for consent", "Contacts with an address who have neither agreed nor refused") { _ in
        [
            "all": [
                ["any": [known("phone"), known("email")]], ["consent": "sms", "state": "unknown"],
                ["consent": "email", "state": "unknown"],
            ]
        ]
    },
    SegmentTemplate(
        "undeliverable", "Undeliverable", "Contacts to whom messages of the last days failed and none was delivered",
        [days(90, "How many days back counts")]
    ) { values in ["all": [did("failed", ["last": values.days()]), ["not": did("delivered", ["last": values.days()])]]] },
    SegmentTemplate(
        "incomplete", "Incomplete", "Contacts without a name, or without any address"
    ) { _ in
        [
            "any": [
                ["none": [known("name"), known("first_name"), known("last_name")]], ["none": [known("phone"), known("email")]],
            ]
        ]
    },
    SegmentTemplate(
        "high_value", "High value", "Contacts whose value is high: the best tenth, unless another number is given",
        [
            TemplateParameter(
                "field", "Where the value is",
                .field(
                    [.number, .money],
                    words: ["lifetime", "ltv", "revenue", "spent", "spend", "value", "history", "amount", "total", "orders"])),
            TemplateParameter("at_least", "From which number on it is high", .high(of: "field")),
        ]
    ) { values in ["field": values["field"], "op": "at_least", "value": values["at_least"]] },
    SegmentTemplate(
        "birthday_this_month", "Birthday this month", "Contacts whose birthday falls in this month",
        [TemplateParameter("field", "Where the birthday is", .field([.date, .time], words: ["birth", "dob", "bday"]))]
    ) { values in ["field": values["field"], "op": "anniversary_within", "value": ["calendar": "this", "unit": "month"]] },
    SegmentTemplate(
        "repeat_buyers", "Came back", "Contacts who did something several times in the last days, such as ordering",
        [
            TemplateParameter("event", "What they did", .event), TemplateParameter("count", "How many times at least", .count(2)),
            days(365, "How many days back counts"),
        ]
    ) { values in ["event": values["event"], "count": ["at_least": values["count"]], "within": ["last": values.days()]] },
    SegmentTemplate(
        "lapsed", "Lapsed", "Contacts who did something before, and not for so many days",
        [TemplateParameter("event", "What they did", .event), days(90, "For how many days not")]
    ) { values in
        ["all": [["event": values["event"]], ["event": values["event"], "count": ["is": 0], "within": ["last": values.days()]]]]
    },
]
