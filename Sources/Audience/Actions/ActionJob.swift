// An action at work: batch by batch, each in one transaction with what is known of it. A run that takes over from a
// dead worker goes on at the next batch, so every contact is acted on once.
internal import JSON
public import Jobs
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

public let segmentActionJobs: [JobHandler] = [
    JobHandler("act_on_segment") { context in try ActionJob(context).run() },
    JobHandler("undo_segment_action") { context in try UndoJob(context).run() },
]

extension JobContext {
    fileprivate func actionID() throws -> SegmentActionID {
        guard let id = payload["action_id"]?.string.flatMap({ SegmentActionID($0) }) else {
            throw JobFailure("bad_payload", "The job names no action.")
        }
        return id
    }

    fileprivate func action(_ id: SegmentActionID) throws -> StoredAction {
        guard let action = try transaction({ db in try db.first(ActionSQL.read, id) }) else {
            throw JobFailure("not_found", "The action is gone.")
        }
        return action
    }

    /// As `transaction`, tried again when others stood in a circle with us. Nothing of the attempts before is left.
    fileprivate func patiently<T>(_ work: (Connection) throws -> T) throws -> T {
        for _ in 0..<4 {
            do { return try transaction(work) } catch let error as PostgresError where error.sqlState == .deadlockDetected {}
        }
        return try transaction(work)
    }
}

private struct ActionJob {
    private let context: JobContext
    private let id: SegmentActionID
    private static let batchSize = 2000

    init(_ context: JobContext) throws {
        self.context = context
        id = try context.actionID()
    }

    func run() throws -> JSONValue {
        var action = try context.action(id)
        if action.isUndone { throw JobFailure("action_undone", "What it had done was taken back.") }
        if action.kind == .message { return try draftCampaign(action) }
        if !action.isFixed {
            try bringUpToDate(action.segment)
            try fixAudience(action)
            action = try context.action(id)
        }
        if action.kind == .export { return try ExportJob(context, id, action).run(tell: tell) }
        do {
            while try step(action) { try tell() }
        } catch let error as PostgresError where error.sqlState == .foreignKeyViolation {
            throw JobFailure("not_found", "A member of the workspace or a list that it names was removed meanwhile.")
        }
        let counts = try context.action(id).counts
        try context.refreshStatistics(of: action.kind == .list ? ["list_members"] : ["contacts"], afterWriting: counts.changed)
        return .object(counts.json)
    }

    /// A membership that is another rule's, or nobody's yet, is calculated first.
    private func bringUpToDate(_ segment: SegmentID) throws {
        let state = try context.transaction { db in try db.first(ActionSQL.segmentState, segment) }
        guard let state else { throw JobFailure("not_found", "The segment is gone.") }
        guard state != "ready" else { return }
        var calculation = SegmentCalculation(isRefresh: false) { work in try context.transaction(work) }
        guard try calculation.calculate(segment) != nil else { throw JobFailure("not_found", "The segment is gone.") }
    }

    private func fixAudience(_ action: StoredAction) throws {
        try context.transaction { db in
            try db.run(ActionSQL.fixAudience, id, action.segment, Self.batchSize)
            try db.run(ActionSQL.fixed, id)
            guard action.kind == .field, let field = action.parameters["field"]?.string, field.hasPrefix("attributes."),
                let types = action.parameters["value"].flatMap(FieldTypes.init(of:))
            else { return }
            _ = try db.one(ContactSQL.noteFields, [field], [types.rawValue])
        }
    }

    /// - Returns: false when no batch was left.
    private func step(_ action: StoredAction) throws -> Bool {
        if context.isStopping { throw JobSnooze(seconds: 0) }
        return try context.patiently { db in
            guard let batch = try db.first(ActionSQL.nextBatch, id) else { return false }
            let found = try db.one(ActionSQL.lockContacts, id, batch.seq)
            let outcome = try act(action, batch.seq, db)
            try db.run(ActionSQL.advance, id, batch.size, outcome.changed, outcome.refused, found)
            crashPoint("before_action_commit")
            return true
        }
    }

    private func act(_ action: StoredAction, _ seq: Int, _ db: Connection) throws -> ActOutcome {
        let parameters = action.parameters.object ?? [:]
        switch action.kind {
        case .assign:
            let users = parameters.strings("user_ids").compactMap { UserID($0) }
            return try db.one(ActSQL.assign, id, seq, users, parameters.bool("only_unassigned"))
        case .tag: return try db.one(ActSQL.tag, id, seq, parameters.strings("add"), parameters.strings("remove"))
        case .list: return try db.one(ActSQL.addToList, id, seq, parameters.id("list_id", as: ListID.self))
        case .field:
            let field = FieldValueToSet(parameters)
            if let column = field.column { return try db.one(ActSQL.column, id, seq, column, field.text) }
            return try db.one(ActSQL.attribute, id, seq, field.path, field.value)
        case .message, .export: preconditionFailure("has no batches of changes")
        }
    }

