// Fetch's CORS protocol for configured origins, and the Origin check that guards cookies.
internal import Runtime

enum CORS {
    /// Headers for an answer to a browser on another origin; empty for origins that are not configured.
    static func headers(_ request: Request, _ configuration: Configuration) -> [(name: String, value: String)] {
        guard let origin = request.header("origin"), configuration.allowedOrigins.contains(origin) else { return [] }
        return [
            ("Access-Control-Allow-Origin", origin), ("Vary", "Origin"),
            ("Access-Control-Allow-Credentials", "true"),
            (
                "Access-Control-Expose-Headers",
                "ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
            ),
        ]
    }

    /// The answer to OPTIONS: what may be sent, for two hours, the most that browsers keep.
    static func preflight(_ request: Request, _ configuration: Configuration) -> Response {
        var response = Response.noContent
        guard request.header("origin").map(configuration.allowedOrigins.contains) == true else { return response }
        response.headers = [
            ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE"),
            (
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, Idempotency-Key, If-Match, X-Workspace-Id, traceparent"
            ),
            ("Access-Control-Max-Age", "7200"),
        ]
        return response
    }

    /// Cookies come by themselves, so an unsafe request with one must prove where it was made: its Origin is ours or
    /// configured. Compared with configuration, never with Host (which a proxy may have rewritten).
    static func checkOrigin(_ request: Request, _ configuration: Configuration) throws {
        let origin = request.header("origin")
        if let origin, origin == configuration.publicOrigin || configuration.allowedOrigins.contains(origin) { return }
        if origin == nil, request.header("sec-fetch-site") == "same-origin" { return }
        throw Problem.forbidden("A request with a session cookie needs an Origin that this server knows.")
    }
}
