// Configuration from MUSTER_* variables: one table, checked as a whole at start.
internal import Glibc
public import Secrets

/// What is wrong with the environment, all of it at once.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public let faults: [String]
    public var description: String { faults.joined(separator: "\n") }
}

/// One variable: its name, default, what it must look like, and what it is for. The README's table is made of these.
public struct Variable: Sendable {
    public let name: String
    /// `nil`: it must be set.
    public let standard: String?
    public let expected: String
    public let purpose: String
    let accepts: @Sendable (String) -> Bool
}

/// The configuration of any Muster process.
public struct Configuration: Sendable {
    /// A libpq connection string.
    public var database: String
    /// Where the outside reaches us, without a slash at the end: base of callbacks, links and cookies.
    public var publicURL: String
    /// Scheme, host and port of `publicURL`, as browsers write an Origin.
    public var publicOrigin: String
    public var allowedOrigins: Set<String>
    public var threads: Int
    public var workerThreads: Int
    public var sendingThreads: Int
    public var logLevel: LogLevel
    public var twilioURL: String
    public var sendGridURL: String
    /// Names and addresses in lower case.
    public var smtpPrivateHosts: Set<String>
    public var allowsSignUp: Bool
    /// The folder of the migrations.
    public var migrations: String
    /// The folder of the responders' sockets.
    public var sockets: String
    /// The folder of exported files: the worker writes there, nginx hands them out.
    public var exports: String
    /// Whether webhooks may lead to this machine and its network, and go without TLS: for development and tests.
    public var allowsPrivateWebhooks: Bool
    private let key: SealingKey?
    /// What the operator's commands that never seal anything do without.
    /// - Precondition: the configuration was loaded with it.
    public var sealingKey: SealingKey {
        guard let key else { preconditionFailure("loaded without the sealing key") }
        return key
    }

    public static let variables: [Variable] = [
        Variable(
            name: "MUSTER_DATABASE", standard: "dbname=muster", expected: "a libpq connection string",
            purpose: "The PostgreSQL database; a user name in it decides the role"
        ) { !$0.isEmpty },
        Variable(
            name: "MUSTER_PUBLIC_URL", standard: "http://localhost:8480", expected: "http(s)://host[:port] without a path",
            purpose: "Where the outside reaches this server: base of callback URLs and links, and the Origin of its pages"
        ) { isOrigin($0) },
        Variable(
            name: "MUSTER_ALLOWED_ORIGINS", standard: "", expected: "origins like https://app.example.com, separated by commas",
            purpose: "Other origins whose pages may call the API"
        ) { $0.split(separator: ",").allSatisfy { isOrigin(String($0)) } },
        Variable(
            name: "MUSTER_THREADS", standard: "8", expected: "a whole number from 1 to 256",
            purpose: "Requests at once in one responder; each thread has a database connection"
        ) { (Int($0).map { (1...256).contains($0) }) ?? false },
        Variable(
            name: "MUSTER_WORKER_THREADS", standard: "4", expected: "a whole number from 1 to 64",
            purpose: "Jobs at once in one worker"
        ) { (Int($0).map { (1...64).contains($0) }) ?? false },
        Variable(
            name: "MUSTER_SENDING_THREADS", standard: "2", expected: "a whole number from 1 to 8",
            purpose: "Threads of one worker that send; each has 64 requests under way at most, and 2 mails of one sender"
        ) { (Int($0).map { (1...8).contains($0) }) ?? false },
        Variable(
            name: "MUSTER_LOG_LEVEL", standard: "info", expected: LogLevel.names, purpose: "The least important line that is logged"
        ) { LogLevel(name: $0) != nil },
        Variable(
            name: "MUSTER_SEALING_KEY_FILE", standard: "",
            expected: "a file with 32 bytes in base 64; without it the systemd credential `sealing-key` is read",
            purpose: "The key that encrypts provider credentials at rest"
        ) { _ in true },
        Variable(
            name: "MUSTER_TWILIO_URL", standard: "https://api.twilio.com", expected: "http(s)://host[:port][/path]",
            purpose: "Where Twilio's API is; the sandbox in development"
        ) { $0.hasPrefix("http://") || $0.hasPrefix("https://") },
        Variable(
            name: "MUSTER_SENDGRID_URL", standard: "https://api.sendgrid.com", expected: "http(s)://host[:port][/path]",
            purpose: "Where SendGrid's API is: https://api.eu.sendgrid.com for accounts in the EU; the sandbox in development"
        ) { $0.hasPrefix("http://") || $0.hasPrefix("https://") },
        Variable(
            name: "MUSTER_SMTP_PRIVATE_HOSTS", standard: "", expected: "names or addresses of hosts, separated by commas",
            purpose:
                "Relays in your own network that senders may name; mail leaves for no other private address, and only to these without TLS"
        ) { _ in true },
        Variable(
            name: "MUSTER_SIGN_UP", standard: "open", expected: "open or closed", purpose: "Whether strangers may sign up"
        ) { $0 == "open" || $0 == "closed" },
        Variable(
            name: "MUSTER_MIGRATIONS", standard: "/usr/share/muster/migrations", expected: "a folder",
            purpose: "Where `muster migrate` finds the migrations"
        ) { !$0.isEmpty },
        Variable(
            name: "MUSTER_SOCKETS", standard: "/run/muster", expected: "a folder",
            purpose: "Where `muster doctor` looks for the responders' sockets"
        ) { !$0.isEmpty },
        Variable(
            name: "MUSTER_EXPORTS", standard: "/var/lib/muster/exports", expected: "a folder that nginx may read",
            purpose: "Where the worker puts exported files for a day; nginx hands them out"
        ) { $0.hasPrefix("/") },
        Variable(
            name: "MUSTER_WEBHOOK_ALLOW_PRIVATE", standard: "no", expected: "yes or no",
            purpose: "Development and tests only: `yes` lets webhooks lead to private networks, and use http"
        ) { $0 == "yes" || $0 == "no" },
        Variable(
            name: "MUSTER_CRASH_AT", standard: "", expected: "the name of a crash point, or a file that has it",
            purpose: "Tests only: where a debug build kills itself"
        ) { _ in true },
    ]

