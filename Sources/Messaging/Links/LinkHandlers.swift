internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

/// Only addresses that were stored when the message was sent are ever led to.
func followLink(_ call: Call) throws -> Response {
    guard let link = try hit(call, "click"), let url = link.url else { throw Problem.notFound("link") }
    guard !link.isExpired else { throw Problem(410, "link_expired", "Gone", "This link was valid for a year, and that is over.") }
    var answer = Response.text("")
    answer.status = 302
    return answer.with("Location", url)
}

/// The picture comes whatever the key is: a broken one would be seen.
func openPixel(_ call: Call) throws -> Response {
    _ = try hit(call, "open")
    return .bytes(pixel, contentType: "image/gif")
}

/// The link that is asked for, with the request taken down.
private func hit(_ call: Call, _ kind: String) throws -> KnownLink? {
    let key = call.pathText("key")
    guard LinkKey.isPossible(key) else { return nil }
    return try call.db.transaction { db in
        guard let link = try db.first(LinkSQL.forKey, key), link.kind == kind else { return nil }
        if link.isExpired { return link }
        let visitor = Visitor(call.request, isOpen: kind == "open")
        _ = try db.one(DeliverySQL.setWorkspace, link.workspace)
        _ = try db.one(LinkSQL.record, key, visitor.agent, visitor.reason?.rawValue)
        return link
    }
}

/// One transparent dot: 43 bytes, GIF89a.
private let pixel: [UInt8] = [
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0x21, 0xF9, 4, 1, 0, 0, 0, 0, 0x2C, 0, 0, 0, 0,
    1,
    0, 1, 0, 0, 2, 2, 0x44, 1, 0, 0x3B,
]

// MARK: What came in

func listLinkHits(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let last = try paging.after(0, from: LinkHitID(UUID(high: .max, low: .max)))
    guard let campaign = call.query("campaign_id").flatMap({ CampaignID($0) }) else {
        return try call.page(LinkSQL.hits, paging, last, paging.fetchLimit)
    }
    return try call.page(LinkSQL.hitsOfCampaign, paging, last, paging.fetchLimit, campaign)
}

func countLinkHit(_ call: Call) throws -> Response { try judge(call, counts: true) }
func discountLinkHit(_ call: Call) throws -> Response { try judge(call, counts: false) }

private func judge(_ call: Call, counts: Bool) throws -> Response {
    let id: LinkHitID = try call.pathID("id")
    return try call.transaction { db in
        guard try db.one(LinkSQL.judge, id, counts) else { throw Problem.notFound("hit") }
        try call.audit(counts ? "link_hit.counted" : "link_hit.discounted", "link_hit", id.uuid, in: db)
        return .json(try db.one(LinkSQL.read, id))
    }
}
