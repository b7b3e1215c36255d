// A responder's whole life: configuration, threads, one request after another.
internal import FastCGI
internal import Glibc
internal import JSON
internal import PostgreSQL
package import Runtime
internal import Secrets

/// What all threads of a responder share; immutable but for the limiter and the metrics, which guard themselves.
final class ServerContext: Sendable {
    let area: String
    let configuration: Configuration
    let router: Router
    let limiter = RateLimiter()
    let cursorKey: [UInt8]
    let metrics: RequestMetrics
    let cookieName: String

    init(area: String, configuration: Configuration, routes: [Route]) {
        self.area = area
        self.configuration = configuration
        router = Router(routes + healthRoutes(area))
        cursorKey = configuration.derivedKey("paging cursors")
        metrics = RequestMetrics(area: area)
        cookieName = configuration.publicURL.hasPrefix("https://") ? "__Host-muster" : "muster"
    }
}

/// Serves a feature area's routes on the listening socket at file descriptor 0 until SIGTERM, then drains.
/// The whole of a responder's `main.swift`. Exits with 78 (EX_CONFIG) when the configuration is wrong.
public func serve(_ area: String, _ routes: [Route]) {
    let configuration: Configuration
    do {
        configuration = try Configuration.load()
    } catch {
        Log.error("configuration", [("faults", .string("\(error)"))])
        exit(78)
    }
    do {
        Log.setLevel(configuration.logLevel)
        try Responder(area, routes, configuration).run()
    } catch {
        Log.error("cannot serve", [("reason", .string("\(error)"))])
        exit(71)
    }
}

/// Routes on a listening socket, without a process around them.
package struct Responder: Sendable {
    private let server: FastCGIServer
    private let context: ServerContext

    /// - Throws: `FastCGIError.notListening`.
    package init(_ area: String, _ routes: [Route], _ configuration: Configuration, descriptor: Int32 = 0) throws {
        server = try FastCGIServer(threads: configuration.threads, descriptor: descriptor)
        context = ServerContext(area: area, configuration: configuration, routes: routes)
    }

    /// Serves until SIGTERM or `stop`, then drains.
    package func run() {
        let context = self.context
        server.run {
            // Connects on first use: a database that is away makes a request wait, not the process fail.
            let db = Connection(lazily: context.configuration.database, applicationName: "muster-\(context.area)")
            return { request in Exchange(request, db, context).run() }
        }
    }

    package func stop() { server.stop() }
}
