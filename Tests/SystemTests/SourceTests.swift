// Promises about the whole source that no single module can keep.
import Foundation
import Testing

/// The checkout that these tests were built from.
let repository: URL = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// All Swift files under `Sources`, by path.
func sources() throws -> [(path: String, text: String)] {
    let root = repository.appendingPathComponent("Sources")
    let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil)!
    return try files.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }.map {
        (String($0.path.dropFirst(root.path.count + 1)), try String(contentsOf: $0, encoding: .utf8))
    }
}

@Suite struct SourceTests {
    @Test func `every error code that can be answered is listed in docs/errors md`() throws {
        let listed = try String(contentsOf: repository.appendingPathComponent("docs/errors.md"), encoding: .utf8)
        let patterns = [
            #"Problem\(\s*\d{3},\s*"([a-z0-9_]+)""#, #"\.conflict\(\s*"([a-z0-9_]+)""#, #"\.badRequest\(\s*"([a-z0-9_]+)""#,
        ]
        for (path, text) in try sources() {
            for pattern in patterns {
                let expression = try NSRegularExpression(pattern: pattern)
                for match in expression.matches(in: text, range: NSRange(text.startIndex..., in: text)) {
                    let code = String(text[Range(match.range(at: 1), in: text)!])
                    #expect(listed.contains("`\(code)`"), "\(code) in \(path) is not in docs/errors.md")
                }
            }
        }
    }

    @Test func `every table of routes that a responder serves is in the document of the API`() throws {
        let expression = try NSRegularExpression(pattern: #"\b[a-z]\w*Routes\b"#)
        func tables(_ text: String) -> Set<String> {
            Set(expression.matches(in: text, range: NSRange(text.startIndex..., in: text)).map { String(text[Range($0.range, in: text)!]) })
        }
        let files = Dictionary(uniqueKeysWithValues: try sources().map { ($0.path, $0.text) })
        let documented = tables(files["muster/OpenAPICommand.swift"] ?? "")
        for (path, text) in files where path.hasSuffix("/main.swift") && path != "muster-sandbox/main.swift" {
            #expect(tables(text).subtracting(documented) == [], "\(path)")
        }
    }

    @Test func `responders do not load Foundation`() throws {
        for (path, text) in try sources() where !path.hasPrefix("Secrets/") {
            #expect(!text.contains("import Foundation"), "\(path) imports Foundation")
        }
    }

    @Test func `features do not import each other`() throws {
        let features = ["Accounts", "Audience", "Messaging", "Analytics"]
        for (path, text) in try sources() {
            guard let own = features.first(where: { path.hasPrefix($0 + "/") }) else { continue }
            for other in features where other != own {
                #expect(
                    text.range(of: #"(?m)^\s*(internal |public )?import \#(other)\b"#, options: .regularExpression) == nil,
                    "\(path) imports \(other)")
            }
        }
    }
}
