// A batch of SendGrid's events, read leniently: what somebody's mailbox or a campaign's author put into one costs no other.
internal import JSON

extension SendGridEvent {
    private static let limits = JSONLimits(maximumBytes: 4 * 1_048_576, takesLongIntegers: true)

    /// The elements of a batch whose signature holds. Bytes that are no UTF-8, and halves of characters, become U+FFFD; where
    /// the batch is no JSON all the same, the elements that are.
    /// - Returns: `nil` for what is no array, or one of which nothing can be read.
    static func elements(of body: [UInt8]) -> [JSONValue]? {
        let bytes = withoutHalves(Array(String(decoding: body, as: UTF8.self).utf8))
        if let batch = parsed(bytes[...]) { return batch.array }
        let read = pieces(of: bytes).compactMap(parsed)
        return read.isEmpty ? nil : read
    }

    private static func parsed(_ bytes: ArraySlice<UInt8>) -> JSONValue? {
        do { return try JSONValue(parsing: Array(bytes), limits: limits) } catch { return nil }
    }

    /// `\ud83d` without its other half behind it, or that alone, as `\ufffd`.
    private static func withoutHalves(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        func unit(at index: Int) -> UInt16? {
            guard index + 6 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u") else { return nil }
            return UInt16(String(decoding: bytes[index + 2..<index + 6], as: UTF8.self), radix: 16)
        }
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                index += 1
                continue
            }
            guard let first = unit(at: index), (0xD800...0xDFFF).contains(first) else {
                // Whatever is escaped, a backslash too.
                index += 2
                continue
            }
            if first < 0xDC00, let second = unit(at: index + 6), (0xDC00...0xDFFF).contains(second) {
                index += 12
            } else {
                bytes.replaceSubrange(index + 2..<index + 6, with: "fffd".utf8)
                index += 6
            }
        }
        return bytes
    }

    /// What stands between the commas of the outermost array, as far as brackets and quotes tell.
    private static func pieces(of bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var (depth, start) = (0, 0)
        var (inString, isEscaped) = (false, false)
        for (index, byte) in bytes.enumerated() {
            if inString {
                if byte == UInt8(ascii: "\""), !isEscaped { inString = false }
                isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth == 1 { start = index + 1 }
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                if depth == 1 { pieces.append(bytes[start..<index]) }
                depth -= 1
            case UInt8(ascii: ",") where depth == 1:
                pieces.append(bytes[start..<index])
                start = index + 1
            default: break
            }
        }
        return pieces
    }
}
