// Muster as it runs in production: nginx, responders on FastCGI sockets, worker; and the sandbox in Twilio's place.
import Glibc
import HTTPClient
import JSON
import Secrets
import Vocabulary

/// The built programs on a database and a port of their own, until `stop` or the end of this process.
///
///     try withServer { server in
///         #expect(try server.send("GET", "/health/accounts").status == 200)
///     }
public final class ServerUnderTest: Sendable {
    /// What an installation consists of.
    public enum Part: String, Sendable, CaseIterable { case accounts, segments, campaigns, webhooks, analytics, worker, sandbox }
    public static let areas: [Part] = [.accounts, .segments, .campaigns, .webhooks, .analytics]

    public let url: String
    public let database: TestDatabase
    /// Logs (NAME.log) and process ids (NAME.pid) are here; nginx's own files in `nginx`.
    public let folder: String
    private let supervisor: Companion

    /// - Parameters:
    ///   - parts: whatever a test does not need is not started, and answers 503.
    ///   - instances: of each area; 2 in production.
    ///   - workers: `worker`, `worker-2` and so on.
    ///   - variables: further `MUSTER_*` variables, for all processes.
    ///   - special: further variables of one process, by name: `accounts-1`, `worker`.
    public init(
        _ database: TestDatabase, _ parts: [Part] = areas, instances: Int = 1, workers: Int = 1, variables: [String: String] = [:],
        special: [String: [String: String]] = [:]
    ) throws {
        self.database = database
        folder = try temporaryFolder()
        let port = try freePort()
        url = "http://127.0.0.1:\(port)"
        let environment = [
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "MUSTER_PUBLIC_URL": url, "MUSTER_LOG_LEVEL": "notice",
            "MUSTER_SEALING_KEY_FILE": folder + "/sealing-key", "MUSTER_TWILIO_URL": url + "/sandbox",
            "MUSTER_SENDGRID_URL": url + "/sandbox", "MUSTER_SMTP_PRIVATE_HOSTS": "127.0.0.1",
            "MUSTER_EXPORTS": folder + "/nginx/exports",
        ].merging(variables) { $1 }
        try write(base64Encode(Random.bytes(32)), to: folder + "/sealing-key")
        let script = repositoryRoot + "/scripts/nginx-conf"
        try runToEnd([script, folder + "/nginx", folder, "\(port)"], environment: environment, log: folder + "/nginx-conf.log")

        var lines: [String] = []
        func line(_ name: String, socket: String?, signal: String, _ variables: [String: String], _ command: [String]) {
            let variables = variables.merging(special[name] ?? [:]) { $1 }.map { "\($0.key)=\($0.value)" }
            lines.append(([name, socket ?? "-", signal] + variables + command).joined(separator: "\t"))
        }
        for part in parts {
            let role: DatabaseRole = part == .worker ? .worker : .responder
            let variables = ["MUSTER_DATABASE": database.conninfo(as: role)]
            let program = [programs + "/muster-\(part.rawValue)"]
            switch part {
            case .worker:
                for worker in 1...workers {
                    line(worker == 1 ? "worker" : "worker-\(worker)", socket: nil, signal: "TERM", variables, program)
                }
            case .sandbox: line("sandbox", socket: folder + "/sandbox.sock", signal: "TERM", variables, program)
            default:
                for instance in 1...instances {
                    let name = "\(part.rawValue)-\(instance)"
                    line(name, socket: "\(folder)/\(name).sock", signal: "TERM", variables, program)
                }
            }
        }
        let nginx = ["/usr/sbin/nginx", "-e", folder + "/nginx/error.log", "-c", folder + "/nginx/nginx.conf"]
        line("nginx", socket: nil, signal: "QUIT", [:], nginx)
        try write(lines.joined(separator: "\n") + "\n", to: folder + "/processes")
        supervisor = try Companion(
            [programs + "/muster-supervise", folder + "/processes", folder, "--until-end-of-input"],
            environment: environment, log: folder + "/supervisor.log")
        do {
            try waitUntil("the responders answer") {
                try parts.filter { Self.areas.contains($0) }.allSatisfy { try send("GET", "/health/\($0.rawValue)/ready").status == 200 }
            }
        } catch {
            defer { stop() }
            throw TestSupportError("\(error)\n" + logs())
        }
    }

