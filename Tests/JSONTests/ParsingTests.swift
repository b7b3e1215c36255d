// What a text means, and which texts mean nothing.
import JSON
import Testing

/// The error of a text; nil when it is JSON.
func fault(_ bytes: [UInt8], limits: JSONLimits = .body) -> JSONError? {
    do {
        _ = try JSONValue(parsing: bytes, limits: limits)
        return nil
    } catch { return error }
}

func fault(_ text: String, limits: JSONLimits = .body) -> JSONError? { fault(Array(text.utf8), limits: limits) }

@Suite struct ParsingTests {
    @Test func `every kind of value, at the top and inside`() throws {
        let text = " {\"a\" : [null, true, false, 0, -1, 1.5, \"x\", {}, [ ]]}\r\n\t"
        #expect(try JSONValue(parsing: text) == ["a": [.null, true, false, 0, -1, 1.5, "x", [:], []]])
        for (text, value) in [("null", .null), ("true", true), ("7", 7), ("\"\"", ""), ("[]", []), ("{}", [:])] as [(String, JSONValue)] {
            #expect(try JSONValue(parsing: text) == value)
        }
    }

    @Test func `members keep their order, and equality ignores it`() throws {
        let a = try JSONValue(parsing: "{\"z\": 1, \"a\": 2, \"m\": 3}")
        #expect(a.object?.keys == ["z", "a", "m"])
        let b = try JSONValue(parsing: "{\"a\": 2, \"m\": 3, \"z\": 1}")
        #expect(a == b && a.hashValue == b.hashValue && a.text != b.text)
    }

    @Test func `integers have 64 bits, and what has more is refused, not rounded`() throws {
        #expect(try JSONValue(parsing: "9223372036854775807") == .integer(.max))
        #expect(try JSONValue(parsing: "-9223372036854775808") == .integer(.min))
        for text in ["9223372036854775808", "-9223372036854775809", "[18446744073709551616]", String(repeating: "9", count: 400)] {
            #expect(fault(text)?.code == "json_syntax" && fault(text)?.detail.contains("integer") == true, "\(text)")
        }
    }

