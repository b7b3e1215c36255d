// The standard library normalises for its own comparisons; Foundation would cost a responder half of its memory.
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
