// Every case of Schema: what passes, and the faults of what does not, with their places.
import JSON
import Testing

private func faults(_ schema: Schema, _ value: JSONValue) -> [String] { schema.validate(value).map { "\($0.pointer) \($0.code)" } }

@Suite struct SchemaTests {
    @Test func `strings are counted in characters of Unicode`() {
        let schema = Schema.string(min: 2, max: 4)
        #expect(faults(schema, "ab") == [] && faults(schema, "a€😀é") == [])
        #expect(faults(schema, "a") == [" too_short"] && faults(schema, "abcde") == [" too_long"])
        // Four people in one family are seven characters.
        #expect(faults(schema, "👨‍👩‍👧‍👦") == [" too_long"])
        #expect(faults(.string(min: 1), "") == [" empty"])
        #expect(faults(.string(), "a\0") == [" bad_character"])
        #expect(faults(.string(), 1) == [" wrong_type"] && faults(.string(), .null) == [" wrong_type"])
    }

    @Test func `choices are compared exactly`() {
        let schema = Schema.string(oneOf: ["sms", "K"])
        #expect(faults(schema, "sms") == [] && faults(schema, "K") == [])
        for wrong in ["SMS", "", "sms ", "\u{212A}"] { #expect(faults(schema, .string(wrong)) == [" not_one_of"], "\(wrong)") }
    }

    @Test(arguments: [
        ("uuid", "018f0000-0000-7000-8000-000000000000", "018f0000-0000-7000-8000-00000000000"),
        ("uuid", "018F0000-0000-7000-8000-00000000000A", "018f00000000700080000000000000000000"),
        ("date-time", "2026-11-21T03:30:00Z", "2026-11-21T03:30:00"), ("date-time", "2026-11-21T03:30:00.5+01:00", "2026-02-30T00:00:00Z"),
        ("date", "2024-02-29", "2026-02-29"), ("email", "a@example.com", "a@"), ("e164", "+12025550123", "12025550123"),
        ("uri", "https://example.com", "javascript:alert(1)"),
    ])
    func `formats are checked`(format: String, right: String, wrong: String) {
        #expect(faults(.string(format: format), .string(right)) == [])
        #expect(faults(.string(format: format), .string(wrong)) == [" bad_format"])
        #expect(faults(.string(format: format), "") == [" bad_format"])
    }

    @Test func `numbers, whole numbers, booleans`() {
        #expect(faults(.integer(-1...3), -1) == [] && faults(.integer(-1...3), 3) == [])
        #expect(faults(.integer(-1...3), 4) == [" out_of_range"] && faults(.integer(-1...3), -2) == [" out_of_range"])
        #expect(faults(.integer(.min ... .max), .integer(.max)) == [])
        #expect(faults(.integer(0...3), 1.0) == [" wrong_type"] && faults(.integer(0...3), "1") == [" wrong_type"])
        #expect(faults(.number, 1) == [] && faults(.number, 1.5) == [] && faults(.number, "1") == [" wrong_type"])
        #expect(faults(.boolean, true) == [] && faults(.boolean, 1) == [" wrong_type"] && faults(.boolean, .null) == [" wrong_type"])
    }

    @Test func `arrays name the item`() {
        let schema = Schema.array(.integer(0...9), min: 1, max: 3)
        #expect(faults(schema, [1, 2, 3]) == [])
        #expect(faults(schema, [1, "2", 30]) == ["/1 wrong_type", "/2 out_of_range"])
        #expect(
            faults(schema, []) == [" too_few"] && faults(schema, [1, 2, 3, 4]) == [" too_many"] && faults(schema, [:]) == [" wrong_type"])
    }

