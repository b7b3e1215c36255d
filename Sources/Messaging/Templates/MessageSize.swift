// How many parts a text message has: 3GPP TS 23.038 (alphabets) and 23.040 (140 octets a part, 6 of them a header
// when there is more than one).

/// What one message costs to carry.
public struct MessageSize: Sendable, Hashable {
    public enum Encoding: String, Sendable {
        case gsm7 = "GSM-7"
        case ucs2 = "UCS-2"
    }
    public let encoding: Encoding
    /// Units in each part: septets, or UTF-16 code units.
    public let partUnits: [Int]
    /// An empty text counts as one part; empty texts are refused before they are counted.
    public var parts: Int { partUnits.count }
    public var units: Int { partUnits.reduce(0, +) }

    /// Counts as Twilio's calculator does: neither escape pairs nor surrogate pairs nor grapheme clusters are split.
    /// Counts what it is given: texts are brought to NFC by `normalized` first.
    public init(_ text: String) {
        if let septets = GSM7.septets(of: text) {
            encoding = .gsm7
            partUnits = MessageSize.pack(septets, alone: 160, joined: 153)
        } else {
            encoding = .ucs2
            partUnits = MessageSize.pack(MessageSize.clusters(of: text), alone: 70, joined: 67)
        }
    }

    /// Fills parts with pieces that stay whole.
    private static func pack(_ pieces: [Int], alone: Int, joined: Int) -> [Int] {
        let total = pieces.reduce(0, +)
        if total <= alone { return [total] }
        var parts: [Int] = []
        var current = 0
        for piece in pieces {
            if current + piece > joined {
                parts.append(current)
                current = 0
            }
            current += piece
        }
        return parts + [current]
    }

    /// Sizes of the pieces of a UCS-2 text. CR LF is one Character to Swift and two units that may part; a cluster
    /// larger than a part has to be split, at scalars.
    private static func clusters(of text: String) -> [Int] {
        var sizes: [Int] = []
        for character in text {
            let size = character.utf16.count
            if character == "\r\n" || size > 67 {
                for scalar in character.unicodeScalars { sizes.append(UTF16.width(scalar)) }
            } else {
                sizes.append(size)
            }
        }
        return sizes
    }
}

/// The GSM 7-bit default alphabet and its extension table.
public enum GSM7 {
    private static let basic =
        "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
        + "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
    private static let extended = "\u{0C}^{}\\[~]|€"

    /// Septets of each scalar; 0 outside the alphabet. Everything in it but Greek and € lies below U+0100.
    private static let latin: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 256)
        for scalar in basic.unicodeScalars where scalar.value < 256 { table[Int(scalar.value)] = 1 }
        for scalar in extended.unicodeScalars where scalar.value < 256 { table[Int(scalar.value)] = 2 }
        return table
    }()
    private static let others: [Unicode.Scalar: Int] = {
        var table: [Unicode.Scalar: Int] = [:]
        for scalar in basic.unicodeScalars where scalar.value >= 256 { table[scalar] = 1 }
        for scalar in extended.unicodeScalars where scalar.value >= 256 { table[scalar] = 2 }
        return table
    }()

    /// 1, or 2 behind an escape; `nil` when the alphabet lacks it. The escape itself (U+001B) is no character.
    public static func septets(_ scalar: Unicode.Scalar) -> Int? {
        guard scalar.value < 256 else { return others[scalar] }
        let septets = latin[Int(scalar.value)]
        return septets == 0 ? nil : Int(septets)
    }

    /// Septets of each scalar; `nil` when one of them is outside: then the whole message is UCS-2.
    static func septets(of text: String) -> [Int]? {
        var sizes: [Int] = []
        sizes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            guard let septets = septets(scalar) else { return nil }
            sizes.append(septets)
        }
        return sizes
    }

    /// The scalars that make a text UCS-2, each once, in the order of their first use.
    public static func outsiders(in text: String) -> [Unicode.Scalar] {
        var found: [Unicode.Scalar] = []
        for scalar in text.unicodeScalars where septets(scalar) == nil && !found.contains(scalar) { found.append(scalar) }
        return found
    }
}
