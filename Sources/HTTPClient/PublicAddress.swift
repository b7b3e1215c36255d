// Which addresses are out there, and which are our own network's.
internal import Glibc

/// Whether an address is one of the public internet: nothing that somebody types in may make us talk to what only we can
/// reach. Source: IANA's registries of special-purpose addresses (RFC 6890).
func isPublic(_ address: UnsafePointer<sockaddr>) -> Bool {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
        let number = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt32(bigEndian: $0.pointee.sin_addr.s_addr) }
        return isPublic(number)
    case AF_INET6:
        let bytes = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
            withUnsafeBytes(of: $0.pointee.sin6_addr) { Array($0) }
        }
        return isPublic(bytes)
    default: return false
    }
}

func isPublic(_ address: UInt32) -> Bool {
    // (network, length of its prefix)
    let own: [(UInt32, UInt32)] = [
        (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8), (0xA9FE_0000, 16), (0xAC10_0000, 12), (0xC000_0000, 24),
        (0xC000_0200, 24), (0xC0A8_0000, 16), (0xC612_0000, 15), (0xC633_6400, 24), (0xCB00_7100, 24), (0xE000_0000, 3),
    ]
    return !own.contains { address >> (32 - $0.1) == $0.0 >> (32 - $0.1) }
}

/// - Parameter bytes: 16, of IPv6.
func isPublic(_ bytes: [UInt8]) -> Bool {
    func number(at start: Int) -> UInt32 { bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    // IPv4 in other clothes: mapped, translated (RFC 6052), 6to4.
    if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF { return isPublic(number(at: 12)) }
    if number(at: 0) == 0x0064_FF9B { return isPublic(number(at: 12)) }
    if bytes[0] == 0x20, bytes[1] == 0x02 { return isPublic(number(at: 2)) }
    // Global unicast, without documentation and Teredo.
    return bytes[0] & 0xE0 == 0x20 && number(at: 0) != 0x2001_0DB8 && number(at: 0) != 0x2001_0000
}
