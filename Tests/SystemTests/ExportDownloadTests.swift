// An export on its whole way: worker, file, responder, nginx.
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite struct ExportDownloadTests {
    @Test func `an export is downloaded through nginx, and its folder is not reached otherwise`() throws {
        try withServer([.segments, .worker]) { server throws in
            let owner = try server.database.connect()
            let workspace = try owner.createWorkspace()
            let token = try owner.createAPIKey(in: workspace).token
            for name in ["Ada", "Grace"] {
                #expect(try server.send("POST", "/api/contacts", token: token, json: ["name": .string(name)]).status == 201)
            }
            let segment = try server.send("POST", "/api/segments", token: token, json: ["name": "All", "rule": ["match": ["all": []]]])
            let started = try server.send(
                "POST", "/api/segments/\(segment.json["id"]?.string ?? "")/actions/export", token: token, json: ["columns": ["name"]])
            let path = try #require(started.json["action"]?["url"]?.string, "\(started.text)")
            try waitUntil("the export is finished") {
                try server.send("GET", path, token: token).json["state"] == "succeeded"
            }
            let file = try server.send("GET", path + "/download", token: token)
            #expect(file.status == 200 && file.text == "name\r\nAda\r\nGrace\r\n", "\(file.status) \(file.text)")
            #expect(file.header("content-type") == "text/csv; charset=utf-8" && file.header("cache-control") == "no-store")
            #expect(file.header("content-disposition")?.hasPrefix("attachment") == true && file.header("x-accel-redirect") == nil)
            let part = try server.send("GET", path + "/download", token: token, headers: [("Range", "bytes=6-8")])
            #expect(part.status == 206 && part.text == "Ada")
            let name = String(path.split(separator: "/").last ?? "")
            #expect(try server.send("GET", "/exports/\(name).csv", token: token).status == 404)
            #expect(try server.send("GET", "/exports/../exports/\(name).csv").status == 404)
        }
    }
}
