// Exactly once, whoever dies or comes meanwhile.
import Foundation
import JSON
import TestSupport
import Testing
import Vocabulary

@Suite(.serialized) struct ActionResumeTests {
    /// More than two batches.
    private let contacts = 4100

    @Test(arguments: ["before_action_commit:2", "after_action_batch:1", "after_action_batch:3"])
    func `a worker that dies acts on nobody twice and forgets nobody`(point: String) throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let path = try actions.start(try actions.everybody(), "tag", ["add": ["seen"]])
            try actions.workDying(at: point)
            let between = try actions.send("GET", path).json["counts"]?["done"]?.integer ?? 0
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE tags = '{seen}'") == between)
            try actions.work()
            let action = try actions.send("GET", path).json
            #expect(action["state"] == "succeeded" && action["counts"]?["changed"]?.integer == contacts, "\(action.text)")
            // Every change moves the version: two would show.
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE tags = '{seen}' AND version = 2") == contacts)
        }
    }

    @Test func `an undoing that dies restores everybody once`() throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let action = try actions.act(try actions.everybody(), "field", ["field": "attributes.n", "value": 0])
            #expect(action["counts"]?["changed"]?.integer == contacts)
            let path = "/api/segment-actions/\(action["id"]?.string ?? "")"
            #expect(try actions.send("POST", path + "/undo").status == 202)
            try actions.workDying(at: "after_undo_batch:2")
            // Asked for again while the first still waits: the same job.
            #expect(try actions.send("POST", path + "/undo").status == 202)
            try actions.work()
            let undo = try actions.send("GET", path).json["undo"]
            #expect(undo?["restored"]?.integer == contacts && undo?["kept"] == 0, "\(undo?.text ?? "")")
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE attributes ->> 'n' = ordinal::text AND version = 3") == contacts)
        }
    }

    @Test(arguments: ["before_export_commit:2", "after_action_batch:2"])
    func `an export that dies has every row once`(point: String) throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let path = try actions.start(try actions.everybody(), "export", ["columns": ["attributes.n", "id"]])
            try actions.workDying(at: point)
            #expect(try actions.send("GET", path + "/download").code == "export_not_ready")
            try actions.work()
            let action = try actions.send("GET", path).json
            #expect(action["state"] == "succeeded" && action["result"]?["rows"]?.integer == contacts, "\(action.text)")
            let file = actions.exports.appendingPathComponent("\(action["id"]?.string ?? "").csv")
            let lines = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\r\n")
            #expect(lines.count == contacts + 2 && lines[0] == "n,id" && lines.last == "")
            #expect(Set(lines[1...].compactMap { $0.split(separator: ",").first }).count == contacts)
            #expect(try Data(contentsOf: file).count == action["result"]?["bytes"]?.integer)
        }
    }

    @Test func `an export whose file is lost in the middle is written again`() throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let path = try actions.start(try actions.everybody(), "export", ["columns": ["id"]])
            try actions.work(leavingBefore: 3)
            let file = actions.exports.appendingPathComponent("\(idOf(path).string ?? "").csv")
            #expect(try Data(contentsOf: file).count > 37 * 3000)
            try FileManager.default.removeItem(at: file)
            try actions.work()
            #expect(try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\r\n").count == contacts + 2)
            #expect(try actions.send("GET", path).json["counts"]?["done"]?.integer == contacts)
        }
    }

    @Test func `whom an action is about is decided when it starts`() throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let small = try actions.site.segment("Small", ["field": "attributes.n", "op": "at_most", "value": 4000])
            let path = try actions.start(small, "tag", ["add": ["seen"]])
            try actions.work(leavingBefore: 2)
            // Of those that wait for their turn one is deleted, one leaves the segment; somebody else comes in.
            try actions.site.owner.execute(
                """
                DELETE FROM contacts WHERE ordinal = (SELECT max(ordinal) FROM contacts WHERE ordinal <= 4000 AND tags = '{}');
                UPDATE contacts SET attributes = '{"n": 5000}', version = version + 1
                 WHERE ordinal = (SELECT max(ordinal) FROM contacts WHERE ordinal <= 4000 AND tags = '{}');
                UPDATE contacts SET attributes = '{"n": 1}', version = version + 1 WHERE ordinal = 4001
                """)
            _ = try actions.send("POST", small + "/calculate")
            try actions.work()
            let action = try actions.send("GET", path).json
            #expect(action["counts"]?["changed"] == 3999 && action["counts"]?["gone"] == 1, "\(action.text)")
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE tags = '{seen}' AND ordinal > 4000") == 0)
        }
    }

    @Test func `an action that is cancelled stops, and what it did can be undone`() throws {
        try withActions { actions throws in
            try actions.addMany(contacts)
            let path = try actions.start(try actions.everybody(), "tag", ["add": ["seen"]])
            #expect(try actions.send("POST", path + "/undo").code == "segment_action_running")
            try actions.work(leavingBefore: 2)
            // As POST /api/jobs/{id}/cancel does.
            try actions.site.owner.execute("UPDATE jobs SET cancel_requested_at = now() WHERE kind = 'act_on_segment'")
            try actions.work()
            let action = try actions.send("GET", path).json
            #expect(action["state"] == "cancelled" && action["counts"]?["changed"] == 2000, "\(action.text)")
            #expect(try actions.undo(action)["restored"] == 2000)
            #expect(try actions.value("SELECT count(*) FROM contacts WHERE tags <> '{}'") == 0)
        }
    }
}
