internal import PostgreSQL

/// The SQL of one field's value, in each type that an operator may want it in. NULL is a missing value.
struct FieldValue {
    private let type: FieldType
    /// The column, or the JSON value as text.
    let looseText: String
    /// `nil` for a column.
    let json: String?

    init(_ source: FieldSource, _ type: FieldType, _ compiler: inout RuleCompiler) {
        self.type = type
        switch source {
        case .column(let name):
            // Names of our own columns only: the parser took them from its table.
            looseText = name == "assigned_to" ? "c.assigned_to::text" : "c.\(name)"
            json = nil
        case .attribute(let keys):
            (json, looseText) = FieldValue.path("c.attributes", keys, &compiler)
        case .property(let keys):
            (json, looseText) = FieldValue.path("e.properties", keys, &compiler)
        case .score:
            looseText = "v.score"
            json = nil
        case .rfm(let column):
            looseText = "v.\(column)"
            json = nil
        }
    }

    /// What is at the keys below a JSON value, or that value itself.
    init(json value: String, _ keys: [String], _ type: FieldType, _ compiler: inout RuleCompiler) {
        self.type = type
        if keys.isEmpty {
            (json, looseText) = (value, "(\(value) #>> '{}')")
        } else {
            (json, looseText) = FieldValue.path(value, keys, &compiler)
        }
    }

    private static func path(_ object: String, _ keys: [String], _ compiler: inout RuleCompiler) -> (json: String, text: String) {
        let (json, text) = keys.count == 1 ? ("->", "->>") : ("#>", "#>>")
        let key = keys.count == 1 ? compiler.bind(keys[0], "text") : compiler.bind(keys, "text[]")
        return ("(\(object) \(json) \(key))", "(\(object) \(text) \(key))")
    }

    /// Text as rules see it: no arrays, no objects, numbers in their shortest form.
    var text: String { json.map { "text_of(\($0))" } ?? looseText }
    var number: String { json.map { "number_of(\($0))" } ?? "\(looseText)::numeric" }
    var boolean: String { "boolean_of(\(json!))" }
    func time(_ compiler: inout RuleCompiler) -> String {
        json == nil ? looseText : "time_of(\(looseText), \(compiler.readingZone))"
    }
    func date(_ compiler: inout RuleCompiler) -> String { "date_of(\(looseText), \(compiler.zone))" }
    /// A text array for a column, else a JSON array.
    func tags(_ sensitive: Bool) -> String {
        guard let json else { return sensitive ? looseText : "lower(\(looseText)::text)::text[]" }
        return sensitive ? "tags_of(\(json))" : "lower(tags_of(\(json))::text)::jsonb"
    }

    /// Whether there is a value of the field's type. Never NULL.
    func isKnown(_ compiler: inout RuleCompiler) -> String {
        switch type {
        case .text, .email, .phone: "(\(text) IS NOT NULL)"
        case .number, .money: "(\(number) IS NOT NULL)"
        case .boolean: "(\(boolean) IS NOT NULL)"
        case .date: "(\(date(&compiler)) IS NOT NULL)"
        case .time: "(\(time(&compiler)) IS NOT NULL)"
        case .tags: json == nil ? "(\(looseText) <> '{}')" : "(coalesce(jsonb_array_length(\(tags(true))), 0) > 0)"
        }
    }
}

/// Which E.164 numbers are a country's. Countries that share a calling code are told apart for North America, where
/// the area code says it; elsewhere the calling code decides.
struct NumberPlan {
    let prefixes: [String]
    let except: [String]

    static func of(_ country: String) -> NumberPlan {
        let code = callingCode(country)
        guard code == 1 else { return NumberPlan(prefixes: ["+\(code)"], except: []) }
        if country == "US" { return NumberPlan(prefixes: ["+1"], except: areaCodes.values.flatMap { $0 }.sorted().map { "+1\($0)" }) }
        return NumberPlan(prefixes: (areaCodes[country] ?? []).map { "+1\($0)" }, except: [])
    }

    /// Area codes of the North American Numbering Plan outside the United States (NANPA, 2026).
    private static let areaCodes: [String: [Int]] = [
        "CA": [
            204, 226, 236, 249, 250, 257, 263, 289, 306, 343, 354, 365, 367, 368, 382, 387, 403, 416, 418, 428, 431, 437,
            438, 450, 460, 468, 474, 506, 514, 519, 537, 548, 568, 579, 581, 584, 587, 604, 613, 639, 647, 672, 683, 705,
            709, 742, 753, 778, 780, 782, 807, 819, 825, 867, 873, 879, 902, 905, 942,
        ],
        "BS": [242], "BB": [246], "AI": [264], "AG": [268], "VG": [284], "VI": [340], "KY": [345], "BM": [441],
        "GD": [473], "TC": [649], "JM": [658, 876], "MS": [664], "MP": [670], "GU": [671], "AS": [684], "SX": [721],
        "LC": [758], "DM": [767], "VC": [784], "PR": [787, 939], "DO": [809, 829, 849], "TT": [868], "KN": [869],
    ]
}
