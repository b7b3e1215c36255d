internal import PostgreSQL

/// The SQL of one field's value, in each type that an operator may want it in. Its keys are bound once.
struct FieldValue {
    private let column: String?
    private let json: String?
    private let key: String?
    private let type: FieldType
    private let fixedNumber: String?

    init(source: FieldSource, type: FieldType, row: String, bind values: inout [SQLValue]) {
        self.type = type
        fixedNumber = nil
        switch source {
        case .column(let name):
            // Names of our own columns only: the parser took them from its table.
            column = "\(row).\(name)"
            json = nil
            key = nil
        case .attribute(let keys), .property(let keys):
            let object = row == "c" ? "c.attributes" : "e.properties"
            column = nil
            if keys.count == 1 {
                values.append(keys[0].sqlValue)
                key = "\(object) ->> $\(values.count)::text"
                json = "\(object) -> $\(values.count)::text"
            } else {
                values.append(keys.sqlValue)
                key = "\(object) #>> $\(values.count)::text[]"
                json = "\(object) #> $\(values.count)::text[]"
            }
        }
    }

    /// A number that is computed already.
    init(number: String) {
        type = .number
        column = nil
        json = nil
        key = nil
        fixedNumber = number
    }

    /// Text; NULL for what is missing or no text.
    var text: String { column.map { $0 } ?? "text_of(\(json!))" }
    /// Text that may also be an array's or an object's: for tests that those cannot pass.
    var looseText: String { column ?? "(\(key!))" }
    var number: String { fixedNumber ?? "number_of(\(json!))" }
    var boolean: String { "boolean_of(\(json!))" }
    func time(_ zone: String) -> String { column ?? "time_of(\(key!), \(zone))" }
    var tags: String { column.map { "lower_all(\($0))" } ?? "tags_of(\(json!))" }

    /// Whether there is a value of the field's type.
    func isKnown(_ zone: String) -> String {
        switch type {
        case .text, .email, .phone: "\(text) IS NOT NULL"
        case .number, .money: "\(number) IS NOT NULL"
        case .boolean: "\(boolean) IS NOT NULL"
        case .date, .time: "\(time(zone)) IS NOT NULL"
        case .tags: "cardinality(\(tags)) > 0"
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