    @Test func `in what is trusted, integers beyond 64 bits are doubles, and only those`() throws {
        let text = "[9223372036854775807,-9223372036854775808,9223372036854775808,-100000000000000000000,1234567890123456789, 7]"
        #expect(
            try JSONValue(parsing: text, limits: .trusted) == [
                .integer(.max), .integer(.min), .real(9_223_372_036_854_775_808), .real(-1e20), .integer(1_234_567_890_123_456_789), 7,
            ])
        #expect(try JSONValue(parsing: "99999999999999999999", limits: .trusted) == .real(1e20))
        #expect(fault("[99999999999999999999, tru]", limits: .trusted)?.code == "json_syntax")
    }

    @Test func `numbers with a point or an exponent are doubles`() throws {
        let numbers: [(String, Double)] = [
            ("0.1", 0.1), ("-0.0", -0.0), ("1.0", 1), ("1e0", 1), ("1E+2", 100), ("1e-2", 0.01),
            ("1.7976931348623157e308", .greatestFiniteMagnitude),
            ("5e-324", .leastNonzeroMagnitude), ("1e-400", 0),
            ("123456789012345678901234567890.0", 123_456_789_012_345_678_901_234_567_890),
        ]
        for (text, number) in numbers {
            guard case .real(let value) = try JSONValue(parsing: text) else {
                Issue.record("\(text) is no real")
                continue
            }
            #expect(value == number && value.sign == number.sign, "\(text)")
        }
        #expect(fault("1e400")?.detail.contains("overflow") == true)
        #expect(try JSONValue(parsing: "3").real == 3 && JSONValue(parsing: "3.0").integer == nil)
    }

    @Test(arguments: [
        "", " ", "nul", "True", "NaN", "Infinity", "-Infinity", "undefined", "01", "-", "-01", "+1", ".5", "1.", "1.e5", "1e", "1e+",
        "0x10", "1_000",
        "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{1: 2}", "{a: 1}", "{\"a\"}", "{\"a\":}", "{\"a\": 1,}",
        "{\"a\": 1 \"b\": 2}",
        "{,}", "'a'", "\"", "\"a", "\"\\\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\", "\"a\nb\"", "\"\t\"", "\"\u{1}\"", "1 2",
        "{} {}", "[] ,",
        "// comment\n1", "/* */ 1", "1 # no", "\u{FEFF}{}", "\u{A0}1", "1\0", "[true\0]", "\0", "{\"a\0\": 1}", "[\u{2028}]",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(fault(text)?.code == "json_syntax", "\(text)")
    }

    @Test func `escapes mean what they say`() throws {
        #expect(try JSONValue(parsing: #""\"\\\/\b\f\n\r\tA\u00e9\u20AC\uD83D\uDE00""#).string == "\"\\/\u{8}\u{C}\n\r\tAé€😀")
        #expect(try JSONValue(parsing: #""a\u0000b""#).string == "a\0b")
        #expect(try JSONValue(parsing: "\"\u{7F}\u{85}\u{2028}\u{10FFFF}\"").string == "\u{7F}\u{85}\u{2028}\u{10FFFF}")
    }

    @Test(arguments: [
        #""\uD800""#, #""\uDC00""#, #""\uD83Dx""#, #""\uD83D\n""#, #""\uD83D\uD83D""#, #""\uDE00\uD83D""#, #""\uD83DA""#, #"{"\uD800": 1}"#,
    ])
    func `half a surrogate pair is refused`(text: String) {
        #expect(fault(text)?.code == "json_syntax")
    }

    @Test func `U+0000 in a key is refused`() {
        #expect(fault(#"{"a\u0000": 1}"#)?.code == "json_syntax")
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC3], [0xC3, 0x28], [0xE2, 0x82], [0xE2, 0x28, 0xA1], [0xE0, 0x80, 0x80],
            [0xED, 0xA0, 0x80],
            [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFE], [0xFF],
        ] as [[UInt8]])
    func `bytes that are not UTF-8 are refused`(bytes: [UInt8]) {
        #expect(fault([0x22] + bytes + [0x22])?.code == "json_encoding")
        #expect(fault([0x7B, 0x22] + bytes + Array("\": 1}".utf8))?.code == "json_encoding")
        #expect(fault([0x22, 0x61] + bytes)?.code == "json_encoding")
    }

    @Test func `a key may come once in its object`() throws {
        #expect(fault("{\"a\": 1, \"a\": 1}")?.code == "json_duplicate_key")
        #expect(fault("[{\"b\": {\"a\": 1, \"\\u0061\": 2}}]")?.code == "json_duplicate_key")
        #expect(fault("{\"a\": {\"a\": 1}, \"b\": {\"a\": 1}, \"\": 1, \" \": 1}") == nil)
    }

    @Test func `keys that look alike are different keys`() throws {
        // "é" in one character and in two, K and the sign for kelvin: equal for Swift's ==.
        let value = try JSONValue(parsing: "{\"\u{E9}\": 1, \"e\u{301}\": 2, \"K\": 3, \"\u{212A}\": 4}")
        #expect(value["\u{E9}"] == 1 && value["e\u{301}"] == 2 && value["K"] == 3 && value["\u{212A}"] == 4)
        #expect(value == value)
        #expect(try JSONValue(parsing: value.text) == value)
        var object = value.object ?? [:]
        object.removeValue(forKey: "e\u{301}")
        #expect(object.count == 3 && object["\u{E9}"] == 1)
    }

    @Test func `depth is limited, and brackets in strings are no depth`() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(fault(nested(32)) == nil)
        #expect(fault(nested(33))?.code == "json_too_deep")
        #expect(fault(String(repeating: "{\"a\":", count: 33))?.code == "json_too_deep")
        #expect(fault(String(repeating: "[", count: 1_000_000))?.code == "json_too_deep")
        #expect(fault("\"" + String(repeating: "[", count: 100) + "\\\"[{\"") == nil)
        #expect(fault("[" + String(repeating: "[],", count: 100) + "[]]") == nil)
        #expect(fault(nested(3), limits: JSONLimits(maximumDepth: 2))?.code == "json_too_deep")
        #expect(fault(nested(500), limits: .trusted) == nil)
    }

    @Test func `size is limited in bytes`() throws {
        #expect(fault("[1,2]", limits: JSONLimits(maximumBytes: 5)) == nil)
        #expect(fault("[1,23]", limits: JSONLimits(maximumBytes: 5))?.code == "json_too_large")
        #expect(fault("\"é\"", limits: JSONLimits(maximumBytes: 3))?.code == "json_too_large")
        #expect(fault([UInt8](repeating: 32, count: 1_048_577))?.code == "json_too_large")
    }

    @Test func `a pointer finds what it names, and makes it again`() throws {
        let keys = ["a/b", "m~n", "~1", "", " ", "\u{301}x", "é", "0"]
        var object = JSONObject()
        for (index, key) in keys.enumerated() { object[key] = [.integer(Int64(index))] }
        let value = JSONValue.object(["list": [.object(object), 1]])
        for (index, key) in keys.enumerated() {
            let pointer = jsonPointer(jsonPointer(jsonPointer(jsonPointer("", "list"), 0), key), 0)
            #expect(value[pointer: pointer] == .integer(Int64(index)), "\(pointer)")
        }
        #expect(value[pointer: ""] == value && value[pointer: "/list/1"] == 1)
        for missing in ["/list/2", "/list/01", "/list/+1", "/list/-", "/list/-1", "/nothing", "/list/1/0", "/list/0/a"] {
            #expect(value[pointer: missing] == nil, "\(missing)")
        }
    }
}
