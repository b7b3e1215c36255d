// What one may hand on: never more than one has. The only rules about ranks of roles.
internal import Web

extension Role {
    /// The roles that this one may give, and whose holders it may change: its own and those below.
    var givable: [Role] {
        guard Permission.manageMembers.roles.contains(self) else { return [] }
        return Array(Role.allCases.drop { $0 != self })
    }

    /// The scopes that a key made with this role may have: those of its permissions, and `*` where that is all.
    var scopes: [String] {
        let all = Permission.allCases.filter { !$0.scope.isEmpty }
        let own = all.filter { $0.roles.contains(self) }.map(\.scope)
        return own.count == all.count ? own + ["*"] : own
    }
}

extension Actor {
    /// An API key manages members as an admin would: no key makes owners, or unmakes them.
    var givableRoles: [Role] { (role ?? .admin).givable }
}
