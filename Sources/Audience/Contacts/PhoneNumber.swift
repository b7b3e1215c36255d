// Phone numbers as people write them, to E.164. C++: libphonenumber.
internal import CPhoneNumber
public import Vocabulary

/// Why a text is no phone number.
public enum PhoneFault: Int32, Error, Sendable {
    case notANumber = 1, noCountry, tooShort, tooLong, impossible, hasExtension

    public var detail: String {
        switch self {
        case .notANumber: "This is not a phone number."
        case .noCountry: "A national number needs a default country; write it with + and its country code."
        case .tooShort: "The number has too few digits for its country."
        case .tooLong: "The number has too many digits for its country."
        case .impossible: "No number of its country looks like this."
        case .hasExtension: "A number with an extension cannot get messages."
        }
    }
}

/// - Parameters:
///   - text: international with `+`, or national when there is a country.
///   - country: ISO 3166-1 alpha-2.
/// - Source: libphonenumber's "possible number"; whether it is in service only its network knows.
public func phoneNumber(_ text: String, country: String?) throws(PhoneFault) -> E164 {
    // Most files hold North American numbers in this form already: the check costs nothing, the library 13 µs.
    if isNorthAmerican(text), let number = E164(text) { return number }
    var buffer = [CChar](repeating: 0, count: 32)
    let code = muster_phone_e164(text, UInt(text.utf8.count), country ?? "ZZ", &buffer)
    guard code == 0 else { throw PhoneFault(rawValue: code) ?? .notANumber }
    guard let number = E164(String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)) else {
        throw .impossible
    }
    return number
}

/// `+1`, then NXX NXX XXXX.
private func isNorthAmerican(_ text: String) -> Bool {
    let bytes = text.utf8
    guard bytes.count == 12, text.hasPrefix("+1") else { return false }
    for (index, byte) in bytes.enumerated().dropFirst(2) {
        guard (index == 2 || index == 5 ? (50...57) : (48...57)).contains(byte) else { return false }
    }
    return true
}

/// Whether libphonenumber knows this country.
public func isKnownCountry(_ code: String) -> Bool { code.utf8.count == 2 && muster_phone_knows_region(code) == 1 }

/// The calling code of a country; 0 for one that the library does not know.
func callingCode(_ country: String) -> Int { Int(muster_phone_calling_code(country)) }
