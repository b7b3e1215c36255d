// Alerts that tell when a segment's size passes a number, or moves by a share within a day.
internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

enum AlertKind: String, SQLEncodable, CaseIterable {
    /// More, or fewer, members than the threshold.
    case above, below
    /// A size that differs from that of a day before by at least this share of it, up or down.
    case changesBy = "changes_by"

    func check(_ threshold: Double) throws {
        switch self {
        case .above, .below:
            if threshold != threshold.rounded() || !(0...1e12).contains(threshold) {
                throw Fault(pointer: "/threshold", code: "out_of_range", detail: "A number of members, from 0.")
            }
        case .changesBy:
            if threshold <= 0 || threshold > 100 {
                throw Fault(pointer: "/threshold", code: "out_of_range", detail: "A share above 0 and up to 100; 0.2 is a fifth.")
            }
        }
    }
}

struct AlertDraft: BodyDecodable {
    let kind: AlertKind
    let threshold: Double
    static let schema: Schema = .object([
        .required("kind", .string(oneOf: AlertKind.allCases.map(\.rawValue)), "What it watches"),
        .required("threshold", .number, "Members; of `changes_by` a share of the size of a day before, 0.2 being a fifth"),
    ])
    init(_ body: JSONObject) throws {
        kind = AlertKind(rawValue: body.string("kind"))!
        threshold = body["threshold"]?.real ?? 0
        try kind.check(threshold)
    }
}

struct AlertChange: BodyDecodable {
    let threshold: Double
    static let schema: Schema = .object([.required("threshold", .number, "As when it was made")])
    init(_ body: JSONObject) throws { threshold = body["threshold"]?.real ?? 0 }
}

private let mostAlerts = 20

func listAlerts(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let paging = try call.paging(sorts: ["-id"])
    return try call.read { db in
        _ = try db.segment(id, for: .view)
        return try call.page(AlertSQL.page, paging, id, try paging.after(0, from: UUID(high: .max, low: .max)), paging.fetchLimit)
    }
}

func createAlert(_ call: Call) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    let draft = try call.body(AlertDraft.self)
    return try call.transaction { db in
        // Locked, so that two who make the last one do not make two.
        _ = try db.first(SegmentSQL.lock, id)
        _ = try db.segment(id, for: .use)
        if try db.one(AlertSQL.count, id) >= mostAlerts {
            throw Problem.conflict("too_many_alerts", "A segment has at most \(mostAlerts) alerts.")
        }
        let alert = try db.one(AlertSQL.insert, id, draft.kind, draft.threshold, call.actor.user)
        try db.run(AlertSQL.arm, id, alert)
        try call.audit("segment.alert_created", "segment", id.uuid, details: ["alert_id": .string(alert.description)], in: db)
        return .created(try db.one(AlertSQL.read, id, alert), at: "/api/segments/\(id)/alerts/\(alert)")
    }
}

func changeAlert(_ call: Call) throws -> Response {
    let change = try call.body(AlertChange.self)
    return try withAlert(call) { id, alert, stored, db in
        guard let kind = try JSONValue(parsing: stored.item.bytes)["kind"]?.string.flatMap(AlertKind.init(rawValue:)) else {
            throw Problem.internalError
        }
        try kind.check(change.threshold)
        try db.run(AlertSQL.change, id, alert, change.threshold)
        try db.run(AlertSQL.arm, id, alert)
        try call.audit("segment.alert_changed", "segment", id.uuid, details: ["alert_id": .string(alert.description)], in: db)
        return .resource(try db.one(AlertSQL.read, id, alert))
    }
}

func deleteAlert(_ call: Call) throws -> Response {
    try withAlert(call) { id, alert, _, db in
        try db.run(AlertSQL.delete, id, alert)
        try call.audit("segment.alert_deleted", "segment", id.uuid, details: ["alert_id": .string(alert.description)], in: db)
        return .noContent
    }
}

private func withAlert(_ call: Call, _ work: (SegmentID, UUID, Stored, Connection) throws -> Response) throws -> Response {
    let id: SegmentID = try call.pathID("id")
    guard let alert = UUID(call.pathText("alert_id")) else { throw Problem.notFound("alert") }
    return try call.transaction { db in
        _ = try db.segment(id, for: .use)
        guard let stored = try db.first(AlertSQL.read, id, alert) else { throw Problem.notFound("alert") }
        try call.checkIfMatch(stored.version)
        return try work(id, alert, stored, db)
    }
}

func listSegmentNotifications(_ call: Call) throws -> Response {
    let paging = try call.paging(sorts: ["-fired_at"])
    let at = try paging.after(0, from: TimestampText.infinity)
    let id = try paging.after(1, from: UUID(high: .max, low: .max))
    return try call.page(AlertSQL.notifications, paging, at, id, paging.fetchLimit)
}
