// What is written is read again as the same; what is damaged is refused or read, and never more than that.
import JSON
import TestSupport
import Testing

@Suite struct RoundTripTests {
    @Test func `random values are read as they were written`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Seeded(seed)
        for _ in 0..<3_000 {
            let value = randomValue(&random, depth: 0)
            let text = value.text
            let again = try JSONValue(parsing: text, limits: .trusted)
            #expect(again == value && again.text == text, "seed \(seed): \(text)")
        }
    }

    @Test func `numbers keep every bit`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Seeded(seed)
        let edges: [Double] = [
            0, -0.0, 1, 0.1, 1e15, 1e16, 1e17, 1e21, 1e22, 123456789.123456789, .pi, .ulpOfOne, .leastNonzeroMagnitude,
            .leastNormalMagnitude, .greatestFiniteMagnitude,
        ]
        for number in edges + (0..<3_000).map({ _ in Double(bitPattern: random.next()) }) where number.isFinite {
            guard case .real(let again) = try JSONValue(parsing: JSONValue.real(number).text) else {
                Issue.record("\(number) is no real any more; seed \(seed)")
                continue
            }
            #expect(again.bitPattern == number.bitPattern, "seed \(seed): \(number)")
        }
        for number in [Int64.min, .max, 0, -1, 1 << 53, (1 << 53) + 1] {
            #expect(try JSONValue(parsing: JSONValue.integer(number).text) == .integer(number))
        }
    }

    @Test func `strings are written with no more escapes than they need`() {
        #expect(JSONValue.string("é€😀/\u{7F}").text == "\"é€😀/\u{7F}\"")
        #expect(JSONValue.string("\"\\\n\r\t\0\u{1F}").text == #""\"\\\n\r\t\u0000\u001f""#)
        #expect((["a\"": [1, .null, true, "x"], "b": [:]] as JSONValue).text == #"{"a\"":[1,null,true,"x"],"b":{}}"#)
    }

    @Test func `random bytes and damaged texts are refused or read`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Seeded(seed)
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round % 5 == 0 {
                bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            } else {
                bytes = round % 2 == 0 ? Array(odd.randomElement(using: &random)!.utf8) : Array(randomValue(&random, depth: 1).text.utf8)
                for _ in 0..<Int.random(in: 1...4, using: &random) { damage(&bytes, &random) }
            }
            check(bytes, "seed \(seed), round \(round)")
        }
    }

    @Test func `odd texts, each cut off at every byte`() {
        for text in odd {
            let bytes = Array(text.utf8)
            for count in 0...bytes.count { check(Array(bytes[..<count]), text) }
        }
    }

    /// Whatever is read can be written and read again; whatever is refused has a place inside the text.
    private func check(_ bytes: [UInt8], _ what: String) {
        do {
            let value = try JSONValue(parsing: bytes)
            let again = try JSONValue(parsing: value.text, limits: .trusted)
            #expect(again == value, "\(what): \(bytes)")
        } catch {
            #expect((0...bytes.count).contains(error.offset) && error.line >= 1 && error.column >= 1, "\(what): \(error) \(bytes)")
            #expect(error.line <= 1 + bytes.count { $0 == 10 }, "\(what): \(error) \(bytes)")
        }
    }
}

/// Texts that found something once, here or in other parsers.
private let odd = [
    "[1\0,2]", "{\"a\":1,\"a\":1}", "{\"\":0,\"\\u0000\":1}", "[\"\\ud83d\\ude00\",\"\\udead\"]", "-0", "[-0.0e-0]",
    "1E+00000000000000000000001",
    "[9223372036854775807,9223372036854775808]", "{\"a\":{\"b\":[[[{\"c\":\"]}\"}]]]}}", "\"\\\\\\\"\\\\\"",
    "[\"\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\"]",
    " \t\r\n[ \t\r\n] \t\r\n", "{\"k\u{301}\":\"e\u{301}\",\"\u{E9}\":\"\u{FEFF}\"}", "[1,[2,[3,[4,[5,[6,[7,[8]]]]]]]]", "\u{FEFF}[]",
    "[\"\\u000a\\u000D\\u0009\"]",
    "[1.0000000000000000000000000000000000000000001e-10,1e308,-1e308]", "nulltruefalse", "[\"//\",\"/**/\"]", "{\"a\":\"\\/\\b\\f\"}",
]

private func randomValue(_ random: inout Seeded, depth: Int) -> JSONValue {
    switch Int.random(in: 0..<(depth > 4 ? 6 : 9), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .integer(Int64(bitPattern: random.next()) >> Int64.random(in: 0...63, using: &random))
    case 3:
        let number = Double(bitPattern: random.next())
        return .real(number.isFinite ? number : 0.5)
    case 4, 5: return .string(randomText(&random))
    case 6, 7: return .array((0..<Int.random(in: 0...5, using: &random)).map { _ in randomValue(&random, depth: depth + 1) })
    default:
        var object = JSONObject()
        // A key cannot hold U+0000.
        for _ in 0..<Int.random(in: 0...5, using: &random) {
            object[randomText(&random).filter { $0 != "\0" }] = randomValue(&random, depth: depth + 1)
        }
        return .object(object)
    }
}

private func randomText(_ random: inout Seeded) -> String {
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: 0...12, using: &random) {
        let limit: UInt32 = [0x20, 0x80, 0x800, 0x3000, 0x11_0000].randomElement(using: &random)!
        if let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &random)) { text.append(scalar) }
    }
    return String(text)
}

private func damage(_ bytes: inout [UInt8], _ random: inout Seeded) {
    let place = Int.random(in: 0...bytes.count, using: &random)
    let telling = Array("\"\\[]{}:,-.eE0u \n\0".utf8) + [0x80, 0xC3, 0xED, 0xFF]
    switch Int.random(in: 0..<4, using: &random) {
    case 0: bytes.insert(telling.randomElement(using: &random)!, at: place)
    case 1 where place < bytes.count: bytes.remove(at: place)
    case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
    default: bytes.insert(contentsOf: bytes.prefix(place).suffix(8), at: place)
    }
}
