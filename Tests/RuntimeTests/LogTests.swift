import JSON
@testable import Runtime
import Testing
import Vocabulary

@Suite struct LogTests {
    @Test func `a record is one line: the journal's priority, then an object, whatever is in it`() throws {
        let fields: [(String, LogValue)] = [
            ("text", .string("line\nbreak \"quoted\" \u{1} é")), ("count", .integer(-3)), ("seconds", .real(0.5)),
            ("broken", .real(.nan)),
        ]
        let line = String(decoding: Log.line(.warning, "mess\nage", fields), as: UTF8.self)
        #expect(line.hasPrefix("<4>{"))
        #expect(line.filter { $0 == "\n" }.count == 1 && line.hasSuffix("}\n"))
        let record = try JSONValue(parsing: String(line.dropFirst(3)))
        #expect(record["message"] == "mess\nage")
        #expect(record["level"] == "warning")
        #expect(record["text"] == "line\nbreak \"quoted\" \u{1} é")
        #expect(record["count"] == -3)
        #expect(record["seconds"] == 0.5)
        #expect(record["broken"] == .null)
        #expect(record["at"]?.string.flatMap { Instant(rfc3339: $0) } != nil)
    }
}
