@testable import Audience
import Testing

@Suite struct MultipartReaderTests {
    @Test func `parts come out whole, whatever the size of the pieces`() throws {
        let body = Array(
            """
            preamble\r\n--b1\r\nContent-Disposition: form-data; name="one"\r\n\r\nfirst\r\n--b\r\n--b1\r
            content-disposition: form-data; filename="x"; name=two\r\nContent-Type: text/csv\r\n\r\n\r\n--b1--\r\nepilogue
            """.utf8)
        for size in 1...body.count {
            var reader = try MultipartReader(contentType: "multipart/form-data; charset=x; Boundary=\"b1\"")
            var parts: [String: String] = [:]
            var rest = body[...]
            while !rest.isEmpty {
                try reader.feed(Array(rest.prefix(size))) { parts[$0, default: ""] += String(decoding: $1, as: UTF8.self) }
                rest = rest.dropFirst(size)
            }
            #expect(reader.isComplete)
            #expect(parts["one"] == "first\r\n--b")
        }
    }

    @Test func `a type without a boundary and a part without a name are refused`() throws {
        #expect(throws: (any Error).self) { try MultipartReader(contentType: "multipart/form-data") }
        var reader = try MultipartReader(contentType: "multipart/form-data; boundary=b")
        #expect(throws: (any Error).self) { try reader.feed(Array("--b\r\nContent-Type: text/csv\r\n\r\nx".utf8)) { _, _ in } }
    }
}
