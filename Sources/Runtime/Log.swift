// Structured lines for the journal: a priority prefix (sd-daemon(3)) and one JSON object.
internal import Glibc
internal import JSON
internal import Synchronization
internal import Vocabulary

public enum LogLevel: Int, Comparable, Sendable {
    case error = 3, warning = 4, notice = 5, info = 6, debug = 7

    /// Less important is greater, as in syslog, so `<` means more important.
    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
    static let names = "one of error, warning, notice, info, debug"
    public init?(name: String) {
        switch name {
        case "error": self = .error
        case "warning": self = .warning
        case "notice": self = .notice
        case "info": self = .info
        case "debug": self = .debug
        default: return nil
        }
    }
}

public enum LogValue: Sendable {
    case string(String)
    case integer(Int)
    case real(Double)
}

/// Writes to standard error. Never message bodies, phone numbers, e-mail addresses or secrets.
public enum Log {
    private static let level = Atomic<Int>(LogLevel.info.rawValue)
    public static func setLevel(_ value: LogLevel) { level.store(value.rawValue, ordering: .relaxed) }

    public static func error(_ message: String, _ fields: [(String, LogValue)] = []) { write(.error, message, fields) }
    public static func warning(_ message: String, _ fields: [(String, LogValue)] = []) { write(.warning, message, fields) }
    public static func notice(_ message: String, _ fields: [(String, LogValue)] = []) { write(.notice, message, fields) }
    public static func info(_ message: String, _ fields: [(String, LogValue)] = []) { write(.info, message, fields) }
    public static func debug(_ message: String, _ fields: [(String, LogValue)] = []) { write(.debug, message, fields) }

    public static func isOn(_ wanted: LogLevel) -> Bool { wanted.rawValue <= level.load(ordering: .relaxed) }

    private static func write(_ wanted: LogLevel, _ message: String, _ fields: [(String, LogValue)]) {
        guard isOn(wanted) else { return }
        // One write, so that lines of several threads do not mix.
        _ = line(wanted, message, fields).withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    static func line(_ level: LogLevel, _ message: String, _ fields: [(String, LogValue)]) -> [UInt8] {
        var line: [UInt8] = Array("<\(level.rawValue)>{\"at\":\"\(Instant.now())\",\"level\":\"\(level)\",\"message\":".utf8)
        writeJSONString(message, into: &line)
        for (name, value) in fields {
            line.append(UInt8(ascii: ","))
            writeJSONString(name, into: &line)
            line.append(UInt8(ascii: ":"))
            switch value {
            case .string(let text): writeJSONString(text, into: &line)
            case .integer(let number): line += String(number).utf8
            case .real(let number): line += (number.isFinite ? number.description : "null").utf8
            }
        }
        line += "}\n".utf8
        return line
    }
}
