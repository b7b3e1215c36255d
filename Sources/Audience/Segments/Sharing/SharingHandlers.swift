// With whom a segment is shared. Its maker, owners and admins decide; everybody who sees it sees with whom.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

struct SharingDraft: BodyDecodable {
    let isRestricted: Bool
    static let schema: Schema = .object([
        .required(
            "sharing", .string(oneOf: ["workspace", "restricted"]),
            "Open to everybody in the workspace, or only to its maker, to owners and admins, and to those it is shared with")
    ])
    init(_ body: JSONObject) throws { isRestricted = body.string("sharing") == "restricted" }
}

struct ShareDraft: BodyDecodable {
    let permission: SegmentPermission
    static let schema: Schema = .object([
        .required(
            "permission", .string(oneOf: SegmentPermission.allCases.map(\.rawValue)),
            "To see it; to use it in rules, campaigns and actions; to change it. Each includes those before it")
    ])
    init(_ body: JSONObject) throws { permission = SegmentPermission(rawValue: body.string("permission"))! }
}

func listShares(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["user_id"])
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        return try call.page(SharingSQL.page, paging, id, try paging.after(0, from: UserID(UUID(high: 0, low: 0))), paging.fetchLimit)
    }
}

func setSharing(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let draft = try call.body(SharingDraft.self)
    let segment = try call.transaction { db in
        try call.checkIfMatch(try managed(id, db).version)
        if try db.run(SharingSQL.setSharing, id, draft.isRestricted) == 1 {
            let details: JSONValue = ["sharing": draft.isRestricted ? "restricted" : "workspace"]
            try call.audit("segment.sharing_changed", "segment", id.uuid, details: details, in: db)
        }
        return try db.one(SegmentSQL.read, id)
    }
    return .json(segment.json).etag(version: segment.version)
}

func shareSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let user: UserID = try call.pathID("user_id")
    let draft = try call.body(ShareDraft.self)
    return try call.transaction { db in
        _ = try managed(id, db)
        try call.refuseIfMatch()
        guard try db.run(SharingSQL.share, id, user, draft.permission, call.actor.user) == 1 else { throw Problem.notFound("member") }
        let details: JSONValue = ["user_id": .string(user.description), "permission": .string(draft.permission.rawValue)]
        try call.audit("segment.shared", "segment", id.uuid, details: details, in: db)
        return .json(try db.one(SharingSQL.read, id, user))
    }
}

func unshareSegment(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let user: UserID = try call.pathID("user_id")
    return try call.transaction { db in
        _ = try managed(id, db)
        try call.refuseIfMatch()
        guard try db.run(SharingSQL.unshare, id, user) == 1 else { throw Problem.notFound("share") }
        try call.audit("segment.unshared", "segment", id.uuid, details: ["user_id": .string(user.description)], in: db)
        return .noContent
    }
}

/// Locks the segment for somebody who decides to whom it is open.
private func managed(_ id: SegmentID, _ db: Connection) throws -> StoredSegment {
    let segment = try db.lockSegment(id, evenArchived: true)
    guard try db.one(SharingSQL.isManaged, id) else {
        throw Problem.forbidden("Whoever made a segment, owners and admins decide with whom it is shared.")
    }
    return segment
}
