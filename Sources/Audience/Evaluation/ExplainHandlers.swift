internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

struct ExplainRequest: BodyDecodable {
    let rule: JSONValue
    let contact: ContactID
    static let schema: Schema = .object([
        .required("rule", .described(.any, "The rule language, version 1, or its flat form"), "What is explained"),
        .required("contact_id", .string(max: 36, format: "uuid"), "For whom"),
    ])
    init(_ body: JSONObject) throws {
        rule = body["rule"]!
        contact = body.id("contact_id", as: ContactID.self)
    }
}

func explainRule(_ call: Call) throws -> Response {
    let request = try call.body(ExplainRequest.self)
    return try call.read(timeoutSeconds: 15) { db in
        try SegmentReferences.check(request.rule, db)
        return .json(.object(try explanation(request.rule, request.contact, db)))
    }
}

func explainMembership(_ call: Call) throws -> Response {
    let segment: SegmentID = try call.pathID("id")
    let contact: ContactID = try call.pathID("contact_id")
    return try call.read(timeoutSeconds: 15) { db in
        var json = try explanation(db.segment(segment, for: .view).rule, contact, db, isStored: true)
        let standing = try db.one(ExplainSQL.standing, segment, contact)
        let isMember = standing.enteredAt != nil
        json["segment_id"] = .string(segment.description)
        json["is_member"] = .bool(isMember)
        json["entered_at"] = JSONValue(standing.enteredAt?.description)
        json["membership_as_of"] = JSONValue(standing.asOf?.description)
        json["difference"] = json["matches"] == .bool(isMember) ? .null : .string(standing.reasonOfDifference)
        return .json(.object(json))
    }
}

/// The rule for one contact at this moment of the database's clock.
private func explanation(_ json: JSONValue, _ contact: ContactID, _ db: Connection, isStored: Bool = false) throws -> JSONObject {
    let (rule, scope) = try RuleLibrary.read(json, db, isStored: isStored)
    do {
        let facts = try ContactFacts.load(rule, scope, contact, db)
        let evaluator = RuleEvaluator(rule, facts)
        if evaluator.cost.once(rule.match) > EvaluationCost.limit { throw FactsError.tooMuch }
        let hidden = Set(try db.all(ExplainSQL.hidden, Array(rule.dependencies.segments)))
        return try Explanation(evaluator, at: scope.now, hiding: hidden).json()
    } catch FactsError.noSuchContact {
        throw Problem.notFound("contact")
    } catch FactsError.tooMuch {
        throw Problem(
            422, "too_much_history", "Too much history",
            "The rule reads more than \(FactsLimit.rows) events and changes of this contact, or \(FactsLimit.bytes >> 20) MiB of them, "
                + "or asks too much of so many.")
    }
}
