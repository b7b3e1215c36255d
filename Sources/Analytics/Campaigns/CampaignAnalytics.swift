internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func campaignAnalytics(_ call: Call) throws -> Response {
    let id: CampaignID = try call.pathID("id")
    // An experiment is counted message by message: seconds for a million.
    return try call.read(timeoutSeconds: 15) { db in
        guard try db.one(FigureSQL.exists, id) else { throw Problem.notFound("campaign") }
        var body: JSONObject = ["campaign_id": .string(id.description)]
        body.merge(Figures(try db.all(FigureSQL.campaign, id)).body)
        body.merge(try db.one(FigureSQL.campaignTimeline, id, call.query("group")).object ?? [:])
        body["holdout"] = Lift(arms: try db.all(LiftSQL.arms, id)).body
        body["experiment"] =
            try db.first(ExperimentReportSQL.plan, id).map { plan in
                try ExperimentReport(plan: plan, counts: db.all(ExperimentReportSQL.counts, id)).body
            } ?? .null
        body["previous"] = try previous(id, db)
        return .json(.object(body))
    }
}

/// What the last campaign to the same segment came to; null when this is the first.
private func previous(_ id: CampaignID, _ db: Connection) throws -> JSONValue {
    guard let before = try db.first(FigureSQL.before, id) else { return .null }
    var body: JSONObject = ["campaign_id": .string(before.description)]
    body.merge(Figures(try db.all(FigureSQL.campaign, before)).body)
    return .object(body)
}

extension JSONObject {
    /// Takes over another object's members, in their order.
    mutating func merge(_ other: JSONObject) {
        for (key, value) in other { self[key] = value }
    }
}
