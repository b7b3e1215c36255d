// `muster openapi`: the document of all routes, from the tables that serve.
import Accounts
import Analytics
import ArgumentParser
import Audience
import JSON
import Messaging
import Web

private let allRoutes: [Route] =
    accountRoutes + audienceRoutes + sendingRoutes + webhookRoutes + preferenceRoutes + linkRoutes + eventRoutes + analyticsRoutes

struct OpenAPI: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "openapi", abstract: "Prints the OpenAPI 3.1 document of the whole API.")
    func run() throws {
        let configuration = try loadConfiguration()
        print(openAPIDocument(allRoutes, publicURL: configuration.publicURL, version: "1").text)
    }
}
