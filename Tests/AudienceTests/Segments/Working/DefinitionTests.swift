// Definitions as files: out, in, and out again.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

private func definition(_ name: String, _ match: JSONValue) -> JSONValue { ["name": .string(name), "rule": ["match": match]] }

@Suite struct DefinitionTests {
    private let gold: JSONValue = ["field": "attributes.plan", "op": "is_any_of", "value": ["gold", "silver \"1\""]]

    private func text(_ answer: TestAnswer) -> String { answer.text }

    @Test func `a definition is text with one member per line, and names instead of ids`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let list = try #require(try site.send("POST", "/api/lists", json: ["name": "VIP"]).header("location"))
            let inner = try site.segment("Inner", gold)
            let outer = try site.segment(
                "Outer \"x\" & Co",
                ["all": [["segment": idOf(inner)], ["not": ["list": idOf(list)]], ["event": "order", "count": ["at_least": 2]]]])
            let answer = try site.send("GET", outer + "/definition")
            #expect(answer.status == 200 && answer.header("content-disposition") == "attachment; filename=\"outer-x-co.json\"")
            #expect(
                answer.text == """
                    {
                      "name": "Outer \\"x\\" & Co",
                      "description": null,
                      "rule": {
                        "version": 1,
                        "timezone": "workspace",
                        "match": {
                          "all": [
                            {
                              "segment": "Inner"
                            },
                            {
                              "not": {
                                "list": "VIP"
                              }
                            },
                            {
                              "event": "order",
                              "count": {
                                "at_least": 2
                              }
                            }
                          ]
                        }
                      }
                    }

                    """)
        }
    }

    @Test func `what was exported, imported elsewhere and exported again is the same to the byte`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold", "n": 1.5]])
            let list = try #require(try site.send("POST", "/api/lists", json: ["name": "VIP"]).header("location"))
            let first = try site.segment("Zebra", ["any": [gold, ["field": "attributes.n", "op": "between", "value": [1.5, 20]]]])
            _ = try site.segment(
                "Äpfel",
                [
                    "all": [
                        ["segment": idOf(first)], ["list": idOf(list)], ["segment": idOf(first), "was": true, "within": ["last": "30d"]],
                    ]
                ])
            _ = try site.segment(
                "Middle",
                [
                    "at_least": 1,
                    "of": [
                        ["aggregate": "sum", "of": "amount", "event": "order", "op": "at_least", "value": 5],
                        ["bucket": ["salt": "s", "from": 0, "to": 99]],
                    ],
                ])
            try site.send("PATCH", first, json: ["description": "Line\nbreak"])
            let exported = try site.send("GET", "/api/segments/definitions")
            #expect(exported.json["segments"]?.array?.map { $0["name"] } == ["Middle", "Zebra", "Äpfel"])

            let elsewhere = try site.owner.createWorkspace("Elsewhere")
            let token = try site.owner.createAPIKey(in: elsewhere).token
            _ = try site.send("POST", "/api/contacts", json: ["attributes": ["plan": "gold", "n": 1.5]], as: token)
            _ = try site.send("POST", "/api/lists", json: ["name": "VIP"], as: token)
            // The one that is read comes last in this file.
            var reversed = exported.json
            reversed = ["segments": .array((reversed["segments"]?.array ?? []).reversed())]
            let imported = try site.send("POST", "/api/segments/import", json: reversed, as: token)
            #expect(imported.status == 200, "\(imported.text)")
            #expect(imported.json["segments"]?.array?.map { $0["outcome"] } == ["created", "created", "created"])
            #expect(try site.send("GET", "/api/segments/definitions", as: token).text == exported.text)
            // And once more changes nothing.
            let again = try site.send("POST", "/api/segments/import", json: exported.json, as: token)
            #expect(again.json["segments"]?.array?.map { $0["outcome"] } == ["unchanged", "unchanged", "unchanged"])
            #expect(try site.owner.value("SELECT count(*) FROM segment_versions WHERE workspace_id = $1::uuid", elsewhere.sqlValue) == 3)
            // What is imported is calculated like what is saved.
            #expect(try site.calculate().allSatisfy { $0["state"] == "succeeded" })
            #expect(
                try site.owner.value("SELECT count(*) FROM segments WHERE state = 'ready' AND workspace_id = $1::uuid", elsewhere.sqlValue)
                    == 3)
        }
    }

    @Test func `a dry run tells what would become of each, and leaves nothing`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let path = try site.segment("Known", gold)
            _ = try site.segment("Same", ["all": []])
            let changed: JSONValue = ["field": "attributes.plan", "op": "is_any_of", "value": ["gold"]]
            let file: JSONValue = [
                "segments": [definition("New", ["segment": "Known"]), definition("Known", changed), definition("Same", ["all": []])]
            ]
            for dry in [true, false] {
                let answer = try site.send("POST", "/api/segments/import?dry_run=\(dry)", json: file)
                #expect(answer.status == 200 && answer.json["dry_run"] == .bool(dry), "\(answer.text)")
                let outcomes = answer.json["segments"]?.array ?? []
                #expect(outcomes.map { $0["outcome"] } == ["created", "updated", "unchanged"])
                #expect(outcomes.map { $0["id"] == .null } == [dry, false, false])
                #expect(outcomes.last?["changes"] == nil && outcomes[1]["changes"]?.array?.map { $0["pointer"] } == ["/match/value"])
                #expect(try site.count("segments") == (dry ? 2 : 3))
                #expect(try site.send("GET", path).json["version"] == (dry ? 1 : 2))
            }
            #expect(try site.send("GET", path + "/versions").json["items"]?.array?.first?["note"] == "Imported")
        }
    }

    @Test func `every fault of every definition is told at once, and then nothing is taken`() throws {
        try withAudience { site throws in
            _ = try site.add(["attributes": ["plan": "gold"]])
            let path = try site.segment("Archived", ["all": []])
            try site.send("POST", path + "/archive")
            let file: JSONValue = [
                "segments": [
                    definition("Good", ["all": []]),
                    definition(
                        "Reads", ["any": [["segment": "Nobody"], ["list": "Nothing"], ["segment": "Wrong"], ["segment": "Archived"]]]),
                    definition(
                        "Wrong",
                        [
                            "all": [
                                ["field": "attributes.plan", "op": "at_least", "value": 5],
                                ["field": "attributes.no", "op": "is", "value": 1],
                            ]
                        ]),
                    ["name": "Odd", "rule": 5],
                ]
            ]
            let answer = try site.send("POST", "/api/segments/import", json: file)
            #expect(answer.status == 422)
            #expect(
                Set(answer.json["errors"]?.array?.map { "\($0["code"]?.string ?? "") \($0["pointer"]?.string ?? "")" } ?? []) == [
                    "unknown_segment /segments/1/rule/match/any/0/segment", "unknown_list /segments/1/rule/match/any/1/list",
                    "segment_archived /segments/1/rule/match/any/3/segment", "unknown_operator /segments/2/rule/match/all/0/op",
                    "unknown_field /segments/2/rule/match/all/1/field", "wrong_type /segments/3/rule",
                ])
            #expect(try site.count("segments") == 1)
            for (body, code, pointer) in [
                (["segments": [definition("A", ["all": []]), definition("A", ["all": []])]], "repeated", "/segments/1/name"),
                (definition(" ", ["all": []]), "empty", "/name"), (["name": "A"], "required", "/rule"), ([:], "required", "/name"),
                (["name": "A", "segments": [definition("B", ["all": []])]], "one_of_these", "/name"),
                (definition("Archived", ["any": []]), "segment_archived", "/name"), (["segments": []], "too_few", "/segments"),
            ] as [(JSONValue, String, String)] {
                let fault = try site.send("POST", "/api/segments/import", json: body).json["errors"]?.array?.first
                #expect(fault?["code"] == .string(code) && fault?["pointer"] == .string(pointer), "\(body.text): \(fault?.text ?? "")")
            }
        }
    }

    @Test func `a circle is refused by name, within a file and through what is there`() throws {
        try withAudience { site throws in
            let file: JSONValue = [
                "segments": [
                    definition("A", ["segment": "B"]), definition("B", ["not": ["segment": "C"]]), definition("C", ["segment": "A"]),
                ]
            ]
            let within = try site.send("POST", "/api/segments/import", json: file)
            #expect(within.code == "cycle" && within.text.contains("A → B → C → A"))
            #expect(within.json["errors"]?.array?.first?["pointer"] == "/segments/0/rule/match/segment")
            #expect(try site.send("POST", "/api/segments/import", json: definition("A", ["segment": "A"])).code == "cycle")
            let a = try site.segment("A", ["all": []])
            _ = try site.segment("B", ["segment": idOf(a)])
            let through = try site.send("POST", "/api/segments/import?dry_run=true", json: definition("A", ["segment": "B"]))
            #expect(through.code == "cycle" && through.json["errors"]?.array?.first?["pointer"] == "/rule/match/segment")
            // Turned round it is no circle: B reads nothing any more.
            let turned: JSONValue = ["segments": [definition("A", ["segment": "B"]), definition("B", ["all": []])]]
            #expect(try site.send("POST", "/api/segments/import", json: turned).status == 200)
        }
    }

    @Test func `only what somebody sees leaves in a file, and only what they may edit is changed by one`() throws {
        try withAudience { site throws in
            let maker = try site.owner.createUser("manager", in: site.workspace)
            let other = try site.owner.createUser("manager", in: site.workspace)
            let secret = try #require(
                try site.send("POST", "/api/segments", json: definition("Secret", ["all": []]), as: maker.token).header("location"))
            let open = try #require(
                try site.send("POST", "/api/segments", json: definition("Open", ["segment": idOf(secret)]), as: maker.token).header(
                    "location"))
            try site.send("PUT", secret + "/shares", json: ["sharing": "restricted"], as: maker.token)
            func get(_ rest: String) throws -> TestAnswer { try site.send("GET", "/api/segments" + rest, as: other.token) }
            #expect(try site.send("GET", secret + "/definition", as: other.token).status == 404)
            let id = idOf(secret).string ?? ""
            #expect(try get("/definitions?ids=\(id)").code == "not_found")
            let refused = try site.send("GET", open + "/definition", as: other.token)
            #expect(refused.code == "no_portable_name" && !refused.text.contains("Secret"))
            #expect(try get("/definitions?ids=\(idOf(open).string ?? "")").code == "no_portable_name")
            _ = try site.send("POST", "/api/segments", json: definition("Third", ["all": []]), as: maker.token)
            _ = try site.send("POST", "/api/segments", json: definition("Reader", ["segment": idOf(open)]), as: maker.token)
            let rest = try get("/definitions")
            #expect(rest.json["segments"]?.array?.map { $0["name"] } == ["Third"] && !rest.text.contains("Secret"))
            #expect(rest.json["left_out"]?.array?.map { $0["name"] } == ["Open", "Reader"])
            #expect(try site.send("POST", "/api/segments/import?dry_run=true", json: rest.json, as: other.token).status == 200)
            #expect(
                try site.send("POST", "/api/segments/import", json: definition("Secret", ["any": []]), as: other.token).code == "name_taken"
            )
            #expect(
                try site.send("POST", "/api/segments/import", json: definition("N", ["segment": "Secret"]), as: other.token).code
                    == "unknown_segment")
            try site.send("PUT", secret + "/shares/\(other.id)", json: ["permission": "use"], as: maker.token)
            #expect(
                try site.send("POST", "/api/segments/import", json: definition("Secret", ["any": []]), as: other.token).code
                    == "segment_not_editable")
            #expect(
                try site.send("POST", "/api/segments/import", json: definition("N", ["segment": "Secret"]), as: other.token).status == 200)
            #expect(try get("/definitions?ids=\(id)").json["segments"]?.array?.map { $0["name"] } == ["Secret"])
            for (query, code) in [("x", "bad_format"), ("", "bad_format"), ("\(id),\(UUID.v7())", "not_found")] {
                #expect(try get("/definitions?ids=\(query)").code == code, "\(query)")
            }
        }
    }

    @Test func `definitions are put in the order in which they read each other`() {
        #expect(DefinitionOrder.sorted([[1, 2], [2], []]).order == [2, 1, 0])
        #expect(DefinitionOrder.sorted([[], [0], [0, 1]]).circle == nil)
        #expect(DefinitionOrder.sorted([[1], [2], [1]]).circle == [1, 2, 1])
        #expect(DefinitionOrder.sorted([[0]]).circle == [0, 0])
    }
}
