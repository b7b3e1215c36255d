// The API's document against the server: nothing is promised that nobody serves.
import Foundation
import JSON
import TestSupport
import Testing

@Suite struct DocumentTests {
    @Test func `whatever the document names is served behind nginx, and only to whom it says`() throws {
        let operations = try operations()
        // Fields, lists and the like were once served and not named.
        for area in ["contacts", "fields", "lists", "consent", "suppressions", "segments", "campaigns", "events", "members"] {
            #expect(operations.contains { $0.path == "/api/\(area)" }, "/api/\(area) is not in the document")
        }
        try withServer { server in
            for operation in operations {
                let target = operation.path.split(separator: "/")
                    .map { $0.hasPrefix("{") ? "018f0000-0000-7000-8000-000000000000" : String($0) }.reduce("") { $0 + "/" + $1 }
                let answer =
                    try operation.method == "GET" || operation.method == "DELETE"
                    ? server.send(operation.method, target) : server.send(operation.method, target, json: [:])
                if operation.path.hasPrefix("/api/") {
                    #expect(answer.status == 401, "\(operation.method) \(target): \(answer.status) \(answer.text)")
                } else if operation.path.hasPrefix("/u/") || operation.path.hasPrefix("/c/") {
                    #expect(answer.status == 404 && answer.text.contains("This link does not work"), "\(operation.method) \(target)")
                } else if operation.path.hasPrefix("/l/") || operation.path.hasPrefix("/o/") {
                    // Strangers ask for these; what nobody sent is not there, but for the picture.
                    #expect(answer.status == (operation.path.hasPrefix("/l/") ? 404 : 200), "\(target): \(answer.status) \(answer.text)")
                } else {
                    #expect(
                        ![200, 404, 405, 500, 503].contains(answer.status), "\(operation.method) \(target): \(answer.status) \(answer.text)"
                    )
                }
            }
        }
    }

    private func operations() throws -> [(method: String, path: String)] {
        // PostgreSQL first: started meanwhile, it would inherit the pipe, whose end then never comes.
        try withDatabase { _ in }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appendingPathComponent("muster")
        process.arguments = ["openapi"]
        process.environment = ["MUSTER_SEALING_KEY_FILE": "/dev/null"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let document = try JSONValue(parsing: Array(text), limits: .trusted)
        #expect(document["openapi"] == "3.1.0")
        return (document["paths"]?.object?.members ?? []).flatMap { path in
            (path.value.object?.members ?? []).filter { $0.key != "parameters" }.map { ($0.key.uppercased(), path.key) }
        }
    }
}
