// Where exactly a text stops being JSON. jansson says how far it has read, which is behind the fault; this finds the
// fault itself. It only runs once there is one.

/// The offset of the fault, in bytes from 0.
/// - Parameters:
///   - read: how many bytes jansson had taken when it gave up.
///   - message: jansson's words, which tell at which end of what it took the fault is.
func offsetOfFault(in bytes: [UInt8], read: Int, message: String) -> Int {
    let read = max(0, min(read, bytes.count))
    // It stops before these ...
    if message.hasPrefix("unable to decode") || message.hasPrefix("control character") || message.hasPrefix("unexpected newline") {
        return read
    }
    // ... behind the letter that no escape has, ...
    if message.hasPrefix("invalid escape") { return max(0, read - 1) }
    // ... at the end, where something is missing, ...
    if message.hasPrefix("premature end") || message.hasSuffix("near end of file") { return bytes.count }
    // ... or behind a token that is wrong, or wrong there.
    return startOfToken(before: read, in: bytes)
}

private func startOfToken(before end: Int, in bytes: [UInt8]) -> Int {
    var offset = 0
    var start = 0
    while offset < end {
        start = offset
        offset = endOfToken(at: offset, in: bytes)
        if isSpace(bytes[start]) { start = offset }
    }
    return min(start, max(0, bytes.count))
}

/// Tokens as jansson cuts them, wrong ones included.
private func endOfToken(at start: Int, in bytes: [UInt8]) -> Int {
    func run(from offset: Int, _ belongs: (UInt8) -> Bool) -> Int {
        bytes[offset...].firstIndex { !belongs($0) } ?? bytes.count
    }
    switch bytes[start] {
    case let byte where isSpace(byte): return run(from: start, isSpace)
    case UInt8(ascii: "\""):
        var offset = start + 1
        while offset < bytes.count, bytes[offset] != UInt8(ascii: "\"") { offset += bytes[offset] == UInt8(ascii: "\\") ? 2 : 1 }
        return min(offset + 1, bytes.count)
    case let byte where isLetter(byte): return run(from: start, isLetter)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return endOfNumber(at: start, in: bytes, run)
    // A character of several bytes is one token.
    case 0xC0...: return run(from: start + 1) { $0 & 0xC0 == 0x80 }
    default: return start + 1
    }
}

private func endOfNumber(at start: Int, in bytes: [UInt8], _ run: (Int, (UInt8) -> Bool) -> Int) -> Int {
    func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    func at(_ offset: Int, _ choices: String) -> Bool { offset < bytes.count && choices.utf8.contains(bytes[offset]) }
    var offset = bytes[start] == UInt8(ascii: "-") ? start + 1 : start
    if at(offset, "0") { offset += 1 } else { offset = run(offset, isDigit) }
    if at(offset, ".") { offset = run(offset + 1, isDigit) }
    if at(offset, "eE") {
        offset += 1
        if at(offset, "+-") { offset += 1 }
        offset = run(offset, isDigit)
    }
    return offset
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }

private func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
}

/// Line and column, both from 1; columns count characters.
func position(_ offset: Int, in bytes: [UInt8]) -> (line: Int, column: Int) {
    var line = 1
    var column = 1
    for byte in bytes.prefix(offset) {
        if byte == UInt8(ascii: "\n") {
            line += 1
            column = 1
        } else if byte & 0xC0 != 0x80 {
            column += 1
        }
    }
    return (line, column)
}