    /// Variables of others that begin like ours.
    private static let foreign: Set<String> = [
        "MUSTER_PORT", "MUSTER_URL", "MUSTER_API_KEY", "MUSTER_WORKSPACE_ID", "MUSTER_SENDER_ID", "MUSTER_SANDBOX_URL",
        "MUSTER_TEST_DATABASE", "MUSTER_RUN_DIR",
    ]

    /// Reads and checks the environment.
    /// - Parameter withSealingKey: `false` for commands that need none; it is not looked for then.
    /// - Throws: every fault at once; each names its variable, its value and what was expected. Values of variables
    ///   that hold connection strings are not repeated: they may have a password in them.
    public static func load(
        _ environment: [String: String] = processEnvironment(), withSealingKey: Bool = true
    ) throws(ConfigurationError) -> Configuration {
        var faults: [String] = []
        var values: [String: String] = [:]
        for variable in variables {
            let value = environment[variable.name] ?? variable.standard ?? ""
            if !variable.accepts(value) {
                let shown = variable.name == "MUSTER_DATABASE" ? "its value" : "\"\(value.prefix(100))\""
                faults.append("\(variable.name) is \(shown); expected \(variable.expected)")
            }
            values[variable.name] = value
        }
        for name in environment.keys.sorted() where name.hasPrefix("MUSTER_") {
            guard values[name] == nil, !foreign.contains(name) else { continue }
            let nearest = variables.map(\.name).min { editDistance($0, name) < editDistance($1, name) }!
            faults.append("\(name) is not a variable of Muster; the nearest is \(nearest)")
        }
        let key =
            withSealingKey
            ? sealingKey(values["MUSTER_SEALING_KEY_FILE"]!, environment["CREDENTIALS_DIRECTORY"], &faults) : nil
        guard faults.isEmpty else { throw ConfigurationError(faults: faults) }
        var publicURL = values["MUSTER_PUBLIC_URL"]!
        while publicURL.hasSuffix("/") { publicURL.removeLast() }
        return Configuration(
            database: values["MUSTER_DATABASE"]!, publicURL: publicURL, publicOrigin: origin(publicURL),
            allowedOrigins: Set(values["MUSTER_ALLOWED_ORIGINS"]!.split(separator: ",").map { origin(String($0)) }),
            threads: Int(values["MUSTER_THREADS"]!)!, workerThreads: Int(values["MUSTER_WORKER_THREADS"]!)!,
            sendingThreads: Int(values["MUSTER_SENDING_THREADS"]!)!,
            logLevel: LogLevel(name: values["MUSTER_LOG_LEVEL"]!)!, twilioURL: values["MUSTER_TWILIO_URL"]!,
            sendGridURL: values["MUSTER_SENDGRID_URL"]!,
            smtpPrivateHosts: Set(values["MUSTER_SMTP_PRIVATE_HOSTS"]!.lowercased().split { $0 == "," || $0 == " " }.map(String.init)),
            allowsSignUp: values["MUSTER_SIGN_UP"]! == "open",
            migrations: values["MUSTER_MIGRATIONS"]!, sockets: values["MUSTER_SOCKETS"]!,
            exports: values["MUSTER_EXPORTS"]!,
            allowsPrivateWebhooks: values["MUSTER_WEBHOOK_ALLOW_PRIVATE"]! == "yes", key: key)
    }