    /// Ends all processes and removes the folder.
    public func stop() {
        supervisor.stop()
        try? runToEnd(["/bin/rm", "-rf", folder], environment: [:], log: "/dev/null")
    }

    deinit { stop() }

    // MARK: Requests

    /// One request through nginx, on a connection of its own.
    /// - Parameter token: a session token or an API key.
    public func send(
        _ method: String, _ target: String, token: String? = nil, headers: [(String, String)] = [],
        contentType: String? = nil, body: [UInt8] = []
    ) throws -> TestAnswer {
        var all: [(name: String, value: String)] = headers.map { (name: $0.0, value: $0.1) }
        if let token { all.append(("Authorization", "Bearer \(token)")) }
        if let contentType { all.append(("Content-Type", contentType)) }
        // A provider's whole ledger is one answer.
        switch HTTPClient(limits: HTTPLimits(responseBytes: 16 << 20)).send(HTTPRequest(method, url + target, headers: all, body: body)) {
        case .success(let answer): return TestAnswer(status: answer.status, headers: answer.headers, body: answer.body)
        case .failure(let failure): throw failure
        }
    }

    /// A request with a JSON body.
    public func send(
        _ method: String, _ target: String, token: String? = nil, headers: [(String, String)] = [], json: JSONValue
    ) throws -> TestAnswer {
        try send(method, target, token: token, headers: headers, contentType: "application/json", body: Array(json.text.utf8))
    }

    // MARK: Processes

    /// The process that now goes by a name: `accounts-1`, `worker`, `nginx`; nil while it is being started again.
    public func pid(of name: String) -> pid_t? {
        guard let line = try? text(of: "\(folder)/\(name).pid"), let pid = pid_t(line.filter(\.isNumber)) else { return nil }
        return kill(pid, 0) == 0 ? pid : nil
    }

    public func signal(_ signal: Int32, _ name: String) throws {
        guard let pid = pid(of: name), kill(pid, signal) == 0 else { throw TestSupportError("\(name) does not run\n" + logs()) }
    }

    /// What all processes logged, for a failing test to show.
    public func logs() -> String {
        let names =
            (["supervisor", "nginx", "sandbox", "worker", "worker-2"] + Self.areas.flatMap { ["\($0.rawValue)-1", "\($0.rawValue)-2"] })
        return (names.map { "\($0).log" } + ["nginx/error.log"]).map { name in
            ((try? text(of: "\(folder)/\(name)")) ?? "").split(separator: "\n").suffix(20).map { "\(name): \($0)\n" }.joined()
        }.joined()
    }
}

/// Runs `body` against a server with a database of its own, and ends both.
@discardableResult
public func withServer<T>(
    _ parts: [ServerUnderTest.Part] = ServerUnderTest.areas, instances: Int = 1, variables: [String: String] = [:],
    special: [String: [String: String]] = [:], _ body: (ServerUnderTest) throws -> T
) throws -> T {
    try withOwnDatabase { database in
        let server = try ServerUnderTest(database, parts, instances: instances, variables: variables, special: special)
        defer { server.stop() }
        return try body(server)
    }
}

/// Asks again every 20 ms; errors of the question are a no.
/// - Throws: after `seconds`, with `what` and the last error.
public func waitUntil(_ what: String, seconds: Double = 20, _ condition: () throws -> Bool) throws {
    let deadline = Instant.now() + seconds
    var last: (any Error)?
    while Instant.now() < deadline {
        do {
            if try condition() { return }
        } catch { last = error }
        usleep(20_000)
    }
    throw TestSupportError("waited \(seconds) s in vain: \(what)" + (last.map { "; \($0)" } ?? ""))
}

// MARK: Small things

/// The folder of the built programs: tests run from there.
public let programs: String = {
    var path = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &path, path.count)
    let program = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return program.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
}()

/// Short: a unix socket's path ends at 107 characters.
private func temporaryFolder() throws -> String {
    var template = Array("/tmp/muster-server.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestSupportError("cannot make a folder in /tmp") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

private func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "w") else { throw TestSupportError("cannot write \(path)") }
    fputs(text, file)
    fclose(file)
}

/// A port of loopback that nobody listens on. Below the range of outgoing connections, which could take it before nginx.
private func freePort() throws -> Int {
    for _ in 0..<200 {
        let port = Int.random(in: 20_000..<32_000)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        if bound == 0 { return port }
    }
    throw TestSupportError("no free port")
}
