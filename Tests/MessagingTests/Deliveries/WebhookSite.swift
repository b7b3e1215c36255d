import Foundation
import PostgreSQL
import Secrets
import TestSupport

@testable import Messaging

/// The webhooks over real FastCGI, with a scene whose sender they belong to.
final class WebhookSite {
    let database: TestDatabase
    let owner: Connection
    let scene: Scene
    let responder: TestResponder
    static let publicURL = "https://muster.example"
    static let token = "token-of-a-test"

    fileprivate init(_ database: TestDatabase, contacts: Int, consenting: Int?) throws {
        self.database = database
        owner = try database.connect()
        scene = try Scene(owner, contacts: contacts, consenting: consenting)
        let key = FileManager.default.temporaryDirectory.appendingPathComponent("key-\(UUID()).txt")
        try base64Encode([UInt8](repeating: 7, count: 32)).write(to: key, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: key) }
        responder = try TestResponder(
            webhookRoutes + preferenceRoutes, database, threads: 4,
            ["MUSTER_PUBLIC_URL": Self.publicURL, "MUSTER_SEALING_KEY_FILE": key.path])
    }

    func path(_ what: String) -> String { "/webhooks/twilio/\(scene.sender)/\(what)" }

    /// A form post, signed for the URL that the outside sees.
    /// - Parameter signature: instead of the right one.
    func post(
        _ target: String, _ form: [(name: String, value: String)], token: String = WebhookSite.token, signature: String? = nil,
        headers: [(String, String)] = [], contentType: String = "application/x-www-form-urlencoded", body: [UInt8]? = nil
    ) throws -> TestAnswer {
        let signature = signature ?? TwilioSignature.sign(url: Self.publicURL + target, form: form, token: token)
        return try responder.send(
            "POST", target, headers: [("X-Twilio-Signature", signature)] + headers, contentType: contentType,
            body: body ?? formEncoded(form.map { ($0.name, $0.value) }))
    }

    func reply(_ text: String, sid: String = "SM\(UUID())", from: String = "+12025550001") throws -> TestAnswer {
        try post(path("inbound"), [("MessageSid", sid), ("From", from), ("To", "+12025550100"), ("Body", text), ("FromZip", "")])
    }

    func count(_ table: String) throws -> Int { try owner.value("SELECT count(*) FROM \(table)") }
}

func withWebhooks(contacts: Int = 3, consenting: Int? = nil, _ body: (WebhookSite) throws -> Void) throws {
    try withOwnDatabase { database in
        let site = try WebhookSite(database, contacts: contacts, consenting: consenting)
        defer { site.responder.stop() }
        try body(site)
    }
}
