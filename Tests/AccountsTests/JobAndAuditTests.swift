import JSON
import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct JobAndAuditTests {
    private func enqueue(_ kind: String, in workspace: WorkspaceID, _ db: Connection) throws -> JobID {
        try db.transaction { db in
            try db.setWorkspace(workspace)
            return try db.enqueue(kind)
        }
    }

    @Test func `a job is shown to its workspace, and cancelled once`() throws {
        try withAccounts { site in
            let job = try enqueue("count_sheep", in: site.workspace, site.db)
            let shown = try site.send("GET", "/api/jobs/\(job)", as: site.viewer)
            #expect(shown.status == 200)
            #expect(
                Set(shown.json.object?.keys ?? []) == [
                    "id", "kind", "state", "progress", "result", "problem", "created_at", "finished_at",
                ])
            #expect(shown.json["state"] == "queued" && shown.json["finished_at"] == .null)
            #expect(try site.send("GET", "/api/jobs/\(job)", as: site.stranger).status == 404)
            #expect(try site.send("POST", "/api/jobs/\(job)/cancel", as: site.stranger).status == 404)
            #expect(try site.send("POST", "/api/jobs/\(job)/cancel", as: site.viewer).status == 403)
            #expect(try site.send("POST", "/api/jobs/\(job)/cancel", as: site.manager).json["state"] == "cancelled")
            #expect(try site.send("POST", "/api/jobs/\(job)/cancel", as: site.manager).code == "job_ended")
            #expect(try site.audited() == ["job.cancelled"])
        }
    }

    @Test func `jobs are listed newest first, all or in one state`() throws {
        try withAccounts { site in
            let jobs = try ["one", "two", "three"].map { try enqueue($0, in: site.workspace, site.db) }
            _ = try enqueue("elsewhere", in: site.otherWorkspace, site.db)
            #expect(try site.send("POST", "/api/jobs/\(jobs[1])/cancel", as: site.owner).status == 200)
            func kinds(_ target: String) throws -> [String?] { try site.items(target, as: site.viewer).map { $0["kind"]?.string } }
            #expect(try kinds("/api/jobs") == ["three", "two", "one"])
            #expect(try kinds("/api/jobs?state=queued") == ["three", "one"])
            #expect(try kinds("/api/jobs?state=cancelled") == ["two"])
            #expect(try site.send("GET", "/api/jobs?state=lost", as: site.viewer).status == 422)
        }
    }

    @Test func `the audit log tells who did what, to those who may know`() throws {
        try withAccounts { site in
            let key = try site.db.createAPIKey(in: site.workspace)
            #expect(try site.send("PATCH", "/api/members/\(site.viewer.id)", ["role": "member"], as: key.token).status == 200)
            #expect(try site.send("PATCH", "/api/settings", ["name": "New"], as: site.admin).status == 200)
            let entries = try site.items("/api/audit-log", as: site.admin)
            #expect(entries.map { $0["action"]?.string } == ["settings.changed", "member.changed"])
            #expect(entries[0]["user_id"]?.string == site.admin.id.description && entries[0]["api_key_id"] == .null)
            #expect(entries[1]["api_key_id"]?.string == key.id.description)
            #expect(entries[1]["details"] == ["from": "viewer", "to": "member"])
            #expect(try site.items("/api/audit-log?subject_id=\(site.viewer.id)", as: site.admin).count == 1)
            #expect(try site.items("/api/audit-log", as: site.stranger).isEmpty)
            for user in [site.manager, site.viewer, site.client] { #expect(try site.send("GET", "/api/audit-log", as: user).status == 403) }
        }
    }
}
