// One request, one answer, on one thread: the only place that turns errors into answers and writes them.
internal import FastCGI
internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary

struct Exchange {
    private let transport: FastCGIRequest
    private let db: Connection
    private let server: ServerContext
    private let request: Request
    private let requestID: String
    private let startedAt = Instant.now()

    init(_ transport: FastCGIRequest, _ db: Connection, _ server: ServerContext) {
        self.transport = transport
        self.db = db
        self.server = server
        request = Request(transport)
        requestID = Exchange.requestID(request)
    }

    func run() {
        var call: Call?
        var rateHeaders: [(name: String, value: String)] = []
        var response: Response
        do {
            response = try answer(&call, &rateHeaders)
        } catch {
            let problem = Problem.from(error)
            if problem.status >= 500 {
                Log.error(
                    "request failed",
                    [
                        ("request_id", .string(requestID)), ("route", .string(call?.route.path ?? "")),
                        ("error", .string(String(describing: error))),
                    ])
            }
            response = problem.response(requestID: requestID)
        }
        response.headers += rateHeaders
        response.headers += CORS.headers(request, server.configuration)
        let outcome = write(&response)
        if let call, call.tokenIsStale, let credential = call.credential {
            // After the answer, outside its transaction: a read must stay a read.
            _ = try? db.one(WebSQL.touch, credential.tokenHash, credential.isAPIKey)
        }
        record(call, response.status, outcome)
    }

    private func answer(_ call: inout Call?, _ rateHeaders: inout [(name: String, value: String)]) throws -> Response {
        if request.method == "OPTIONS" { return CORS.preflight(request, server.configuration) }
        let (route, parameters) = try match()
        let credential = try self.credential(for: route)
        let thisCall = Call(
            request: request, route: route, parameters: parameters, requestID: requestID, credential: credential,
            db: db, server: server)
        call = thisCall
        if route.needs != .anyone, credential == nil { throw Problem.unauthorized }
        if let credential, credential.fromCookie, route.method != .get {
            try CORS.checkOrigin(request, server.configuration)
        }
        if !route.openQuery { try checkQuery(route) }
        if let verdict = try limit(route, credential) {
            guard verdict.allowed else { throw Problem.tooManyRequests(verdict) }
            rateHeaders = verdict.headers
        }
        return try thisCall.handle()
    }

    private func credential(for route: Route) throws -> Credential? {
        guard route.needs == .anyone else { return try Credential.read(request, cookieName: server.cookieName) }
        guard route.limit == .signIn else { return nil }
        // Looked at for the cookie's Origin check only; the remains of an older session keep nobody from signing in.
        do { return try Credential.read(request, cookieName: server.cookieName) } catch { return nil }
    }

    private func match() throws -> (Route, [(name: String, value: String)]) {
        switch server.router.match(request.method, parts: request.pathParts) {
        case .found(let route, let parameters): return (route, parameters)
        case .none: throw Problem.notFound("path")
        case .wrongMethod(let allowed):
            var problem = Problem(405, "method_not_allowed", "Method not allowed", "This path takes \(allowed.joined(separator: ", ")).")
            problem.headers = [("Allow", allowed.joined(separator: ", "))]
            throw problem
        }
    }

    /// Undeclared query parameters are errors that name them; declared ones must have their type.
    private func checkQuery(_ route: Route) throws {
        if request.rawQuery.isEmpty { return }
        var faults: [Fault] = []
        for (name, value) in request.query {
            guard let parameter = route.query.first(where: { $0.name == name }) else {
                faults.append(
                    Fault(
                        pointer: "/\(name)", code: "unknown_parameter", detail: "This path takes no query parameter `\(name)`."))
                continue
            }
            faults += parameter.schema.validate(parameter.schema.value(ofQueryText: value), at: "/\(name)")
        }
        if !faults.isEmpty { throw Problem.validation(faults) }
    }

