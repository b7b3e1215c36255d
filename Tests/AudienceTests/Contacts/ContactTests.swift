import JSON
import TestSupport
import Testing

@Suite struct ContactTests {
    @Test func `a contact is created, read, changed and deleted, and its ETag follows`() throws {
        try withAudience { site throws in
            let made = try site.send("POST", "/api/contacts", json: ["email": "Ada@Example.com", "phone": "(202) 555-0123"])
            #expect(made.status == 201)
            #expect(made.json["email"] == "ada@example.com")
            #expect(made.json["phone"] == "+12025550123")
        }
    }
}
