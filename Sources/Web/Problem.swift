// Errors as answers: RFC 9457. Codes are stable and listed in docs/errors.md.
public import JSON
internal import PostgreSQL
internal import FastCGI
internal import Runtime

/// An error that the client is told about. Throw it from anywhere; whatever else is thrown becomes a 500 with an id.
public struct Problem: Error, Sendable {
    public let status: Int
    /// Stable, `snake_case`; the last part of the `type` URI.
    public let code: String
    public let title: String
    public let detail: String
    public var faults: [Fault] = []
    public var headers: [(name: String, value: String)] = []

    public init(_ status: Int, _ code: String, _ title: String, _ detail: String) {
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
    }

    /// Also what another workspace's things are: their existence is nobody's business.
    public static func notFound(_ what: String = "resource") -> Problem {
        Problem(404, "not_found", "Not found", "There is no such \(what) here.")
    }
    public static func validation(_ faults: [Fault]) -> Problem {
        var detail = faults.count == 1 ? "One thing in the request is wrong." : "\(faults.count) things in the request are wrong."
        if faults.count > maximumFaults { detail += " The first \(maximumFaults) are listed." }
        var problem = Problem(422, "invalid_input", "Invalid input", detail)
        problem.faults = Array(faults.prefix(maximumFaults))
        return problem
    }
    /// A body of a megabyte could have a hundred thousand; the answer must not be larger than the question.
    private static let maximumFaults = 100
    public static func invalid(_ pointer: String, _ code: String, _ detail: String) -> Problem {
        validation([Fault(pointer: pointer, code: code, detail: detail)])
    }
    public static func conflict(_ code: String, _ detail: String) -> Problem {
        Problem(409, code, "Conflict", detail)
    }
    public static func badRequest(_ code: String, _ detail: String) -> Problem {
        Problem(400, code, "Bad request", detail)
    }
    public static let unauthorized: Problem = {
        var problem = Problem(401, "unauthorized", "Not signed in", "Sign in, or send an API key that is still valid.")
        problem.headers = [("WWW-Authenticate", "Bearer realm=\"muster\"")]
        return problem
    }()
    public static func forbidden(_ detail: String) -> Problem { Problem(403, "forbidden", "Not allowed", detail) }
    public static let preconditionFailed = Problem(
        412, "version_mismatch", "Changed meanwhile", "If-Match does not name the current version; read it again.")
    public static func tooLarge(_ limit: Int) -> Problem {
        Problem(413, "too_large", "Too large", "The body may have at most \(limit) bytes.")
    }
    public static func unsupportedMediaType(_ expected: String) -> Problem {
        Problem(415, "unsupported_media_type", "Unsupported media type", "Send the body as \(expected).")
    }
    public static func unavailable(retryAfter seconds: Int, _ detail: String) -> Problem {
        var problem = Problem(503, "unavailable", "Unavailable for a moment", detail)
        problem.headers = [("Retry-After", String(seconds))]
        return problem
    }

    func response(requestID: String) -> Response {
        var body: JSONObject = [
            "type": .string("https://muster.invalid/errors/\(code)"), "title": .string(title),
            "status": .integer(Int64(status)), "detail": .string(detail), "code": .string(code),
            "request_id": .string(requestID),
        ]
        if !faults.isEmpty {
            body["errors"] = .array(
                faults.map {
                    ["pointer": .string($0.pointer), "code": .string($0.code), "detail": .string($0.detail)]
                })
        }
        var response = Response.json(.object(body), status: status)
        response.contentType = "application/problem+json"
        response.headers += headers
        return response
    }

    /// The one place where errors become answers. Never SQL, never a driver's words.
    static func from(_ error: any Error) -> Problem {
        switch error {
        case let problem as Problem: problem
        case let faults as Faults: .validation(faults.list)
        case let fault as Fault: .validation([fault])
        case let error as JSONError: .from(json: error)
        case let error as PostgresError: .from(database: error)
        case let error as FastCGIError: .from(transport: error)
        default: .internalError
        }
    }

    public static let internalError = Problem(
        500, "internal_error", "Our mistake", "Something went wrong here; the request id finds it in our journal.")

    private static func from(json error: JSONError) -> Problem {
        if error.code == "json_too_large" { return Problem(413, "too_large", "Too large", error.detail) }
        return Problem(
            400, error.code, "Not the JSON that was expected",
            "Line \(error.line), column \(error.column), byte \(error.offset): \(error.detail)")
    }

    private static func from(transport error: FastCGIError) -> Problem {
        switch error {
        case .tooLarge: Problem(413, "too_large", "Too large", "The body is larger than this endpoint takes.")
        default: .badRequest("body_incomplete", "The body ended before its Content-Length; nothing was done.")
        }
    }

    private static func from(database error: PostgresError) -> Problem {
        switch error {
        case .connectionLost, .cannotConnect:
            return .unavailable(retryAfter: 1, "The database does not answer; try again shortly.")
        case .noRow: return .notFound()
        case .statement(let state, let evidence):
            switch state {
            case .uniqueViolation: return .conflict("already_exists", "There is one with the same unique value already.")
            case .foreignKeyViolation:
                return .conflict("in_use_or_missing", "It refers to, or is used by, something that does not allow this.")
            case .queryCanceled, .lockNotAvailable:
                return .unavailable(retryAfter: 2, "This took longer than it may; nothing was changed.")
            case .serializationFailure, .deadlockDetected:
                return .unavailable(retryAfter: 1, "Others changed the same things; nothing was changed, try again.")
            case .tooManyConnections, .adminShutdown, .crashShutdown, .cannotConnectNow:
                return .unavailable(retryAfter: 1, "The database does not answer; try again shortly.")
            case .characterNotInRepertoire:
                return .invalid("", "bad_character", "A text holds a character that cannot be stored, such as U+0000.")
            case .diskFull: return Problem(507, "storage_full", "Storage full", "The server has no room for this now.")
            default:
                _ = evidence
                return .internalError
            }
        default: return .internalError
        }
    }
}
