import JSON

/// An exact decimal: digits without zeros at either end, times ten to a power.
struct NaiveDecimal: Comparable, CustomStringConvertible {
    var isNegative = false
    var digits: [Int] = []
    var exponent = 0

    init?(_ value: JSONValue?) {
        switch value {
        case .integer(let number): self.init(text: String(number))
        case .real(let number): self.init(text: number.description)
        case .string(let text): self.init(text: text)
        default: return nil
        }
    }

    init?(text: String) {
        var rest = Array(text.unicodeScalars)
        guard rest.count < 400 else { return nil }
        if rest.first == "-" || rest.first == "+" { isNegative = rest.removeFirst() == "-" }
        var point: Int?
        while let next = rest.first, ("0"..."9").contains(next) || (next == "." && point == nil) {
            rest.removeFirst()
            if next == "." { point = digits.count } else { digits.append(Int(next.value) - 48) }
        }
        guard !digits.isEmpty else { return nil }
        exponent = (point ?? digits.count) - digits.count
        if let e = rest.first, e == "e" || e == "E" {
            let power = String(String.UnicodeScalarView(rest.dropFirst()))
            let bare = power.hasPrefix("+") || power.hasPrefix("-") ? String(power.dropFirst()) : power
            guard (1...3).contains(bare.unicodeScalars.count), bare.unicodeScalars.allSatisfy({ ("0"..."9").contains($0) }) else {
                return nil
            }
            exponent += Int(bare)! * (power.hasPrefix("-") ? -1 : 1)
            rest = []
        }
        guard rest.isEmpty else { return nil }
        while digits.last == 0 {
            digits.removeLast()
            exponent += 1
        }
        while digits.first == 0 { digits.removeFirst() }
        if digits.isEmpty { (isNegative, exponent) = (false, 0) }
    }

    static func == (a: NaiveDecimal, b: NaiveDecimal) -> Bool { !(a < b) && !(b < a) }
    static func < (a: NaiveDecimal, b: NaiveDecimal) -> Bool {
        if a.isNegative != b.isNegative { return a.isNegative }
        return a.isNegative ? smaller(b, a) : smaller(a, b)
    }
    private static func smaller(_ a: NaiveDecimal, _ b: NaiveDecimal) -> Bool {
        if a.digits.isEmpty || b.digits.isEmpty { return a.digits.isEmpty && !b.digits.isEmpty }
        let (first, second) = (a.digits.count + a.exponent, b.digits.count + b.exponent)
        return first != second ? first < second : a.digits.lexicographicallyPrecedes(b.digits)
    }

    var description: String {
        if digits.isEmpty { return "0" }
        var text = digits.map(String.init).joined()
        if exponent >= 0 {
            text += String(repeating: "0", count: exponent)
        } else {
            if text.count <= -exponent { text = String(repeating: "0", count: 1 - exponent - text.count) + text }
            text.insert(".", at: text.index(text.endIndex, offsetBy: exponent))
        }
        return (isNegative ? "-" : "") + text
    }

    /// Both with the smaller exponent, as plain digits from the least one on.
    private static func aligned(_ a: NaiveDecimal, _ b: NaiveDecimal) -> (a: [Int], b: [Int], exponent: Int) {
        let exponent = min(a.exponent, b.exponent)
        func digits(_ x: NaiveDecimal) -> [Int] { Array(repeating: 0, count: x.exponent - exponent) + x.digits.reversed() }
        return (digits(a), digits(b), exponent)
    }

    private init(isNegative: Bool, reversed: [Int], exponent: Int) {
        (self.isNegative, digits, self.exponent) = (isNegative, reversed.reversed(), exponent)
        while digits.last == 0 {
            digits.removeLast()
            self.exponent += 1
        }
        while digits.first == 0 { digits.removeFirst() }
        if digits.isEmpty { (self.isNegative, self.exponent) = (false, 0) }
    }

    /// As on paper: add where the signs agree, else take the smaller from the greater.
    static func + (a: NaiveDecimal, b: NaiveDecimal) -> NaiveDecimal {
        if a.digits.isEmpty { return b }
        if b.digits.isEmpty { return a }
        if a.isNegative != b.isNegative, smaller(a, b) { return b + a }
        let (x, y, exponent) = aligned(a, b)
        let sign = a.isNegative == b.isNegative ? 1 : -1
        var (result, carry): ([Int], Int) = ([], 0)
        for index in 0..<max(x.count, y.count) {
            let digit = (index < x.count ? x[index] : 0) + sign * (index < y.count ? y[index] : 0) + carry
            result.append((digit + 10) % 10)
            carry = digit < 0 ? -1 : digit / 10
        }
        return NaiveDecimal(isNegative: a.isNegative, reversed: result + [carry], exponent: exponent)
    }

    static func * (a: NaiveDecimal, times: Int) -> NaiveDecimal {
        (0..<times).reduce(NaiveDecimal(text: "0")!) { sum, _ in sum + a }
    }
}
