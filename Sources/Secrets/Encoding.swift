// Base 64, hex and CRC-32, on bytes.

private let standard = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
private let urlSafe = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

/// RFC 4648, section 4, with padding.
public func base64Encode(_ bytes: [UInt8]) -> String { encode(bytes, standard, padded: true) }
/// RFC 4648, section 5, without padding.
public func base64URLEncode(_ bytes: [UInt8]) -> String { encode(bytes, urlSafe, padded: false) }
/// `nil` for anything but canonical base 64 with its padding.
public func base64Decode(_ text: some StringProtocol) -> [UInt8]? { decode(Array(text.utf8), standard, padded: true) }
/// `nil` for anything but canonical, unpadded base64url.
public func base64URLDecode(_ text: some StringProtocol) -> [UInt8]? { decode(Array(text.utf8), urlSafe, padded: false) }

private func encode(_ bytes: [UInt8], _ alphabet: [UInt8], padded: Bool) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
        let group = bytes[index..<min(index + 3, bytes.count)]
        var bits = 0
        for byte in group { bits = bits << 8 | Int(byte) }
        bits <<= 8 * (3 - group.count)
        for position in 0...group.count { text.append(alphabet[bits >> (18 - 6 * position) & 63]) }
        if padded { text += repeatElement(UInt8(ascii: "="), count: 3 - group.count) }
        index += 3
    }
    return String(decoding: text, as: UTF8.self)
}

private func decode(_ text: [UInt8], _ alphabet: [UInt8], padded: Bool) -> [UInt8]? {
    var text = text[...]
    if padded {
        guard text.count % 4 == 0 else { return nil }
        if text.last == UInt8(ascii: "=") { text = text.dropLast() }
        if text.last == UInt8(ascii: "=") { text = text.dropLast() }
    }
    guard text.count % 4 != 1 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count * 3 / 4)
    var bits = 0
    var count = 0
    for character in text {
        guard let value = value(of: character, alphabet) else { return nil }
        bits = bits << 6 | value
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> count))
            bits &= (1 << count) - 1
        }
    }
    // Leftover bits that are not zero would let two texts mean the same bytes.
    return bits == 0 ? bytes : nil
}

private func value(of character: UInt8, _ alphabet: [UInt8]) -> Int? {
    switch character {
    case 65...90: Int(character) - 65
    case 97...122: Int(character) - 71
    case 48...57: Int(character) + 4
    case alphabet[62]: 62
    case alphabet[63]: 63
    default: nil
    }
}

/// Lower-case hex.
public func hexEncode(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// CRC-32 as in zlib (ISO 3309).
public func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    return ~crc
}
