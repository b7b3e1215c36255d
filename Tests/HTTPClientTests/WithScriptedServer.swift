import TestSupport

/// An answer with its Content-Length.
func answer(_ status: Int = 200, _ body: String = "", _ headers: String = "") -> String {
    "HTTP/1.1 \(status) X\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}

/// Stops the server whatever happens.
func withServer(
    unixSocket: String? = nil, _ script: @escaping @Sendable (ScriptedServer.Received, Int) -> ScriptedServer.Answer,
    _ body: (ScriptedServer) throws -> Void
) throws {
    let server = try ScriptedServer(unixSocket: unixSocket, script)
    defer { server.stop() }
    try body(server)
}
