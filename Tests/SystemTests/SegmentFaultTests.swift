// Live segments while their worker, the responders and the database die under load.
import Glibc
import JSON
import PostgreSQL
import Synchronization
import TestSupport
import Testing

@Suite struct SegmentFaultTests {
    /// Changes contacts until it is over. What is answered does not matter here: what is committed does.
    private static func change(_ server: ServerUnderTest, _ token: String, _ seed: UInt64, until isOver: () -> Bool) throws {
        var random = Seeded(seed)
        var known: [String] = []
        while !isOver() {
            let body: JSONValue = [
                "status": Bool.random(using: &random) ? "New" : "Won",
                "attributes": ["score": JSONValue(Int.random(in: 0...9, using: &random))],
            ]
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let answer = try server.send("POST", "/api/contacts", token: token, json: body)
                if let id = answer.json["id"]?.string { known.append(id) }
            case 9: if let id = known.popLast() { _ = try server.send("DELETE", "/api/contacts/\(id)", token: token) }
            default:
                if let id = known.randomElement(using: &random) {
                    _ = try server.send("PATCH", "/api/contacts/\(id)", token: token, json: body)
                }
            }
        }
    }

    @Test func `whoever is killed, membership, history and counter agree, and live segments end where their rules are`() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        try withOwnServer { database throws in
            let server = try ServerUnderTest(database, [.segments, .worker], instances: 2)
            defer { server.stop() }
            let setUp = try database.connect()
            let key = try setUp.createAPIKey(in: try setUp.createWorkspace())
            setUp.close()
            let new: JSONValue = ["field": "status", "op": "is", "value": "New"]
            _ = try server.send("POST", "/api/contacts", token: key.token, json: ["attributes": ["score": 1]])
            var paths: [String] = []
            func save(_ name: String, _ match: JSONValue) throws {
                let answer = try server.send(
                    "POST", "/api/segments", token: key.token, json: ["name": .string(name), "rule": ["match": match]])
                paths.append("/api/segments/" + (try #require(answer.json["id"]?.string, "\(answer.text)")))
            }
            try save("New", new)
            try save("High", ["field": "attributes.score", "op": "at_least", "value": 5])
            try save("Either", ["any": .array(paths.map { ["segment": .string(String($0.dropFirst(14)))] })])
            try save("Neither", ["not": ["segment": .string(String(paths[2].dropFirst(14)))]])
            let saved = paths
            let isOver = Atomic<Bool>(false)
            _ = try inParallel(5) { thread throws in
                guard thread == 4 else {
                    return try Self.change(server, key.token, seed &+ UInt64(thread)) { isOver.load(ordering: .relaxed) }
                }
                defer { isOver.store(true, ordering: .relaxed) }
                var random = Seeded(seed)
                for round in 0..<24 {
                    usleep(UInt32.random(in: 50_000...300_000, using: &random))
                    if round == 8 || round == 16 {
                        try database.restartServer(isCrash: round == 16)
                    } else if round % 3 == 0 {
                        _ = try server.send("POST", saved[round % 4] + "/calculate", token: key.token)
                    } else {
                        let name = ["worker", "worker", "segments-1", "segments-2"].randomElement(using: &random)!
                        if let pid = server.pid(of: name) { kill(pid, SIGKILL) }
                    }
                }
            }
            let owner = try database.connect()
            try waitUntil("everything is looked at", seconds: 90) {
                let dirty: Int = try owner.value("SELECT count(*) FROM dirty_contacts")
                let open: Int = try owner.value("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")
                return dirty + open == 0
            }
            #expect(try owner.value("SELECT count(*) FROM segment_changes", as: Int.self) > 50, "seed \(seed): too little happened")
            let violations = try MembershipInvariants.violations(owner)
            #expect(violations == [], "seed \(seed)")
            for path in paths {
                let segment = try server.send("GET", path, token: key.token).json
                let preview = try server.send("GET", path + "/preview", token: key.token).json
                #expect(segment["state"] == "ready" && segment["member_count"] == preview["count"], "seed \(seed): \(segment.text)")
            }
        }
    }
}
