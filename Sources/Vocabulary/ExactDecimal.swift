// Numbers as people write them, without the rounding of doubles: as much of PostgreSQL's numeric as rules need.

/// A decimal number of any length.
public struct ExactDecimal: Hashable, Comparable, Sendable, CustomStringConvertible {
    private let isNegative: Bool
    /// The most significant first; neither the first nor the last is 0, and 0 itself has none.
    private let digits: [UInt8]
    /// The power of ten of the last digit.
    private let exponent: Int

    public static let zero = ExactDecimal(0)

    public init(_ number: Int) { self.init(text: String(number))! }

    /// Decimal notation: an optional sign, digits with at most one point among them, and an optional exponent of at
    /// most six digits. `nil` for anything else.
    public init?(text: some StringProtocol) {
        var rest = Array(text.utf8)[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        var digits: [UInt8] = []
        var fraction: Int?
        while let byte = rest.first, (48...57).contains(byte) || (byte == UInt8(ascii: ".") && fraction == nil) {
            rest = rest.dropFirst()
            if byte == UInt8(ascii: ".") {
                fraction = 0
            } else {
                digits.append(byte - 48)
                fraction = fraction.map { $0 + 1 }
            }
        }
        guard !digits.isEmpty else { return nil }
        var exponent = -(fraction ?? 0)
        if let byte = rest.first {
            guard byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") else { return nil }
            rest = rest.dropFirst()
            let isSmall = rest.first == UInt8(ascii: "-")
            if isSmall || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
            guard (1...6).contains(rest.count), rest.allSatisfy({ (48...57).contains($0) }) else { return nil }
            let power = rest.reduce(0) { $0 * 10 + Int($1 - 48) }
            exponent += isSmall ? -power : power
        }
        self.init(isNegative: isNegative, digits: digits[...], exponent: exponent)
    }

    private init(isNegative: Bool, digits: ArraySlice<UInt8>, exponent: Int) {
        var digits = digits.drop { $0 == 0 }
        var exponent = exponent
        while digits.last == 0 {
            digits.removeLast()
            exponent += 1
        }
        self.isNegative = isNegative && !digits.isEmpty
        self.digits = Array(digits)
        self.exponent = digits.isEmpty ? 0 : exponent
    }

    public static func < (a: ExactDecimal, b: ExactDecimal) -> Bool {
        if a.isNegative != b.isNegative { return a.isNegative }
        return a.isNegative ? isSmaller(b, a) : isSmaller(a, b)
    }

    private static func isSmaller(_ a: ExactDecimal, _ b: ExactDecimal) -> Bool {
        if a.digits.isEmpty || b.digits.isEmpty { return a.digits.isEmpty && !b.digits.isEmpty }
        let (first, second) = (a.digits.count + a.exponent, b.digits.count + b.exponent)
        return first != second ? first < second : a.digits.lexicographicallyPrecedes(b.digits)
    }

    public static func + (a: ExactDecimal, b: ExactDecimal) -> ExactDecimal {
        if a.digits.isEmpty { return b }
        if b.digits.isEmpty { return a }
        let exponent = min(a.exponent, b.exponent)
        let length = max(a.digits.count + a.exponent, b.digits.count + b.exponent) - exponent
        let (first, second) = (a.padded(length, exponent), b.padded(length, exponent))
        if a.isNegative == b.isNegative {
            return ExactDecimal(isNegative: a.isNegative, digits: sum(first, second)[...], exponent: exponent)
        }
        let isFirstSmaller = isSmaller(a, b)
        let (large, small) = isFirstSmaller ? (second, first) : (first, second)
        let isNegative = isFirstSmaller ? b.isNegative : a.isNegative
        return ExactDecimal(isNegative: isNegative, digits: difference(large, small)[...], exponent: exponent)
    }

    public static func * (a: ExactDecimal, b: ExactDecimal) -> ExactDecimal {
        var product = [Int](repeating: 0, count: a.digits.count + b.digits.count)
        for (i, x) in a.digits.enumerated() {
            for (j, y) in b.digits.enumerated() { product[i + j + 1] += Int(x) * Int(y) }
        }
        for index in product.indices.dropFirst().reversed() {
            product[index - 1] += product[index] / 10
            product[index] %= 10
        }
        return ExactDecimal(
            isNegative: a.isNegative != b.isNegative, digits: product.map { UInt8($0) }[...], exponent: a.exponent + b.exponent)
    }

    /// Its digits in places from 10^exponent up.
    private func padded(_ length: Int, _ exponent: Int) -> [UInt8] {
        let behind = self.exponent - exponent
        return [UInt8](repeating: 0, count: length - digits.count - behind) + digits + [UInt8](repeating: 0, count: behind)
    }

    private static func sum(_ a: [UInt8], _ b: [UInt8]) -> [UInt8] {
        var digits = [UInt8](repeating: 0, count: a.count + 1)
        for index in a.indices.reversed() {
            let digit = a[index] + b[index] + digits[index + 1]
            digits[index + 1] = digit % 10
            digits[index] = digit / 10
        }
        return digits
    }

    private static func difference(_ a: [UInt8], _ b: [UInt8]) -> [UInt8] {
        var digits = a
        var borrowed: UInt8 = 0
        for index in a.indices.reversed() {
            let taken = b[index] + borrowed
            borrowed = a[index] < taken ? 1 : 0
            digits[index] = a[index] + borrowed * 10 - taken
        }
        return digits
    }

    /// Without an exponent, and without zeros behind the point: `trim_scale(…)::text`.
    public var description: String {
        if digits.isEmpty { return "0" }
        var text = digits.map { $0 + 48 }
        if exponent >= 0 {
            text += [UInt8](repeating: 48, count: exponent)
        } else {
            if text.count <= -exponent { text = [UInt8](repeating: 48, count: 1 - exponent - text.count) + text }
            text.insert(UInt8(ascii: "."), at: text.count + exponent)
        }
        return (isNegative ? "-" : "") + String(decoding: text, as: UTF8.self)
    }
}
