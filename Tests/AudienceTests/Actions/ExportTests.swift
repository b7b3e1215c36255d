// Files of members: what is in them, who gets them, and when they go.
@testable import Audience
import Foundation
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite struct SegmentExportTests {
    @Test func `a CSV has the columns that were asked for, and no formula`() throws {
        try withActions { actions throws in
            _ = try actions.site.add([
                "email": "a@example.com", "name": "=1+1", "tags": ["x", "y"],
                "attributes": ["email": "other", "address": ["city": "Rome, \"Eternal\""], "n": -5],
            ])
            let segment = try actions.everybody()
            let columns: JSONValue = ["name", "attributes.address.city", "attributes.n", "email", "attributes.email", "tags", "phone"]
            let action = try actions.act(segment, "export", ["columns": columns])
            let file = actions.exports.appendingPathComponent("\(action["id"]?.string ?? "").csv")
            #expect(
                try String(contentsOf: file, encoding: .utf8) == "name,address.city,n,email,attributes.email,tags,phone\r\n"
                    + "'=1+1,\"Rome, \"\"Eternal\"\"\",-5,a@example.com,other,x|y,\r\n")
            let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
            #expect(mode == 0o640)
            let lines = try actions.act(segment, "export", ["format": "jsonl", "columns": ["email", "attributes.n", "phone"]])
            let text = try String(
                contentsOf: actions.exports.appendingPathComponent("\(lines["id"]?.string ?? "").jsonl"), encoding: .utf8)
            #expect(text == "{\"email\":\"a@example.com\",\"attributes.n\":-5,\"phone\":null}\n")
            // All of them when nobody says which.
            let all = try actions.act(segment, "export", [:])
            #expect(all["parameters"]?["columns"]?.array?.count == ExportFormat.usual.count + 3)
            #expect(try actions.send("POST", segment + "/actions/export", json: ["columns": ["attributes.no"]]).code == "unknown_field")
        }
    }

    @Test func `a download is handed to nginx for a day, and to nobody elsewhere`() throws {
        try withActions { actions throws in
            let site = actions.site
            let action = try actions.act(try actions.everybody(), "export", [:])
            let path = "/api/segment-actions/\(action["id"]?.string ?? "")/download"
            let answer = try actions.send("GET", path)
            #expect(answer.status == 200 && answer.header("x-accel-redirect") == "/exports/\(action["id"]?.string ?? "").csv")
            #expect(answer.header("content-type") == "text/csv; charset=utf-8")
            let other = try site.owner.createAPIKey(in: try site.owner.createWorkspace()).token
            #expect(try actions.send("GET", path, as: other).status == 404)
            let writer = try site.owner.createAPIKey(in: site.workspace, scopes: ["audience:write"]).token
            #expect(try actions.send("GET", path, as: writer).status == 403)
            try site.owner.execute(
                "UPDATE segment_actions SET result = result || jsonb_build_object('expires_at', rfc3339(now() - interval '1 second'))")
            #expect(try actions.send("GET", path).status == 404)
        }
    }

    @Test func `an undone export has no file, and files go when they are old`() throws {
        try withActions { actions throws in
            let segment = try actions.everybody()
            let (first, second) = (try actions.act(segment, "export", [:]), try actions.act(segment, "export", ["format": "jsonl"]))
            func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: actions.exports.path).sorted() }
            #expect(try files().count == 2)
            #expect(try actions.undo(first)["state"] == "succeeded")
            #expect(try files() == ["\(second["id"]?.string ?? "").jsonl"])
            #expect(try actions.send("GET", "/api/segment-actions/\(first["id"]?.string ?? "")/download").status == 404)
            try Data().write(to: actions.exports.appendingPathComponent("something-else.csv"))
            #expect(removeOldExports(in: actions.exports.path, olderThanSeconds: 60) == 0)
            #expect(removeOldExports(in: actions.exports.path, olderThanSeconds: -60) == 1)
            #expect(try files() == ["something-else.csv"])
        }
    }
}
