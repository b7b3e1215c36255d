internal import JSON
internal import Vocabulary

/// Renders for one contact, within bounds: neither a template nor a contact makes it run on or grow.
struct TemplateRenderer {
    /// Of all loops together, those within others counted each time.
    static let mostIterations = 10_000
    /// In bytes of UTF-8, of the text and of every value on the way to it.
    static let mostOutput = 1_000_000
    /// A step costs 20; a filter, a comparison what it reads and writes in bytes.
    private static let mostWork = 5_000_000

    /// A bound was reached.
    struct Overflow: Error {}

    let contact: JSONValue
    let markup: Markup
    private(set) var text = ""
    private var work = 0
    private var iterations = 0
    private var loops: [(item: JSONValue, index: Int, count: Int)] = []

    init(_ contact: JSONValue, _ markup: Markup) {
        self.contact = contact
        self.markup = markup
    }

    mutating func render(_ nodes: [TemplateNode]) throws(Overflow) {
        for node in nodes {
            try charge(20)
            switch node {
            case .literal(let literal): try write(literal)
            case .output(let expression): try write(markup.written(TemplateValue.text(try value(expression))))
            case .branches(let branches):
                for branch in branches {
                    guard try branch.condition.map({ condition throws(Overflow) in try holds(condition) }) ?? true else { continue }
                    try render(branch.nodes)
                    break
                }
            case .loop(let loop): try render(loop)
            }
        }
    }

    private mutating func render(_ loop: TemplateLoop) throws(Overflow) {
        let all = TemplateValue.items(try value(loop.source))
        let items = (loop.isReversed ? all.reversed() : all).prefix(loop.limit ?? all.count)
        if items.isEmpty { return try render(loop.otherwise) }
        loops.append((.null, 0, items.count))
        for (index, item) in items.enumerated() {
            iterations += 1
            guard iterations <= Self.mostIterations else { throw Overflow() }
            loops[loops.count - 1].item = item
            loops[loops.count - 1].index = index
            try render(loop.body)
        }
        loops.removeLast()
    }

    private mutating func write(_ piece: String) throws(Overflow) {
        guard text.utf8.count + piece.utf8.count <= Self.mostOutput else { throw Overflow() }
        text += piece
    }

    private mutating func charge(_ cost: Int) throws(Overflow) {
        work += cost
        guard work <= Self.mostWork else { throw Overflow() }
    }

    // MARK: Values

    private mutating func value(_ expression: TemplateExpression) throws(Overflow) -> JSONValue {
        var value = read(expression.operand)
        for filter in expression.filters { value = try apply(filter, to: value) }
        return value
    }

    private func read(_ operand: TemplateOperand) -> JSONValue {
        switch operand {
        case .literal(let value): return value
        case .blank: return .null
        case .contact(let variable): return variable.value(in: contact) ?? .null
        case .item(let loop, let path): return path.reduce(loops[loop].item) { $0[$1] ?? .null }
        case .forloop(let field):
            let (_, index, count) = loops[loops.count - 1]
            return switch field {
            case .index: .integer(Int64(index + 1))
            case .index0: .integer(Int64(index))
            case .first: .bool(index == 0)
            case .last: .bool(index == count - 1)
            case .length: .integer(Int64(count))
            }
        }
    }

    private mutating func apply(_ filter: TemplateFilter, to value: JSONValue) throws(Overflow) -> JSONValue {
        switch filter {
        case .first: return TemplateValue.items(value).first ?? .null
        case .last: return TemplateValue.items(value).last ?? .null
        case .size: return .integer(Int64(value.array?.count ?? TemplateValue.text(value).count))
        case .join(let separator):
            let texts = TemplateValue.items(value).map(TemplateValue.text)
            try charge(texts.reduce(20) { $0 + $1.utf8.count + separator.utf8.count })
            return .string(texts.joined(separator: separator))
        // Blank counts as missing: nobody wants to read "Hi  ,".
        case .fallback(let fallback): return TemplateValue.isBlank(value) ? fallback : value
        case .plus(let number): return .string(TemplateValue.decimal(value).map { ($0 + number).description } ?? "")
        case .times(let number): return .string(TemplateValue.decimal(value).map { ($0 * number).description } ?? "")
        case .number(let format): return .string(TemplateValue.decimal(value).map { format.text($0) } ?? "")
        case .money(let currency):
            return .string(TemplateValue.decimal(value).map { currency.format.text($0, prefix: currency.prefix) } ?? "")
        case .date(let format, let zone): return .string(TemplateValue.time(value, zone.rules).map(format.text) ?? "")
        default: return .string(try apply(filter, to: TemplateValue.text(value)))
        }
    }

