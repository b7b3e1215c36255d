internal import JSON
internal import Vocabulary

/// Renders for one contact, within bounds: neither a template nor a contact makes it run on or grow.
struct TemplateRenderer {
    /// Of all loops together, those within others counted each time.
    static let mostIterations = 10_000
    /// In bytes of UTF-8, of the text and of every value on the way to it.
    static let mostOutput = 1_000_000
    /// A step costs 20; a filter, a comparison what it reads and writes in bytes; what multiplies costs the product.
    private static let mostWork = 5_000_000

    /// A bound was reached.
    struct Overflow: Error {}

    let contact: JSONValue
    let markup: Markup
    private(set) var text = ""
    private(set) var work = 0
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
            case .output(let expression):
                let value = try value(expression)
                try charge(Self.weight(value))
                try write(markup.written(TemplateValue.text(value)))
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
        let all = try items(try value(loop.source))
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

    /// What it costs to read a value whole.
    private static func weight(_ value: JSONValue) -> Int {
        switch value {
        case .string(let text): text.utf8.count
        case .array(let values): values.reduce(8) { $0 + 8 + weight($1) }
        case .object(let object): object.reduce(8) { $0 + 8 + $1.key.utf8.count + weight($1.value) }
        case .null, .bool, .integer, .real: 8
        }
    }

    // MARK: Values

    /// What a loop or a filter goes through. The members of an object are made for it, the values of a list are there.
    private mutating func items(_ value: JSONValue) throws(Overflow) -> [JSONValue] {
        switch value {
        case .object(let object): try charge(20 * object.count)
        case .array(let values): try charge(values.count)
        default: try charge(Self.weight(value))
        }
        return TemplateValue.items(value)
    }

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
        try charge(20)
        switch filter {
        case .first: return try items(value).first ?? .null
        case .last: return try items(value).last ?? .null
        case .size:
            if let values = value.array { return .integer(Int64(values.count)) }
            try charge(Self.weight(value))
            return .integer(Int64(TemplateValue.text(value).count))
        case .join(let separator):
            try charge(Self.weight(value))
            let texts = try items(value).map(TemplateValue.text)
            try charge(texts.reduce(20) { $0 + $1.utf8.count + separator.utf8.count })
            return .string(texts.joined(separator: separator))
        // Blank counts as missing: nobody wants to read "Hi  ,".
        case .fallback(let fallback):
            try charge(value.string?.utf8.count ?? 0)
            return TemplateValue.isBlank(value) ? fallback : value
        case .plus(let number): return try written(value, number) { ($0 + number).description }
        case .times(let number):
            // A number that is none of text has at most 309 digits.
            try charge((value.string.map { min($0.utf8.count, 1000) } ?? (value.real == nil ? 0 : 309)) * number.description.utf8.count)
            return try written(value, number) { ($0 * number).description }
        case .number(let format): return try written(value) { format.text($0) }
        case .money(let currency): return try written(value) { currency.format.text($0, prefix: currency.prefix) }
        case .date(let format, let zone):
            try charge(100 + Self.weight(value))
            let made = TemplateValue.time(value, zone.rules).map(format.text) ?? ""
            try charge(made.utf8.count)
            return .string(made)
        default:
            try charge(Self.weight(value))
            return .string(try apply(filter, to: TemplateValue.text(value)))
        }
    }

    /// A number as something is made of it and of `other`; empty for what is none.
    private mutating func written(_ value: JSONValue, _ other: ExactDecimal = .zero, _ text: (ExactDecimal) -> String) throws(Overflow)
        -> JSONValue
    {
        try charge(100 + Self.weight(value) + other.description.utf8.count)
        let made = TemplateValue.decimal(value).map(text) ?? ""
        try charge(made.utf8.count)
        return .string(made)
    }

    private mutating func apply(_ filter: TemplateFilter, to text: String) throws(Overflow) -> String {
        try charge(text.utf8.count)
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
        case .holds(let expression):
            let value = try value(expression)
            try charge(value.string?.utf8.count ?? 0)
            return TemplateValue.isTrue(value)
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
            try charge(Self.weight(a) + Self.weight(b) + (a.object?.count ?? 0) * (b.object?.count ?? 0))
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
            try charge(values.count * (8 + Self.weight(part)))
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
