// Who may do what: the only table of roles, API-key scopes and permissions.
internal import PostgreSQL

/// A member's role in one workspace, from most to least trusted.
public enum Role: String, Sendable, CaseIterable {
    case owner, admin, manager, member, viewer, client
}

/// What a route needs from its caller.
public enum Permission: String, Sendable, CaseIterable {
    /// No sign-in: health, sign-in itself, and callbacks that prove themselves by signature.
    case anyone
    /// A signed-in person, in no particular workspace.
    case signedIn
    case readAudience, writeAudience
    case readCampaigns, writeCampaigns
    case readAnalytics, writeEvents
    case readMembers, manageMembers, manageKeys, readSettings, manageSettings, readAudit
    case readJobs, manageJobs
    case manageNotices, manageWebhooks

    /// Roles that hold this permission. A client sees only what is shared with them, so none of these by role.
    public var roles: [Role] {
        switch self {
        case .anyone, .signedIn: Role.allCases
        case .readAudience, .readCampaigns, .readAnalytics, .readMembers, .readSettings, .readJobs:
            [.owner, .admin, .manager, .member, .viewer]
        case .writeEvents: [.owner, .admin, .manager, .member]
        case .writeAudience, .writeCampaigns, .manageJobs, .manageNotices: [.owner, .admin, .manager]
        case .manageMembers, .manageKeys, .manageSettings, .readAudit, .manageWebhooks: [.owner, .admin]
        }
    }

    /// The scope that an API key needs. `*` on a key holds them all.
    public var scope: String {
        switch self {
        case .anyone, .signedIn: ""
        case .readAudience: "audience:read"
        case .writeAudience: "audience:write"
        case .readCampaigns: "campaigns:read"
        case .writeCampaigns: "campaigns:write"
        case .readAnalytics: "analytics:read"
        case .writeEvents: "events:write"
        case .readMembers: "members:read"
        case .manageMembers: "members:write"
        case .manageKeys: "keys:write"
        case .readSettings: "settings:read"
        case .manageSettings: "settings:write"
        case .readAudit: "audit:read"
        case .readJobs: "jobs:read"
        case .manageJobs: "jobs:write"
        case .manageNotices: "notices:write"
        case .manageWebhooks: "webhooks:write"
        }
    }

    /// Every scope that a key can be given.
    public static let scopes: [String] = Permission.allCases.map(\.scope).filter { !$0.isEmpty } + ["*"]

    /// `roles` as PostgreSQL receives them: every request asks with one of these.
    var roleNames: RoleNames { Permission.namesByPermission[self]! }
    private static let namesByPermission: [Permission: RoleNames] = Dictionary(
        uniqueKeysWithValues: Permission.allCases.map { ($0, RoleNames($0.roles)) })
}

/// A `text[]` that is made once.
struct RoleNames: SQLEncodable, Sendable {
    let sqlValue: SQLValue
    init(_ roles: [Role]) { sqlValue = roles.map(\.rawValue).sqlValue }
}
