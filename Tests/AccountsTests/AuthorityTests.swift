import Testing
import Web

@testable import Accounts

@Suite struct AuthorityTests {
    @Test func `nobody gives more than they have`() {
        #expect(Role.owner.givable == Role.allCases)
        #expect(Role.admin.givable == [.admin, .manager, .member, .viewer, .client])
        for role in [Role.manager, .member, .viewer, .client] { #expect(role.givable == []) }
    }

    @Test func `a role's scopes are those of its permissions`() {
        #expect(Role.owner.scopes.contains("*") && Role.admin.scopes.contains("*"))
        #expect(Role.client.scopes == [])
        #expect(Role.viewer.scopes.contains("audience:read") && !Role.viewer.scopes.contains("audience:write"))
        for role in [Role.manager, .member, .viewer] { #expect(!role.scopes.contains("*") && !role.scopes.contains("keys:write")) }
    }

    @Test func `a key's scopes are checked against its maker's`() throws {
        let draft = try APIKeyDraft(["name": "CRM", "scopes": ["events:write", "audience:read"]])
        try draft.check(within: ["*"])
        try draft.check(within: ["audience:read", "events:write", "keys:write"])
        #expect(throws: Problem.self) { try draft.check(within: ["audience:read"]) }
        let all = try APIKeyDraft(["name": "All", "scopes": ["*"]])
        #expect(throws: Problem.self) { try all.check(within: Role.manager.scopes) }
    }

    @Test func `the table has every route that the documentation promises, each with a summary of its own`() {
        let routes = accountRoutes.map { "\($0.method.rawValue) \($0.path)" }
        #expect(Set(routes).count == routes.count)
        #expect(Set(accountRoutes.map(\.summary)).count == routes.count)
        for route in accountRoutes where route.path.hasPrefix("/api/") { #expect(route.needs != .anyone, "\(route.path)") }
    }
}
