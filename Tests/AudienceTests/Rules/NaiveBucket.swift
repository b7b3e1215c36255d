import Foundation

/// The first 32 bits of MD5 (RFC 1321) of salt and id, modulo 10,000.
func naiveBucket(_ salt: String, _ id: String) -> Int {
    var message = Array("\(salt):\(id)".utf8)
    let bits = UInt64(message.count * 8)
    message.append(0x80)
    while message.count % 64 != 56 { message.append(0) }
    message += (0..<8).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) }
    let shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]]
    var (a0, b0, c0, d0): (UInt32, UInt32, UInt32, UInt32) = (0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476)
    for start in stride(from: 0, to: message.count, by: 64) {
        var (a, b, c, d) = (a0, b0, c0, d0)
        for step in 0..<64 {
            let (f, word): (UInt32, Int) =
                switch step / 16 {
                case 0: ((b & c) | (~b & d), step)
                case 1: ((d & b) | (~d & c), (5 * step + 1) % 16)
                case 2: (b ^ c ^ d, (3 * step + 5) % 16)
                default: (c ^ (b | ~d), 7 * step % 16)
                }
            let read = (0..<4).reduce(UInt32(0)) { $0 | UInt32(message[start + word * 4 + $1]) << UInt32($1 * 8) }
            let sum = a &+ f &+ md5Sines[step] &+ read
            let shift = UInt32(shifts[step / 16][step % 4])
            (a, d, c, b) = (d, c, b, b &+ (sum << shift | sum >> (32 - shift)))
        }
        (a0, b0, c0, d0) = (a0 &+ a, b0 &+ b, c0 &+ c, d0 &+ d)
    }
    return Int(a0.byteSwapped) % 10_000
}

private let md5Sines: [UInt32] = (1...64).map { UInt32(abs(sin(Double($0))) * 4_294_967_296) }
