import JSON
import PostgreSQL
import TestSupport
import Vocabulary
import Web

@testable import Messaging

/// The routes of sending over real FastCGI, with people of every kind.
final class MessagingSite {
    let database: TestDatabase
    let owner: Connection
    let responder: TestResponder
    let scene: Scene
    let admin: TestUser
    let manager: TestUser
    let viewer: TestUser
    /// The owner of another workspace.
    let stranger: TestUser

    fileprivate init(_ database: TestDatabase, contacts: Int, consenting: Int?, body: String) throws {
        self.database = database
        owner = try database.connect()
        scene = try Scene(owner, contacts: contacts, consenting: consenting, body: body)
        admin = try owner.createUser("admin", in: scene.workspace)
        manager = try owner.createUser("manager", in: scene.workspace)
        viewer = try owner.createUser("viewer", in: scene.workspace)
        stranger = try owner.createUser("owner", in: try owner.createWorkspace("Other"))
        responder = try TestResponder(sendingRoutes, database)
    }

    /// A request of the admin, unless somebody else's token is given.
    func get(_ path: String, as user: TestUser? = nil) throws -> TestAnswer {
        try responder.send("GET", path, token: (user ?? admin).token)
    }
    func send(_ method: String, _ path: String, _ json: JSONValue = [:], as user: TestUser? = nil, headers: [(String, String)] = []) throws
        -> TestAnswer
    {
        try responder.send(method, path, token: (user ?? admin).token, headers: headers, json: json)
    }
    func post(_ path: String, _ json: JSONValue = [:], as user: TestUser? = nil) throws -> TestAnswer {
        try send("POST", path, json, as: user)
    }

    var campaign: String { "/api/campaigns/\(scene.campaign)" }
}

func withMessagingSite(
    contacts: Int = 3, consenting: Int? = nil, body: String = "Hi {{ first_name | default: \"there\" }}",
    _ work: (MessagingSite) throws -> Void
) throws {
    try withOwnDatabase { database in
        let site = try MessagingSite(database, contacts: contacts, consenting: consenting, body: body)
        defer { site.responder.stop() }
        try work(site)
    }
}
