// Which addresses are somebody on the public internet, and which are our own house.
internal import Glibc

/// An address as a connection is made to it.
public enum IPAddress: Hashable, Sendable {
    case v4(UInt32)
    case v6(high: UInt64, low: UInt64)

    /// Four decimal numbers without leading zeros, or RFC 4291, section 2.2. Nothing else: no octal, no short forms, no zone.
    public init?(_ text: String) {
        guard !text.utf8.contains(0) else { return nil }
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(UInt32(bigEndian: four.s_addr))
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        self.init(six)
    }

    init(_ six: in6_addr) {
        let (high, low) = withUnsafeBytes(of: six) {
            ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self = .v6(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low))
    }

    /// `nil` for a socket that is none of the internet.
    init?(_ address: UnsafePointer<sockaddr>) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            self = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { .v4(UInt32(bigEndian: $0.pointee.sin_addr.s_addr)) }
        case AF_INET6:
            self = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { IPAddress($0.pointee.sin6_addr) }
        default: return nil
        }
    }

    /// Whether it is a host of the public internet.
    ///
    /// - Source: IANA's registries of special-purpose addresses (RFC 6890 and its successors). Of IPv6 only global
    ///   unicast, 2000::/3, is left: so loopback, link-local, unique local, multicast and whatever holds an IPv4 address
    ///   (mapped, compatible, NAT64) are out together. 6to4 and Teredo hold one as well.
    public var isPublic: Bool {
        switch self {
        case .v4(let address): !Self.special4.contains { address >> (32 - $0.bits) == $0.prefix >> (32 - $0.bits) }
        case .v6(let high, _):
            high >> 61 == 0b001
                && !Self.special6.contains { high >> (64 - $0.bits) == $0.prefix >> (64 - $0.bits) }
        }
    }

    private static let special4: [(prefix: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8),  // this network
        (0x0A00_0000, 8),  // private
        (0x6440_0000, 10),  // shared, behind carriers' NAT
        (0x7F00_0000, 8),  // loopback
        (0xA9FE_0000, 16),  // link-local, and the metadata of clouds
        (0xAC10_0000, 12),  // private
        (0xC000_0000, 24),  // protocol assignments
        (0xC000_0200, 24),  // documentation
        (0xC058_6300, 24),  // relays of 6to4
        (0xC0A8_0000, 16),  // private
        (0xC612_0000, 15),  // benchmarks
        (0xC633_6400, 24),  // documentation
        (0xCB00_7100, 24),  // documentation
        (0xE000_0000, 4),  // multicast
        (0xF000_0000, 4),  // reserved, and broadcast
    ]
    private static let special6: [(prefix: UInt64, bits: UInt64)] = [
        (0x2001_0000_0000_0000, 23),  // protocol assignments: Teredo, benchmarks, ORCHID
        (0x2001_0DB8_0000_0000, 32),  // documentation
        (0x2002_0000_0000_0000, 16),  // 6to4
        (0x3FFF_0000_0000_0000, 20),  // documentation
    ]
}

/// Whom a client connects to.
public enum AddressPolicy: Sendable {
    case any
    /// Only hosts of the public internet, and none of them by a proxy. Asked for each socket with the address that it is
    /// about to connect to, so that no name, notation or change of DNS leads around it.
    case publicOnly
}
