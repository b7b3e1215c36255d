// `muster import FILE`: a CSV through the HTTP API, with progress on a terminal.
import ArgumentParser
import Glibc
import JSON
import Runtime
import Vocabulary

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Imports contacts from a CSV file through the API.")
    @Argument(help: "The CSV file.") var file: String
    @Option(help: "The server; MUSTER_URL otherwise.") var url: String?
    @Option(help: "An API key; MUSTER_API_KEY otherwise, which other users of this machine cannot see.") var key: String?
    @Option(help: "JSON: {\"Column\": \"field\" | \"attributes.key\" | null}") var mapping: String?
    @Option(help: "For phone numbers in national form, such as US.") var defaultCountry: String?
    @Option(help: "Channels that everybody in the file has opted in to: sms,email") var consent: String?

    func run() throws {
        let environment = processEnvironment()
        guard let url = url ?? environment["MUSTER_URL"], let key = key ?? environment["MUSTER_API_KEY"] else {
            throw ValidationError("--url and --key, or MUSTER_URL and MUSTER_API_KEY, say where to and as whom")
        }
        // Bytes, not text: what is no UTF-8 must reach the server as it is, which names the line.
        guard let csv = readBytes(file) else { throw CommandError("\(file) cannot be read") }
        let api = API(url: url, key: key)
        let options = [("mapping", mapping), ("default_country", defaultCountry), ("consent", consent)]
        let query = options.compactMap { name, value in value.map { "\(name)=\(percentEncoded($0))" } }.joined(separator: "&")
        let started = Instant.now()
        let accepted = try api.post("/api/contacts/import" + (query.isEmpty ? "" : "?" + query), csv, "text/csv")
        let id = accepted["job"]?["id"]?.string ?? ""
        let line = ProgressLine()
        var job: JSONValue = .null
        repeat {
            usleep(150_000)
            job = try api.get("/api/jobs/\(id)")
            line.show(
                job["progress"]?.real ?? 0, rows: job["result"]?["rows"]?.integer ?? 0, seconds: Instant.now().seconds(since: started))
        } while ["queued", "running"].contains(job["state"]?.string)
        line.end()
        guard job["state"]?.string == "succeeded", let result = job["result"] else {
            throw CommandError("the import \(job["state"]?.string ?? "ended"): \(job["problem"]?["detail"]?.string ?? "")")
        }
        func count(_ name: String) -> Int { result[name]?.integer ?? 0 }
        print(
            "\(count("rows")) rows: \(count("created")) created, \(count("updated")) updated, \(count("unchanged")) unchanged, \(count("rejected")) rejected"
        )
        if count("rejected") > 0 {
            printTable(
                ["LINE", "COLUMN", "CODE", "WHY"],
                (result["errors"]?.array ?? []).prefix(20).map { error in
                    [
                        String(error["line"]?.integer ?? 0), error["column"]?.string ?? "", error["code"]?.string ?? "",
                        error["detail"]?.string ?? "",
                    ]
                })
            print("All of them: \(url)\(result["errors_url"]?.string ?? "")")
            throw ExitCode(1)
        }
    }
}

/// One line that is written anew on a terminal; on anything else a line every ten per cent.
private final class ProgressLine {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var lastTenth = -1

    func show(_ fraction: Double, rows: Int, seconds: Double) {
        let rate = seconds > 0 ? Double(rows) / seconds : 0
        let left = fraction > 0.01 ? seconds / fraction * (1 - fraction) : 0
        let percent = Int(fraction * 100)
        let text = "\(percent) %, \(rows) rows, \(Int(rate)) rows/s, \(Int(left.rounded(.up))) s left"
        if isTerminal {
            let filled = Int(fraction * 30)
            say("\r[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: 30 - filled))] \(text)   ")
        } else if percent / 10 > lastTenth {
            lastTenth = percent / 10
            say(text + "\n")
        }
    }

    private func say(_ text: String) {
        var text = text
        _ = text.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    func end() { if isTerminal { say("\r\u{1B}[K") } }
}

private func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case 48...57, 65...90, 97...122, 45, 46, 95, 126: bytes.append(byte)
        default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
