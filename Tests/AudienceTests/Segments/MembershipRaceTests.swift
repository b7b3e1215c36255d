// Calculations while contacts come, change and go.
@testable import Audience
import JSON
@testable import Jobs
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct MembershipRaceTests {
    private static let gold: JSONValue = ["field": "attributes.plan", "op": "is", "value": "gold"]

    @Test func `however contacts change meanwhile, membership, its history and its counter agree`() throws {
        try withAudience { site throws in
            let contacts = try (0..<40).map {
                try site.add(["attributes": ["plan": .string($0 % 2 == 0 ? "gold" : "iron")]])["id"]?.string ?? ""
            }
            let paths = [
                try site.segment("Gold", Self.gold), try site.segment("All", ["all": []]), try site.segment("Rest", ["not": Self.gold]),
            ]
            let (responder, database, token) = (site.responder, site.database, site.token)
            _ = try inParallel(6) { thread throws in
                func send(_ method: String, _ target: String, _ json: JSONValue? = nil) throws -> Int {
                    guard let json else { return try responder.send(method, target, token: token).status }
                    return try responder.send(method, target, token: token, json: json).status
                }
                switch thread {
                case 0, 1:
                    let db = try database.connect(as: .worker)
                    let worker = Worker(try testConfiguration(database: database.conninfo(as: .worker)), segmentJobs, [])
                    for round in 0..<12 {
                        #expect(try send("POST", paths[(round + thread) % paths.count] + "/calculate") == 202)
                        while let job = try JobQueue([("calculate_segment", 1)]).take(db).first {
                            worker.perform(job, db)
                        }
                    }
                case 2:
                    for round in 0..<60 {
                        let plan: JSONValue = ["attributes": ["plan": round % 3 == 0 ? "gold" : "iron"]]
                        #expect([200, 404].contains(try send("PATCH", "/api/contacts/\(contacts[round % 20])", plan)))
                    }
                case 3:
                    for contact in contacts[20...] {
                        #expect(try send("DELETE", "/api/contacts/\(contact)") == 204)
                        #expect(try send("POST", "/api/contacts", ["attributes": ["plan": "gold"]]) == 201)
                    }
                case 4:
                    for round in 0..<20 {
                        let made = try responder.send(
                            "POST", "/api/segments", token: token, json: ["name": .string("S\(round)"), "rule": ["match": ["all": []]]])
                        // A worker may be at it, or have it full.
                        let path = try #require(made.header("location"))
                        for _ in 0..<round { _ = try send("GET", path) }
                        #expect(try send("DELETE", path) == 204)
                    }
                default:
                    for contact in contacts[10..<20] { #expect(try send("DELETE", "/api/contacts/\(contact)") == 204) }
                }
            }
            for path in paths { _ = try site.send("POST", path + "/calculate") }
            try site.owner.execute("UPDATE jobs SET run_at = now() WHERE state = 'queued'")
            try site.calculate()
            let wrong = "SELECT count(*) FROM jobs WHERE state <> 'succeeded' AND problem ->> 'code' IS DISTINCT FROM 'not_found'"
            #expect(try site.owner.value(wrong, as: Int.self) == 0)
            for path in paths {
                let (segment, preview) = (try site.send("GET", path).json, try site.send("GET", path + "/preview").json)
                #expect(segment["member_count"] == preview["count"], "\(segment["name"]?.string ?? "")")
            }
            #expect(try MembershipInvariants.violations(site.owner) == [])
        }
    }

    @Test func `nobody enters who is gone or going, and memberships go with either`() throws {
        try withAudience { site throws in
            let id = try site.add(["name": "a"])["id"]?.string ?? ""
            let path = try site.segment("All", ["all": []])
            let enter = "INSERT INTO segment_members SELECT workspace_id, id, $1::uuid, now() FROM segments WHERE id = $2::uuid"
            let (segment, other) = (String(path.dropFirst("/api/segments/".count)), "0190f5c2-0000-7000-8000-000000000000")
            #expect { () throws in try site.owner.runDynamic(enter, [other.sqlValue, segment.sqlValue]) } throws: {
                ($0 as? PostgresError)?.sqlState == .foreignKeyViolation
            }
            #expect { () throws in
                try site.owner.runDynamic(
                    "INSERT INTO segment_members SELECT workspace_id, $2::uuid, id, now() FROM contacts WHERE id = $1::uuid",
                    [id.sqlValue, other.sqlValue])
            } throws: { ($0 as? PostgresError)?.sqlState == .foreignKeyViolation }
            // Whoever deletes waits for an entry that is not committed yet, and takes it along.
            let (entering, deleting) = (try site.database.connect(as: .owner), try site.database.connect(as: .owner))
            for table in ["contacts", "segments"] {
                try entering.runDynamic("BEGIN", [])
                try entering.runDynamic(enter, [id.sqlValue, segment.sqlValue])
                let delete = "DELETE FROM \(table) WHERE id = $1::uuid"
                let which = table == "contacts" ? id : segment
                #expect { () throws in
                    try deleting.transaction { db in
                        try db.runDynamic("SET LOCAL lock_timeout = '50ms'", [])
                        try db.runDynamic(delete, [which.sqlValue])
                    }
                } throws: { ($0 as? PostgresError)?.sqlState == .lockNotAvailable }
                try entering.runDynamic(table == "contacts" ? "ROLLBACK" : "COMMIT", [])
            }
            #expect(try site.send("GET", path).json["member_count"] == 1)
            try deleting.runDynamic("DELETE FROM contacts WHERE id = $1::uuid", [id.sqlValue])
            #expect(try site.send("GET", path).json["member_count"] == 0)
            #expect(try MembershipInvariants.violations(site.owner) == [])
            let last = try site.add(["name": "b"])["id"]?.string ?? ""
            try site.owner.runDynamic(enter, [last.sqlValue, segment.sqlValue])
            #expect(try site.send("DELETE", path).status == 204)
            try site.calculate()
            #expect(try site.owner.value("SELECT count(*) FROM segment_members") == 0)
            #expect(try site.owner.value("SELECT count(*) FROM segment_changes") == 3, "nobody left a segment that went")
        }
    }

    @Test func `a calculation tells how far it is, segment by segment`() throws {
        try withAudience { site throws in
            let inner = try ["A", "B"].map { try site.segment($0, ["all": []]) }
            let outer = try site.segment("Outer", ["all": .array(inner.map { ["segment": idOf($0)] })])
            let worker = try site.database.connect(as: .worker)
            var told: [Double] = []
            var calculation = SegmentCalculation(isRefresh: false) { work in
                try worker.transaction { db in
                    try db.setWorkspace(site.workspace)
                    try work(db)
                }
            }
            calculation.progress = { told.append($0) }
            _ = try calculation.calculate(try #require(idOf(outer).string.flatMap { SegmentID($0) }))
            #expect(told == [0.25, 0.5, 0.75])
            #expect(try site.owner.value("SELECT count(*) FROM segments WHERE state = 'ready'") == 3)
        }
    }

    @Test func `a calculation that takes too long is given up, and the segment says so`() throws {
        try withAudience { site throws in
            let path = try site.segment("All", ["all": []])
            let id = try #require(idOf(path).string.flatMap { SegmentID($0) })
            let (holder, worker) = (try site.database.connect(), try site.database.connect(as: .worker))
            try holder.transaction { holder in
                _ = try holder.one(SegmentSQL.lockCalculation, id)
                var calculation = SegmentCalculation(isRefresh: false, timeoutSeconds: 0.2) { work in
                    try worker.transaction { db in
                        try db.setWorkspace(site.workspace)
                        try work(db)
                    }
                }
                #expect(throws: JobFailure.self) { _ = try calculation.calculate(id) }
            }
            let segment = try site.send("GET", path).json
            #expect(segment["state"] == "failed" && segment["problem"]?.string?.contains("given up") == true)
        }
    }
}
