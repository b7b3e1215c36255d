import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct TestDatabaseTests {
    @Test func `what a test writes in its transaction is gone afterwards`() throws {
        let workspace = try withDatabase { db in try db.createWorkspace() }
        let count: Int = try withDatabase { db throws in
            try db.value("SELECT count(*) FROM workspaces WHERE id = $1::uuid", .text(workspace.description))
        }
        #expect(count == 0)
    }

    @Test func `a test's transaction acts as the role that it asks for`() throws {
        for role in DatabaseRole.allCases {
            let name: String = try withDatabase(as: role) { db in try db.value("SELECT current_user::text") }
            #expect(name == role.rawValue)
        }
    }

    @Test func `a database of its own keeps commits for other connections, and starts migrated and empty`() throws {
        try withOwnDatabase { database throws in
            let owner = try database.connect()
            let empty: Int = try owner.value("SELECT count(*) FROM workspaces")
            #expect(empty == 0)
            let workspace = try owner.createWorkspace("Seen")
            let maintenance = try database.connect(as: .maintenance)
            let name: String = try maintenance.value("SELECT name FROM workspaces WHERE id = $1::uuid", .text("\(workspace)"))
            #expect(name == "Seen")
        }
    }
}
