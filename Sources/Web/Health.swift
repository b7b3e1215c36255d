// Whether the process lives, whether it can work, and what it counted.
internal import JSON
internal import PostgreSQL
internal import Runtime

/// `/health/AREA` touches nothing but the process; `/ready` asks the database for its migration level.
func healthRoutes(_ area: String) -> [Route] {
    [
        .get("/health/\(area)", { _ in .json(["status": "ok"]) }, needs: .anyone, limit: .unlimited, openQuery: true, "Process lives"),
        .get("/health/\(area)/ready", ready, needs: .anyone, limit: .unlimited, openQuery: true, "Database answers"),
        .get("/metrics/\(area)", metrics, needs: .anyone, limit: .unlimited, openQuery: true, "Prometheus metrics, for loopback only"),
    ]
}

private func ready(_ call: Call) throws -> Response {
    let level = try call.db.one(WebSQL.migrationLevel, true)
    return .json(["status": "ready", "migration": .integer(Int64(level))])
}

private func metrics(_ call: Call) throws -> Response {
    // nginx keeps others out; this holds where somebody puts another proxy in front.
    guard ["127.0.0.1", "::1", "unix:", ""].contains(call.request.remoteAddress) else { throw Problem.notFound("path") }
    return .text(call.server.metrics.text(), contentType: "text/plain; version=0.0.4; charset=utf-8")
}