    private mutating func apply(_ filter: TemplateFilter, to text: String) throws(Overflow) -> String {
        try charge(20 + text.utf8.count)
        let made: String
        switch filter {
        case .upcase: made = text.uppercased()
        case .downcase: made = text.lowercased()
        case .capitalize: made = text.prefix(1).uppercased() + text.dropFirst()
        case .trim: made = trimmed(text)
        case .truncate(let length, let end):
            made = text.count <= length ? text : trimmed(text.prefix(max(0, length - end.count))) + end
        case .append(let other): made = text + other
        case .prepend(let other): made = other + text
        case .replace(let old, let new): made = try replacing(old, with: new, in: text)
        case .urlEncode: made = percentEncoded(text)
        default: preconditionFailure("\(filter) is not of texts")
        }
        try charge(made.utf8.count)
        return made
    }

    private mutating func replacing(_ old: String, with new: String, in text: String) throws(Overflow) -> String {
        let (old, new, text) = (Array(old.utf8), Array(new.utf8), Array(text.utf8))
        try charge(text.count * old.count / 16)
        var made: [UInt8] = []
        var index = 0
        while index < text.count {
            if text[index...].starts(with: old) {
                made += new
                index += old.count
            } else {
                made.append(text[index])
                index += 1
            }
            guard made.count <= Self.mostOutput else { throw Overflow() }
        }
        return String(decoding: made, as: UTF8.self)
    }

    // MARK: Conditions

    private mutating func holds(_ condition: TemplateCondition) throws(Overflow) -> Bool {
        try charge(20)
        switch condition {
        case .never: return false
        case .holds(let expression): return TemplateValue.isTrue(try value(expression))
        case .not(let condition): return try !holds(condition)
        case .all(let conditions):
            for condition in conditions where try !holds(condition) { return false }
            return true
        case .any(let conditions):
            for condition in conditions where try holds(condition) { return true }
            return false
        case .compare(let first, let comparison, let second):
            let (a, b) = (try value(first), try value(second))
            let isBlank = first.operand == .blank || second.operand == .blank
            switch comparison {
            case .equal: return isBlank ? TemplateValue.isBlank(a) && TemplateValue.isBlank(b) : TemplateValue.areEqual(a, b)
            case .notEqual: return isBlank ? !(TemplateValue.isBlank(a) && TemplateValue.isBlank(b)) : !TemplateValue.areEqual(a, b)
            case .less: return TemplateValue.isLess(a, b) == true
            case .greater: return TemplateValue.isLess(b, a) == true
            case .lessOrEqual: return TemplateValue.isLess(b, a) == false
            case .greaterOrEqual: return TemplateValue.isLess(a, b) == false
            case .contains: return try contains(a, b)
            }
        }
    }

    private mutating func contains(_ whole: JSONValue, _ part: JSONValue) throws(Overflow) -> Bool {
        if let values = whole.array {
            try charge(values.count)
            return values.contains { TemplateValue.areEqual($0, part) }
        }
        let (text, wanted) = (Array(TemplateValue.text(whole).utf8), Array(TemplateValue.text(part).utf8))
        guard !wanted.isEmpty, text.count >= wanted.count else { return false }
        try charge(text.count * wanted.count / 16)
        return (0...(text.count - wanted.count)).contains { text[$0...].starts(with: wanted) }
    }
}

/// RFC 3986, section 2.3: everything else than letters, digits, `-`, `.`, `_` and `~` is encoded.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
