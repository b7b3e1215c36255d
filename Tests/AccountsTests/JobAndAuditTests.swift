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

    @Test func `what a job tells of a segment is for those who see the segment, and for whoever asked`() throws {
        try withAccounts { site in
            let segment: String = try site.db.value(
                "INSERT INTO segments (workspace_id, name, rule, is_restricted) VALUES ($1::uuid, 'S', '{}', true) RETURNING id::text",
                site.workspace.sqlValue)
            let action: String = try site.db.value(
                "INSERT INTO segment_actions (workspace_id, segment_id, kind, parameters) VALUES ($1::uuid, $2::uuid, 'tag', '{}') RETURNING id::text",
                site.workspace.sqlValue, segment.sqlValue)
            func enqueue(_ kind: String, _ payload: JSONValue) throws -> JobID {
                try site.db.transaction { db in
                    try db.setWorkspace(site.workspace)
                    return try db.enqueue(kind, payload: payload)
                }
            }
            let jobs = [
                try enqueue("calculate_segment", ["segment_id": .string(segment)]),
                try enqueue("act_on_segment", ["action_id": .string(action)]),
                try enqueue("undo_segment_action", ["action_id": .string(action)]),
                try enqueue("forget_members", ["segment_id": .string(segment)]),
            ]
            try site.db.execute("UPDATE jobs SET result = '{\"members\": 5}', problem = '{\"code\": \"rule_no_longer_valid\"}'")
            func shown(_ user: TestUser) throws -> [Bool] {
                let listed = Dictionary(
                    uniqueKeysWithValues: try site.items("/api/jobs", as: user).map { ($0["id"]?.string, $0["result"] != .null) })
                return try jobs.map { job in
                    let json = try site.send("GET", "/api/jobs/\(job)", as: user).json
                    #expect((json["problem"] != .null) == (json["result"] != .null) && listed[job.description] == (json["result"] != .null))
                    return json["result"] != .null
                }
            }
            #expect(try shown(site.admin) == [true, true, true, true])
            let nothing = [false, false, false, false]
            #expect(try shown(site.manager) == nothing && shown(site.viewer) == nothing)
            for job in jobs { #expect(try site.send("POST", "/api/jobs/\(job)/cancel", as: site.manager).status == 404) }

            try site.db.execute("UPDATE jobs SET created_by = '\(site.manager.id)' WHERE id = '\(jobs[1])'")
            #expect(try shown(site.manager) == [false, true, false, false])
            #expect(try site.send("POST", "/api/jobs/\(jobs[1])/cancel", as: site.manager).status == 200)
            try site.db.execute(
                """
                INSERT INTO segment_shares (workspace_id, segment_id, user_id, permission)
                VALUES ('\(site.workspace)', '\(segment)', '\(site.viewer.id)', 'view')
                """)
            #expect(try shown(site.viewer) == [true, true, true, true])
            // With whom it was shared goes with it.
            try site.db.execute("DELETE FROM segments")
            #expect(try shown(site.viewer) == nothing && shown(site.manager) == [false, true, false, false])
            #expect(try shown(site.admin) == [true, true, true, true])
            #expect(try site.send("POST", "/api/jobs/\(jobs[0])/cancel", as: site.admin).status == 200)
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