    /// - Returns: `nil` for routes without a limit, and for tokens that nobody knows: those end as 401.
    private func limit(_ route: Route, _ credential: Credential?) throws -> RateVerdict? {
        guard route.limit != .unlimited else { return nil }
        let seconds = startedAt.microseconds / 1_000_000
        if let credential, route.limit != .signIn {
            return try server.limiter.spend(route.limit, subject: credential.tokenHash, nowSeconds: seconds) {
                try db.first(
                    WebSQL.leaseForToken, credential.tokenHash, credential.isAPIKey, route.limit.rawValue,
                    route.limit.capacity, RateClass.windowSeconds, route.limit.lot)
            }
        }
        let subject = Hash.sha256(Array("address:\(request.remoteAddress)".utf8))
        return try server.limiter.spend(route.limit, subject: subject, nowSeconds: seconds) {
            try db.one(
                WebSQL.leaseForSubject, subject, route.limit.rawValue, route.limit.capacity, RateClass.windowSeconds,
                route.limit.lot)
        }
    }

    // MARK: Writing

    private func write(_ response: inout Response) -> String {
        var head: [UInt8] = []
        head.reserveCapacity(512)
        head += "Status: \(response.status) \(reason(response.status))\r\n".utf8
        if let type = response.contentType { head += "Content-Type: \(type)\r\n".utf8 }
        for (name, value) in response.headers {
            // A line break in a value would start a header of somebody else's choosing.
            guard !value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { continue }
            head += "\(name): \(value)\r\n".utf8
        }
        head += "X-Request-Id: \(requestID)\r\nCache-Control: no-store\r\n".utf8
        do {
            switch response.body {
            case .none:
                try transport.write(head + Array("\r\n".utf8))
            case .bytes(let bytes):
                head += "Content-Length: \(bytes.count)\r\n\r\n".utf8
                try transport.write(head)
                if request.method != "HEAD" { try transport.write(bytes) }
            case .stream(let produce):
                try transport.write(head + Array("\r\n".utf8))
                if request.method != "HEAD" { try produce(ResponseWriter { try transport.write($0) }) }
            }
            return "sent"
        } catch FastCGIError.clientGone {
            return "client_gone"
        } catch {
            Log.error("answer cut off", [("request_id", .string(requestID)), ("error", .string(String(describing: error)))])
            transport.abort()
            return "cut_off"
        }
    }

    private func record(_ call: Call?, _ status: Int, _ outcome: String) {
        let seconds = Instant.now().seconds(since: startedAt)
        server.metrics.record(status: status, seconds: seconds)
        guard Log.isOn(.info) else { return }
        var fields: [(String, LogValue)] = [
            ("request_id", .string(requestID)), ("method", .string(request.method)),
            // The route, not the path: paths hold ids, and those of /u and /l are secrets.
            ("route", .string(call?.route.path ?? "none")), ("status", .integer(status)),
            ("milliseconds", .real((seconds * 1_000_000).rounded() / 1000)), ("outcome", .string(outcome)),
        ]
        if let actor = call?.actor { fields.append(("workspace", .string(actor.workspace.description))) }
        if let trace = Exchange.traceID(request) { fields.append(("trace_id", .string(trace))) }
        Log.info("request", fields)
    }

    // MARK: Ids

    /// nginx's id, so that its log and ours agree; our own where there is none.
    private static func requestID(_ request: Request) -> String {
        if let id = request.parameter("REQUEST_ID"), (8...64).contains(id.utf8.count),
            id.utf8.allSatisfy({ ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) })
        {
            return id
        }
        return UUID.v7().description
    }

    /// The trace id of a valid `traceparent` (W3C Trace Context, section 3.2).
    static func traceID(_ request: Request) -> String? {
        guard let header = request.header("traceparent") else { return nil }
        let parts = header.split(separator: "-", maxSplits: 4, omittingEmptySubsequences: false)
        func isHex(_ part: Substring, _ count: Int) -> Bool {
            part.utf8.count == count && part.utf8.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) }
        }
        guard parts.count >= 4, isHex(parts[0], 2), parts[0] != "ff", isHex(parts[1], 32), isHex(parts[2], 16),
            isHex(parts[3], 2), parts[0] != "00" || parts.count == 4,
            parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" })
        else { return nil }
        return String(parts[1])
    }
}

/// Reason phrases (RFC 9110, section 15); decoration, but people read them.
private func reason(_ status: Int) -> String {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 409: "Conflict"
    case 412: "Precondition Failed"
    case 413: "Content Too Large"
    case 415: "Unsupported Media Type"
    case 422: "Unprocessable Content"
    case 429: "Too Many Requests"
    case 500: "Internal Server Error"
    case 503: "Service Unavailable"
    case 507: "Insufficient Storage"
    default: "Status"
    }
}
