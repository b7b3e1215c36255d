// The standard library normalises for its own comparisons; Foundation would cost a responder half of its memory.
internal import CWideText
@_spi(_Unicode) internal import Swift

/// The text in Unicode Normalization Form C: `e` with a combining accent would cost UCS-2, `é` does not.
public func normalized(_ text: String) -> String {
    // ASCII is in every normal form.
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
    var scalars = String.UnicodeScalarView()
    scalars.append(contentsOf: text._nfc)
    return String(scalars)
}

/// White space at both ends taken off, as Unicode defines it.
public func trimmed(_ text: some StringProtocol) -> String {
    let scalars = text.unicodeScalars
    guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
        let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
    else { return "" }
    return String(String.UnicodeScalarView(scalars[first...last]))
}

/// Unicode's simple lower-casing, one character for one: what PostgreSQL's `lower` does in C.UTF-8, by the same function
/// of the C library. Swift's own `lowercased` makes two characters of `İ`, and may know another version of Unicode.
public func simplyLowercased(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 < 0x80 }) {
        return text.utf8.contains { (65...90).contains($0) } ? text.lowercased() : text
    }
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        scalars.append(Unicode.Scalar(UInt32(towlower_l(scalar.value, ctype))) ?? scalar)
    }
    return String(scalars)
}

/// Never freed and never changed.
nonisolated(unsafe) private let ctype: locale_t = {
    guard let locale = newlocale(1 << LC_CTYPE, "C.UTF-8", nil) else {
        preconditionFailure("the C library has no locale C.UTF-8; Debian's libc-bin brings it")
    }
    return locale
}()
