import Testing

@testable import Web

@Suite struct RouterTests {
    private let router = Router([
        .get("/api/segments", { _ in .noContent }, needs: .readAudience, "list"),
        .post("/api/segments", { _ in .noContent }, needs: .writeAudience, "create"),
        .get("/api/segments/{id}", { _ in .noContent }, needs: .readAudience, "read"),
        .post("/api/segments/preview", { _ in .noContent }, needs: .readAudience, "preview"),
        .get("/api/segments/{id}/explain/{contact_id}", { _ in .noContent }, needs: .readAudience, "explain"),
    ])

    private func summary(_ method: String, _ path: String) -> String? {
        if case .found(let route, _) = router.match(method, path) { route.summary } else { nil }
    }

    @Test func `a literal part wins over a parameter`() {
        #expect(summary("POST", "/api/segments/preview") == "preview")
        #expect(summary("GET", "/api/segments/0190f5c2") == "read")
    }

    @Test func `parameters are handed over by name, in order`() {
        guard case .found(_, let parameters) = router.match("GET", "/api/segments/a/explain/b") else {
            Issue.record("no match")
            return
        }
        #expect(parameters.map(\.name) == ["id", "contact_id"])
        #expect(parameters.map(\.value) == ["a", "b"])
    }

    @Test func `a known path with another method names the methods it takes`() {
        guard case .wrongMethod(let allowed) = router.match("DELETE", "/api/segments") else {
            Issue.record("expected wrongMethod")
            return
        }
        #expect(allowed == ["GET", "POST"])
    }

    @Test func `an unknown path matches nothing, and neither does a prefix`() {
        for path in ["/", "/api", "/api/segment", "/api/segments/a/b", "/api/segments/a/explain"] {
            guard case .none = router.match("GET", path) else {
                Issue.record("\(path) matched")
                continue
            }
        }
    }

    @Test func `HEAD is served by GET`() {
        #expect(summary("HEAD", "/api/segments") == "list")
    }
}

@Suite struct FormTests {
    @Test(arguments: [
        ("a=1&b=2", [["a", "1"], ["b", "2"]]),
        ("a=%41%2Bb+c", [["a", "A+b c"]]),
        ("a", [["a", ""]]),
        ("a=b=c", [["a", "b=c"]]),
        ("a=%", [["a", "%"]]),
        ("a=%4", [["a", "%4"]]),
        ("a=%zz%41", [["a", "%zzA"]]),
        ("a=%%41", [["a", "%A"]]),
        ("&&a=1&", [["a", "1"]]),
        ("a=1&a=2", [["a", "1"], ["a", "2"]]),
        ("na%20me=%C3%A9", [["na me", "é"]]),
    ])
    func `a form is decoded as the URL standard says`(text: String, pairs: [[String]]) {
        #expect(formPairs(text).map { [$0.name, $0.value] } == pairs)
    }
}

@Suite struct PermissionTests {
    @Test func `a viewer only reads and a client does nothing by role alone`() {
        for permission in Permission.allCases where permission != .anyone && permission != .signedIn {
            #expect(!permission.roles.contains(.client), "\(permission)")
            let reads = permission.scope.hasSuffix(":read") && permission != .readAudit
            #expect(permission.roles.contains(.viewer) == reads, "\(permission)")
        }
    }

    @Test func `only owners and admins reach people, keys, settings, webhooks and the audit log`() {
        for permission in [Permission.manageMembers, .manageKeys, .manageSettings, .readAudit, .manageWebhooks] {
            #expect(Set(permission.roles) == [.owner, .admin])
        }
    }

    @Test func `every permission of a workspace has a scope of its own`() {
        let scopes = Permission.allCases.filter { $0 != .anyone && $0 != .signedIn }.map(\.scope)
        #expect(Set(scopes).count == scopes.count && !scopes.contains(""))
    }
}