    /// Tells the queue, between two batches: a crash here leaves the next run its place.
    private func tell() throws {
        crashPoint("after_action_batch")
        let counts = try context.action(id).counts
        try context.progress(min(0.99, counts.fraction), partial: .object(counts.json))
    }

    private func draftCampaign(_ action: StoredAction) throws -> JSONValue {
        if let result = action.result { return result }
        let parameters = action.parameters.object ?? [:]
        return try context.transaction { db in
            guard try db.first(ActionSQL.segmentState, action.segment) != nil else {
                throw JobFailure("not_found", "The segment is gone.")
            }
            let campaign = try db.one(
                ActionSQL.draftCampaign, parameters.string("name"), action.segment,
                parameters.optionalID("sender_id", as: SenderID.self), action.createdBy)
            let result: JSONValue = ["campaign_id": .string(campaign.description), "url": .string("/api/campaigns/\(campaign)")]
            try db.run(ActionSQL.setResult, id, result)
            return result
        }
    }
}

/// `field` and `value` of an action's parameters, as the statements take them.
private struct FieldValueToSet {
    /// `nil` for an attribute.
    let column: String?
    let path: [String]
    /// `nil`: made missing.
    let value: JSONValue?
    var text: String? { value?.string }

    init(_ parameters: JSONObject) {
        let field = parameters.string("field")
        column = SetFieldDraft.columns.contains(field) ? field : nil
        path = SetFieldDraft.path(field)
        value = parameters["value"].flatMap { $0.isNull ? nil : $0 }
    }
}

private struct UndoJob {
    private let context: JobContext
    private let id: SegmentActionID

    init(_ context: JobContext) throws {
        self.context = context
        id = try context.actionID()
    }

    func run() throws -> JSONValue {
        let action = try context.action(id)
        switch action.kind {
        case .message: try discardCampaign(action)
        case .export: try ExportFile.remove(id, from: context.exports)
        case .assign, .tag, .field, .list:
            var done = 0
            while let changed = try step(action) {
                done += changed
                crashPoint("after_undo_batch")
                try context.progress(min(0.99, Double(done) / Double(max(1, action.counts.changed))))
            }
        }
        let counts = try context.transaction { db in try db.one(ActionSQL.undone, id) }
        return ["restored": JSONValue(counts.restored), "kept": JSONValue(counts.kept)]
    }

    /// - Returns: how many contacts of a batch were looked at; `nil` when none was left.
    private func step(_ action: StoredAction) throws -> Int? {
        if context.isStopping { throw JobSnooze(seconds: 0) }
        return try context.patiently { db in
            guard let batch = try db.first(ActionSQL.nextToUndo, id) else { return nil }
            _ = try db.one(ActionSQL.lockContacts, id, batch.seq)
            let restored = try restore(action, batch.seq, db)
            try db.run(ActionSQL.advanceUndo, id, restored, batch.changed - restored)
            return batch.changed
        }
    }

    private func restore(_ action: StoredAction, _ seq: Int, _ db: Connection) throws -> Int {
        let parameters = action.parameters.object ?? [:]
        switch action.kind {
        case .assign: return try db.one(UndoSQL.assign, id, seq)
        case .tag: return try db.one(UndoSQL.tag, id, seq)
        case .list: return try db.one(UndoSQL.list, id, seq, parameters.id("list_id", as: ListID.self))
        case .field:
            let field = FieldValueToSet(parameters)
            if let column = field.column { return try db.one(UndoSQL.column, id, seq, column, field.text) }
            return try db.one(UndoSQL.attribute, id, seq, field.path, field.value)
        case .message, .export: preconditionFailure("has no batches of changes")
        }
    }

    /// A draft that somebody has worked on since stays.
    private func discardCampaign(_ action: StoredAction) throws {
        guard let campaign = action.result?["campaign_id"]?.string.flatMap({ CampaignID($0) }) else { return }
        try context.transaction { db in
            guard try db.first(ActionSQL.undoIsOpen, id) != nil else { return }
            let gone = try db.one(ActionSQL.discardDraft, campaign)
            try db.run(ActionSQL.discarded, id, gone ? 1 : 0)
        }
    }
}
