// What can go wrong between us and PostgreSQL, without any bound value in it.

/// A SQLSTATE. As a pattern, a class matches its members: `.integrityConstraintViolation` also sees 23505.
public struct SQLState: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }
    public var isClass: Bool { rawValue.hasSuffix("000") }
    public static func ~= (pattern: SQLState, state: SQLState) -> Bool {
        pattern == state || pattern.isClass && state.rawValue.hasPrefix(pattern.rawValue.prefix(2))
    }

    public static let featureNotSupported = SQLState(rawValue: "0A000")
    public static let dataException = SQLState(rawValue: "22000")
    public static let invalidRegularExpression = SQLState(rawValue: "2201B")
    public static let characterNotInRepertoire = SQLState(rawValue: "22021")
    public static let integrityConstraintViolation = SQLState(rawValue: "23000")
    public static let foreignKeyViolation = SQLState(rawValue: "23503")
    public static let uniqueViolation = SQLState(rawValue: "23505")
    public static let checkViolation = SQLState(rawValue: "23514")
    public static let inFailedTransaction = SQLState(rawValue: "25P02")
    public static let serializationFailure = SQLState(rawValue: "40001")
    public static let deadlockDetected = SQLState(rawValue: "40P01")
    public static let insufficientPrivilege = SQLState(rawValue: "42501")
    public static let invalidStatementName = SQLState(rawValue: "26000")
    public static let undefinedTable = SQLState(rawValue: "42P01")
    public static let diskFull = SQLState(rawValue: "53100")
    public static let tooManyConnections = SQLState(rawValue: "53300")
    public static let objectInUse = SQLState(rawValue: "55006")
    public static let lockNotAvailable = SQLState(rawValue: "55P03")
    public static let queryCanceled = SQLState(rawValue: "57014")
    public static let adminShutdown = SQLState(rawValue: "57P01")
    /// The server ended the session of a process that stood still.
    public static let idleInTransaction = SQLState(rawValue: "25P03")
    public static let crashShutdown = SQLState(rawValue: "57P02")
    public static let cannotConnectNow = SQLState(rawValue: "57P03")
}

/// What PostgreSQL said about a statement that failed. Its DETAIL quotes row values, so it is not kept.
public struct Evidence: Sendable, CustomStringConvertible {
    public let sql: String
    public let message: String
    public let constraint: String?
    public let table: String?
    /// Characters into the SQL text, from 1.
    public let position: Int?

    init(sql: String, message: String, constraint: String? = nil, table: String? = nil, position: Int? = nil) {
        self.sql = sql
        self.message = message
        self.constraint = constraint
        self.table = table
        self.position = position
    }

    public var description: String {
        let text = sql.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        return "\(message)\(constraint.map { " [\($0)]" } ?? "")\(position.map { " at \($0)" } ?? "") in: \(text.prefix(300))"
    }
}

public enum PostgresError: Error, Sendable {
    case outOfMemory
    /// The connection broke during the call. Whether the statement took effect is unknown.
    case connectionLost
    /// There is no connection and none can be made now. Nothing was sent.
    case cannotConnect(String)
    case statement(SQLState, Evidence)
    case column(name: String, expected: String, found: String)
    /// A statement that must give a row gave none.
    case noRow

    public var sqlState: SQLState? { if case .statement(let state, _) = self { state } else { nil } }
    public var constraint: String? { if case .statement(_, let evidence) = self { evidence.constraint } else { nil } }

    /// Nothing is wrong with the statement: another attempt may succeed.
    public var isTransient: Bool {
        switch self {
        case .connectionLost, .cannotConnect: return true
        case .statement(let state, _):
            switch state {
            case .serializationFailure, .deadlockDetected, .lockNotAvailable, .tooManyConnections, .adminShutdown, .idleInTransaction,
                .crashShutdown, .cannotConnectNow:
                return true
            default: return false
            }
        default: return false
        }
    }
}

extension PostgresError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .outOfMemory: "libpq ran out of memory"
        case .connectionLost: "the connection to PostgreSQL was lost"
        case .cannotConnect(let reason): "cannot connect to PostgreSQL: \(reason)"
        case .statement(let state, let evidence): "\(state) \(evidence)"
        case .column(let name, let expected, let found): "column \(name): expected \(expected), found \(found)"
        case .noRow: "no row where one was expected"
        }
    }
}

/// Data exceptions quote the value that could not be read; `"…"` stands for whatever was quoted.
func withoutQuotedText(_ text: String) -> String {
    guard let first = text.firstIndex(of: "\""), let last = text.lastIndex(of: "\""), first < last else { return text }
    return text[..<first] + "\"…\"" + text[text.index(after: last)...]
}