    /// A key for one purpose, derived from the sealing key.
    public func derivedKey(_ purpose: String) -> [UInt8] { sealingKey.derived(purpose) }

    private static func sealingKey(_ file: String, _ credentials: String?, _ faults: inout [String]) -> SealingKey? {
        let path = !file.isEmpty ? file : credentials.map { $0 + "/sealing-key" }
        guard let path else {
            faults.append(
                "MUSTER_SEALING_KEY_FILE is not set and there is no systemd credential `sealing-key`; expected 32 bytes in base 64, as `openssl rand -base64 32` prints"
            )
            return nil
        }
        guard let text = readFile(path) else {
            faults.append("MUSTER_SEALING_KEY_FILE: \(path) cannot be read")
            return nil
        }
        let line = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
        guard let key = base64Decode(line).flatMap(SealingKey.init) else {
            faults.append("MUSTER_SEALING_KEY_FILE: \(path) does not hold 32 bytes in base 64")
            return nil
        }
        return key
    }
}

/// The environment of this process.
public func processEnvironment() -> [String: String] {
    var variables: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
        let pair = String(cString: text)
        if let equals = pair.firstIndex(of: "=") {
            variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
        }
        entry = entry.advanced(by: 1)
    }
    return variables
}

/// A whole small file as text; `nil` when it cannot be read.
public func readFile(_ path: String) -> String? { readBytes(path).map { String(decoding: $0, as: UTF8.self) } }

/// A whole file as it is; `nil` when it cannot be read.
public func readBytes(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        if count == 0 { break }
        bytes += chunk[..<count]
    }
    return bytes
}

private func isOrigin(_ text: String) -> Bool {
    for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
        var host = text.dropFirst(scheme.count)
        if host.hasSuffix("/") { host = host.dropLast() }
        return !host.isEmpty
            && host.utf8.allSatisfy {
                (48...58).contains($0) || (97...122).contains($0) || (65...90).contains($0) || [45, 46, 91, 93].contains($0)
            }
    }
    return false
}

/// An origin as browsers write it (RFC 6454, section 6.2): in lower case, without a slash or the scheme's own port.
private func origin(_ text: String) -> String {
    var text = text.lowercased()
    if text.hasSuffix("/") { text.removeLast() }
    for (scheme, port) in [("https://", ":443"), ("http://", ":80")] where text.hasPrefix(scheme) && text.hasSuffix(port) {
        text.removeLast(port.count)
    }
    return text
}

private func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var current = [i + 1]
        for (j, y) in b.enumerated() {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