    @Test func `objects name what is missing, unknown and wrong, all at once`() {
        let schema = Schema.object([
            .required("name", .string(), ""), .optional("size", .integer(0...9), ""),
            .required("in/side", .object([.required("a~b", .boolean, "")]), ""),
        ])
        #expect(faults(schema, ["name": "a", "in/side": ["a~b": true]]) == [])
        #expect(
            Set(faults(schema, ["size": 10, "in/side": ["a~b": 1, "ä": 2], "colour": .null])) == [
                "/name required", "/size out_of_range", "/in~1side/a~0b wrong_type", "/in~1side/ä unknown_member", "/colour unknown_member",
            ])
        #expect(faults(schema, []) == [" wrong_type"])
        // A null is a value: it is not as if the member were absent.
        #expect(faults(schema, ["name": "a", "size": .null, "in/side": ["a~b": true]]) == ["/size wrong_type"])
    }

    @Test func `maps take any key`() {
        let schema = Schema.map(.number, max: 2)
        #expect(faults(schema, [:]) == [] && faults(schema, ["": 1, "ü": 2]) == [])
        #expect(faults(schema, ["a/b": "1"]) == ["/a~1b wrong_type"])
        #expect(faults(schema, ["a": 1, "b": 2, "c": 3]) == [" too_many"] && faults(schema, [1]) == [" wrong_type"])
    }

    @Test func `anything, null or something, and one of several`() {
        #expect([.null, 1, 1.5, "", [], [:], true].allSatisfy { faults(.any, $0).isEmpty })
        #expect(
            faults(.nullable(.boolean), .null) == [] && faults(.nullable(.boolean), true) == []
                && faults(.nullable(.boolean), 1) == [" wrong_type"])
        let schema = Schema.oneOf([.integer(0...9), .object([.required("a", .integer(0...9), ""), .required("b", .boolean, "")])])
        #expect(faults(schema, 1) == [] && faults(schema, ["a": 1, "b": true]) == [])
        // The alternative that fits best explains best.
        #expect(faults(schema, ["a": 1, "b": 1]) == ["/b wrong_type"])
        #expect(faults(.described(.integer(0...9), "A digit", example: 7), 10) == [" out_of_range"])
    }

    @Test func `a fault says what was expected, and does not repeat what came`() {
        let all: [(Schema, JSONValue)] = [
            (.string(max: 3), "secret"), (.string(oneOf: ["a"]), "secret"), (.string(format: "email"), "secret"),
            (.integer(0...1), "secret"),
            (.nullable(.number), "secret"), (.array(.any, max: 1), "secret"), (.map(.any, max: 1), "secret"),
            (.oneOf([.number, .boolean]), "secret"),
        ]
        for (schema, value) in all {
            let faults = schema.validate(value, at: "/here")
            #expect(
                faults.count == 1 && faults[0].pointer == "/here" && !faults[0].detail.contains("secret") && !faults[0].detail.isEmpty,
                "\(faults)")
        }
        #expect(Schema.oneOf([.number, .nullable(.boolean)]).validate("x").first?.detail.isEmpty == false)
    }

    @Test func `the same description documents`() {
        let schema = Schema.object([
            .required("name", .string(min: 1, max: 5, format: "uuid"), "Its name"),
            .optional("kind", .string(oneOf: ["a", "b"]), "Its kind"),
            .optional("size", .nullable(.integer(0...Int.max)), "Its size"),
            .optional("tags", .array(.string(), min: 1, max: 3), "Its tags"),
            .optional("more", .map(.oneOf([.number, .boolean]), max: 9), "More"),
            .optional("free", .described(.any, "Free", example: 7), "Anything"),
        ]).openAPI
        #expect(schema["required"] == ["name"] && schema["additionalProperties"] == false)
        let expected: [(String, JSONValue)] = [
            ("name", ["type": "string", "minLength": 1, "maxLength": 5, "format": "uuid", "description": "Its name"]),
            ("kind", ["type": "string", "maxLength": 1000, "enum": ["a", "b"], "description": "Its kind"]),
            ("size", ["anyOf": [["type": "integer", "minimum": 0], ["type": "null"]], "description": "Its size"]),
            (
                "tags",
                ["type": "array", "items": ["type": "string", "maxLength": 1000], "minItems": 1, "maxItems": 3, "description": "Its tags"]
            ),
            (
                "more",
                [
                    "type": "object", "additionalProperties": ["anyOf": [["type": "number"], ["type": "boolean"]]], "maxProperties": 9,
                    "description": "More",
                ]
            ),
            ("free", ["description": "Free", "examples": [7]]),
        ]
        for (name, value) in expected { #expect(schema["properties"]?[name] == value, "\(name)") }
    }
}
