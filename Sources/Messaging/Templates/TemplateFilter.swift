internal import JSON
internal import Vocabulary

/// What can be made of a value. docs/templates.md has the table for authors, with an example of each.
enum TemplateFilter: Sendable, Hashable {
    case fallback(JSONValue)
    case upcase, downcase, capitalize, trim
    case truncate(Int, String)
    case replace(String, String)
    case append(String), prepend(String)
    case date(DateFormat, TemplateZone)
    case number(NumberFormat)
    case money(Currency)
    case plus(ExactDecimal), times(ExactDecimal)
    case urlEncode
    case first, last, size
    case join(String)

    static let usages: [(name: String, usage: String)] = [
        ("default", "default: \"text\""), ("upcase", "upcase"), ("downcase", "downcase"), ("capitalize", "capitalize"), ("trim", "trim"),
        ("truncate", "truncate: 20 or truncate: 20, \"…\""), ("replace", "replace: \"old\", \"new\""), ("remove", "remove: \"text\""),
        ("append", "append: \"text\""), ("prepend", "prepend: \"text\""),
        ("date", "date: \"%d.%m.%Y\" or date: \"%H:%M\", \"Europe/Berlin\""),
        ("number", "number: 2 or number: 2, \",\" or number: 2, \".\", \",\""), ("money", "money: \"USD\""), ("plus", "plus: 1"),
        ("minus", "minus: 1"), ("times", "times: 2"), ("url_encode", "url_encode"), ("first", "first"), ("last", "last"),
        ("size", "size"), ("join", "join: \", \""),
    ]
    static func usage(of name: String) -> String? { usages.first { $0.name == name }?.usage }

    /// - Parameter name: one of `usages`.
    init(_ name: String, _ arguments: inout TemplateArguments) throws(TemplateFault) {
        switch name {
        case "default": self = .fallback(try arguments.any())
        case "upcase": self = .upcase
        case "downcase": self = .downcase
        case "capitalize": self = .capitalize
        case "trim": self = .trim
        case "truncate": self = .truncate(try arguments.integer(1...10_000), try arguments.text(or: "..."))
        case "replace": self = .replace(try arguments.nonEmptyText(), try arguments.text())
        case "remove": self = .replace(try arguments.nonEmptyText(), "")
        case "append": self = .append(try arguments.text())
        case "prepend": self = .prepend(try arguments.text())
        case "date": self = .date(try arguments.format(), try arguments.zone())
        case "number":
            self = .number(
                NumberFormat(
                    decimals: try arguments.integer(0...10), group: try arguments.text(or: ""), point: try arguments.text(or: ".")))
        case "money": self = .money(try arguments.currency())
        case "plus": self = .plus(try arguments.decimal())
        case "minus": self = .plus(try arguments.decimal() * ExactDecimal(-1))
        case "times": self = .times(try arguments.decimal())
        case "url_encode": self = .urlEncode
        case "first": self = .first
        case "last": self = .last
        case "size": self = .size
        case "join": self = .join(try arguments.text())
        default: preconditionFailure("\(name) is in the table and cannot be read")
        }
        try arguments.finish()
    }

    /// Something comes of nothing.
    var isFallback: Bool {
        switch self {
        case .fallback, .size: true
        default: false
        }
    }
}

/// What stands behind the colon of a filter, taken one after the other.
struct TemplateArguments {
    let usage: String
    /// Where they end: there the missing ones should stand.
    var end = 0
    private var values: ArraySlice<(value: JSONValue, position: Int)> = []

    init(usage: String) { self.usage = usage }
    mutating func add(_ value: JSONValue, at position: Int) { values.append((value, position)) }

    private func fault(_ position: Int?) -> TemplateFault {
        let name = usage.prefix { $0 != ":" }
        return TemplateFault(position: position ?? end, code: "template_bad_argument", detail: "`\(name)` is written \(usage).")
    }

    /// - Parameter read: `nil`: not such a value.
    private mutating func take<T>(_ read: (JSONValue) -> T?) throws(TemplateFault) -> T {
        guard let first = values.first else { throw fault(nil) }
        guard let value = read(first.value) else { throw fault(first.position) }
        values.removeFirst()
        return value
    }

    mutating func any() throws(TemplateFault) -> JSONValue { try take { $0 } }
    mutating func text() throws(TemplateFault) -> String { try take(\.string) }
    mutating func text(or absent: String) throws(TemplateFault) -> String { values.isEmpty ? absent : try text() }
    mutating func nonEmptyText() throws(TemplateFault) -> String { try take { $0 == "" ? nil : $0.string } }
    mutating func integer(_ range: ClosedRange<Int>) throws(TemplateFault) -> Int {
        try take { $0.integer.flatMap { range.contains($0) ? $0 : nil } }
    }
    mutating func decimal() throws(TemplateFault) -> ExactDecimal { try take { $0.real == nil ? nil : TemplateValue.decimal($0) } }
    mutating func format() throws(TemplateFault) -> DateFormat { try take { $0.string.flatMap(DateFormat.init) } }
    mutating func zone() throws(TemplateFault) -> TemplateZone {
        values.isEmpty ? .utc : try take { $0.string.flatMap(TemplateZone.init) }
    }
    mutating func currency() throws(TemplateFault) -> Currency { try take { $0.string.flatMap(Currency.init) } }
    func finish() throws(TemplateFault) { if let first = values.first { throw fault(first.position) } }
}
