import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct NoticeTests {
    private func notify(_ kind: String, _ detail: String = "It happened.", in workspace: WorkspaceID, _ db: Connection) throws {
        try db.transaction { db throws in
            try db.setWorkspace(workspace)
            let _: String = try db.value(
                "SELECT notify_workspace($1, jsonb_build_object('id', 1), $2)::text", kind.sqlValue, detail.sqlValue)
        }
    }

    @Test func `notices are listed newest first to managers and above, and to nobody of another workspace`() throws {
        try withAccounts { site throws in
            for kind in ["sender.suspended", "webhook.disabled"] { try notify(kind, in: site.workspace, site.db) }
            try notify("elsewhere.happened", in: site.otherWorkspace, site.db)
            let listed = try site.items("/api/notices", as: site.manager)
            #expect(listed.map { $0["kind"]?.string } == ["webhook.disabled", "sender.suspended"])
            #expect(listed[0]["subject"] == ["id": 1] && listed[0]["detail"] == "It happened." && listed[0]["read_at"] == .null)
            #expect(try site.items("/api/notices", as: site.stranger).map { $0["kind"]?.string } == ["elsewhere.happened"])
            for person in [site.viewer, site.client] { #expect(try site.send("GET", "/api/notices", as: person).status == 403) }
        }
    }

    @Test func `a notice is read once for everybody, and its first reader stays`() throws {
        try withAccounts { site throws in
            for kind in ["one.happened", "two.happened"] { try notify(kind, in: site.workspace, site.db) }
            let id = try #require(try site.items("/api/notices", as: site.owner)[0]["id"]?.string)
            #expect(try site.send("POST", "/api/notices/\(id)/read", as: site.stranger).status == 404)
            #expect(try site.send("POST", "/api/notices/\(id)/read", as: site.viewer).status == 403)
            let first = try site.send("POST", "/api/notices/\(id)/read", as: site.manager)
            #expect(first.status == 200 && first.json["read_by"] == .string(site.manager.id.description))
            #expect(try site.send("POST", "/api/notices/\(id)/read", as: site.owner).body == first.body)
            func kinds(_ isRead: Bool) throws -> [String?] {
                try site.items("/api/notices?is_read=\(isRead)", as: site.owner).map { $0["kind"]?.string }
            }
            #expect(try kinds(true) == ["two.happened"] && kinds(false) == ["one.happened"])
        }
    }

    @Test(arguments: [("Spaces here", "x"), ("nodot", "x"), ("a.b", ""), ("a.b", String(repeating: "x", count: 1001))])
    func `what is no notice is refused by the database`(kind: String, detail: String) throws {
        try withDatabase { db throws in
            let workspace = try db.createWorkspace()
            let refusal = try #require(throws: PostgresError.self) { try notify(kind, detail, in: workspace, db) }
            #expect(refusal.sqlState == .checkViolation)
        }
    }
}
