// Exact places of errors: line, column and byte of the first character of what is wrong.
import JSON
import Testing

@Suite struct PositionTests {
    /// `^` stands before the character that is wrong, or at the end of a text that ends too early.
    @Test(arguments: [
        "^", "   ^", "\n\n ^", "[1, ^]", "[1, 2^", "{\"a\": 1^", "{\"a\"^", "{\"a\": ^", "^tru", "{\"a\": ^tru}",
        "{\n  \"a\": 1,\n  ^b: 2\n}",
        "{\"a\" ^1}", "{\"a\": 1 ^\"b\": 2}", "[1 ^2]", "[^'a']", "[^é]", "{\"a\": 1, ^}", "{^1: 2}", "{\"ä\": [\"€\", ^oops]}", "[] ^[]",
        "[^01]", "[^-]", "[^1.]", "[1.5, ^1e]", "[^99999999999999999999]", "[1,\r\n\t^1e999]", "[1^-2]", "[1^a]",
        "{\"a\": 1,\n \"b\": 2,\n ^\"a\": 3}",
        "[\"a^\nb\"]", "[\"a^\tb\"]", "[\"é\", \"\\^x\"]", "[\"\\u12^G4\"]", "[\"a\", ^\"\\uD800\"]", "[\"abc^", "[\"a\\\"^",
        "{\"a\": \"b\"}\n\n^x", "[true^\0]", "[1,\n 2,\n 3^}", "^]", "\n^}",
        "{\"long\": \"\(String(repeating: "€", count: 50))\", ^oops: 1}",
    ])
    func `an error is where the fault is`(marked: String) throws {
        let parts = marked.split(separator: "^", maxSplits: 1, omittingEmptySubsequences: false)
        let before = String(parts[0])
        let error = try #require(fault(before + String(parts[1])))
        let lines = before.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(error.offset == before.utf8.count, "\(error)")
        #expect(error.line == lines.count && error.column == (lines.last?.count ?? 0) + 1, "\(error)")
    }

    @Test func `a byte that is not UTF-8 is where it is`() throws {
        let error = try #require(fault(Array("{\"ä\":\n \"€".utf8) + [0xFF] + Array("\"}".utf8)))
        #expect(error.line == 2 && error.column == 4 && error.offset == 12)
    }

    @Test func `the bracket that is too deep is named`() throws {
        let error = try #require(fault("[\n[\n {\"ä\": [1]}]]", limits: JSONLimits(maximumDepth: 3)))
        #expect(error.line == 3 && error.column == 8 && error.offset == 12)
    }

    @Test func `an error says nothing of what the text holds`() throws {
        for text in [
            "{\"secret\" 1}", "[\"secret\" \"secret\"]", "{\"a\": secret}", "{\"secret\": 1, \"secret\": 2}", "[\"\\uD800secret\"]",
            "[\"secret",
        ] {
            let error = try #require(fault(text))
            #expect(!error.detail.contains("secret") && !error.detail.isEmpty, "\(error)")
        }
    }
}
