// What goes back: built as values, written in one place.
public import JSON
public import PostgreSQL
public import Vocabulary

/// Where a streamed body goes. Throws `FastCGIError.clientGone` once nobody listens any more.
public struct ResponseWriter {
    let send: ([UInt8]) throws -> Void
    public func write(_ bytes: [UInt8]) throws { try send(bytes) }
    public func write(_ text: String) throws { try send(Array(text.utf8)) }
}

public struct Response {
    enum Body {
        case none
        case bytes([UInt8])
        case stream((ResponseWriter) throws -> Void)
    }

    public var status: Int
    public var contentType: String?
    public var headers: [(name: String, value: String)] = []
    var body: Body
    /// The body holds a secret that is shown once, so it is never stored for a repeated request.
    public var holdsSecret = false

    init(status: Int, contentType: String?, body: Body) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    public static func json(_ value: JSONValue, status: Int = 200) -> Response {
        var bytes: [UInt8] = []
        value.write(into: &bytes)
        return Response(status: status, contentType: "application/json", body: .bytes(bytes))
    }
    /// JSON that PostgreSQL made, copied to the socket unparsed.
    public static func json(_ text: JSONText, status: Int = 200) -> Response {
        Response(status: status, contentType: "application/json", body: .bytes(text.bytes))
    }
    public static func created(_ text: JSONText, at location: String) -> Response {
        json(text, status: 201).with("Location", location)
    }
    public static func created(_ value: JSONValue, at location: String) -> Response {
        json(value, status: 201).with("Location", location)
    }
    /// Work in the queue: 202 with the job and where to look for it.
    /// - Parameter others: members beside `job`.
    public static func accepted(job id: JobID, kind: String, state: String = "queued", _ others: JSONObject = [:]) -> Response {
        let path = "/api/jobs/\(id)"
        var body: JSONObject = [
            "job": ["id": .string(id.description), "kind": .string(kind), "state": .string(state), "progress": 0, "url": .string(path)]
        ]
        for (name, value) in others { body[name] = value }
        return json(.object(body), status: 202).with("Location", path)
    }
    /// A file that nginx sends by itself: `path` is one of its internal locations, which nobody reaches from outside.
    public static func handedOver(_ path: String, contentType: String, fileName: String) -> Response {
        bytes([], contentType: contentType).with("X-Accel-Redirect", path)
            .with("Content-Disposition", "attachment; filename=\"\(fileName)\"")
    }
    public static var noContent: Response { Response(status: 204, contentType: nil, body: .none) }
    public static func bytes(_ bytes: [UInt8], contentType: String, status: Int = 200) -> Response {
        Response(status: status, contentType: contentType, body: .bytes(bytes))
    }
    public static func text(_ text: String, contentType: String = "text/plain; charset=utf-8", status: Int = 200) -> Response {
        bytes(Array(text.utf8), contentType: contentType, status: status)
    }
    /// A body made while it is sent, in constant memory. `produce` runs after the handler returned; an error in it
    /// cuts the answer off, which the client sees as an incomplete body.
    public static func stream(contentType: String, _ produce: @escaping (ResponseWriter) throws -> Void) -> Response {
        Response(status: 200, contentType: contentType, body: .stream(produce))
    }

    public func with(_ name: String, _ value: String) -> Response {
        var copy = self
        copy.headers.append((name, value))
        return copy
    }
    /// A strong entity tag made of the row's version (RFC 9110, section 8.8.3).
    public func etag(version: Int) -> Response { with("ETag", "\"v\(version)\"") }
    public func secret() -> Response {
        var copy = self
        copy.holdsSecret = true
        return copy
    }
}
