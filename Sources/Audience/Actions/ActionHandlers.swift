internal import JSON
internal import Jobs
internal import PostgreSQL
internal import Vocabulary
internal import Web

func assignMembers(_ call: Call) throws -> Response {
    let draft = try call.body(AssignDraft.self)
    return try start(.assign, call) { db in
        let known = Set(try db.all(ActionSQL.members, draft.users))
        var faults = Faults()
        for (index, user) in draft.users.enumerated() where !known.contains(user) {
            faults.add("/user_ids/\(index)", "not_a_member", "Nobody in this workspace has this id.")
        }
        try faults.check()
        return draft.parameters
    }
}

func tagMembers(_ call: Call) throws -> Response {
    let draft = try call.body(TagDraft.self)
    return try start(.tag, call) { _ in draft.parameters }
}

func setFieldOfMembers(_ call: Call) throws -> Response {
    let draft = try call.body(SetFieldDraft.self)
    return try start(.field, call) { db in
        if draft.field == "timezone", let zone = draft.value.string, try !db.one(ContactSQL.zoneExists, zone) {
            throw Problem.invalid("/value", "bad_format", "Expected an IANA zone such as Europe/Berlin.")
        }
        // What rules could not read would be missing to them, for everybody at once.
        if let type = try db.first(ActionSQL.unreadable, draft.field, draft.value) {
            throw Problem.invalid("/value", "wrong_type", "The field is declared as \(type); rules could not read this.")
        }
        return draft.parameters
    }
}

func listMembersOfSegment(_ call: Call) throws -> Response {
    let draft = try call.body(ToListDraft.self)
    return try start(.list, call) { db in
        guard try db.one(ImportSQL.listExists, draft.list) else {
            throw Problem.invalid("/list_id", "not_found", "There is no such list here.")
        }
        return draft.parameters
    }
}

func draftMessage(_ call: Call) throws -> Response {
    let draft = try call.body(MessageDraft.self)
    return try start(.message, call) { db in
        if let sender = draft.sender, try !db.one(ActionSQL.senderExists, sender) {
            throw Problem.invalid("/sender_id", "not_found", "There is no such sender here.")
        }
        return draft.parameters
    }
}

/// Columns are decided now, so that a field that appears meanwhile does not change the file in the middle.
func exportMembers(_ call: Call) throws -> Response {
    let draft = try call.body(ExportDraft.self)
    return try start(.export, call) { db in
        let attributes = try db.all(ActionSQL.attributeKeys)
        var faults = Faults()
        for (index, column) in draft.columns.enumerated() where !ExportFormat.builtIn.contains(column) && !attributes.contains(column) {
            faults.add("/columns/\(index)", "unknown_field", "There is no field `\(column.prefix(100))`.")
        }
        try faults.check()
        let columns = draft.columns.isEmpty ? ExportFormat.usual + attributes : draft.columns
        return ["format": .string(draft.format.rawValue), "columns": .array(columns.map { .string($0) })]
    }
}

/// Each keeps an audience and writes a whole segment: a workspace works on so many at a time.
private let mostOpenActions = 5

/// Notes the action and queues it. Whom it is about is decided when it starts.
private func start(_ kind: ActionKind, _ call: Call, _ parameters: (Connection) throws -> JSONObject) throws -> Response {
    let segment: SegmentID = try call.pathID("id")
    return try call.transaction { db in
        try db.segment(segment, for: .use).refuseArchived()
        _ = try db.one(ActionSQL.lockStarts)
        if try db.one(ActionSQL.openCount) >= mostOpenActions {
            throw Problem.conflict("too_many_actions", "\(mostOpenActions) actions on segments are under way; wait for one, or cancel it.")
        }
        let action = try db.one(ActionSQL.insert, segment, kind.rawValue, .object(try parameters(db)), call.actor.user)
        let job = try db.enqueue("act_on_segment", payload: ["action_id": .string(action.description)], by: call.actor.user)
        try db.run(ActionSQL.begin, action, job)
        let details: JSONValue = ["action": .string(kind.rawValue), "action_id": .string(action.description)]
        try call.audit("segment.acted_on", "segment", segment.uuid, details: details, in: db)
        let url = "/api/segment-actions/\(action)"
        return .accepted(
            job: job, kind: "act_on_segment",
            ["action": ["id": .string(action.description), "kind": .string(kind.rawValue), "url": .string(url)]])
    }
}

func listActions(_ call: Call) throws -> Response {
    let segment: SegmentID = try call.pathID("id")
    let paging = try call.paging()
    let (at, id) = try paging.newestFirst(SegmentActionID.self)
    return try call.read { db in
        _ = try db.segment(segment, for: .view)
        return try call.page(ActionSQL.page, paging, segment, at, id, paging.fetchLimit)
    }
}

func readAction(_ call: Call) throws -> Response {
    let id: SegmentActionID = try call.pathID("id")
    return try call.read { db in
        try check(id, for: .view, db)
        return .json(try db.one(ActionSQL.json, id))
    }
}

/// Whoever may do this with a segment may do it with what was done to it.
private func check(_ id: SegmentActionID, for wanted: SegmentPermission, _ db: Connection) throws {
    guard let access = try db.first(ActionSQL.access, id), access > 0 else { throw Problem.notFound("segment action") }
    guard access >= wanted.rank else { throw Problem.forbidden("The segment is shared with you to view, not to \(wanted.rawValue).") }
}

func undoAction(_ call: Call) throws -> Response {
    let id: SegmentActionID = try call.pathID("id")
    return try call.transaction { db in
        try check(id, for: .use, db)
        // It deletes a campaign, so it takes what making it took.
        if try db.one(ActionSQL.kind, id) == ActionKind.message.rawValue { try call.require(.writeCampaigns) }
        let action = try db.one(ActionSQL.lock, id)
        if action.isOpen { throw Problem.conflict("segment_action_running", "It has not ended; cancel its job first.") }
        if action.isUndone { throw Problem.conflict("already_undone", "It was undone already.") }
        if action.isTooOld { throw Problem.conflict("too_late_to_undo", "What it changed was kept for 7 days.") }
        // A second request while the first is at it gets the same job.
        let job = try db.enqueue(
            "undo_segment_action", payload: ["action_id": .string(id.description)], key: id.description, by: call.actor.user)
        try db.run(ActionSQL.beginUndo, id, job)
        try call.audit("segment.action_undone", "segment_action", id.uuid, in: db)
        return .accepted(job: job, kind: "undo_segment_action", ["action": ["id": .string(id.description)]])
    }
}

/// Says who may; nginx then sends the file, with ranges if they are asked for.
func downloadExport(_ call: Call) throws -> Response {
    let id: SegmentActionID = try call.pathID("id")
    let found = try call.read { db in
        try check(id, for: .view, db)
        return try db.first(ActionSQL.export, id)
    }
    guard let export = found else { throw Problem.notFound("export") }
    guard let until = export.until else {
        throw Problem.conflict("export_not_ready", "The file is not finished; its job says how far it is, or why it ended.")
    }
    guard call.now < until else { throw Problem.notFound("export") }
    return .handedOver(
        "/exports/\(ExportFile.name(id, export.format))", contentType: export.format.contentType,
        fileName: "segment-\(id).\(export.format.rawValue)")
}
