// The numbers of one or all campaigns, as rollups and responses count them.
internal import JSON
internal import PostgreSQL

/// One line of a count: so many messages or people, for one reason.
struct Count: RowDecodable, Sendable {
    /// frozen, skipped, waiting, sent, delivered, undelivered, failed, unknown; or replied, clicked, opted_out, complained, converted.
    let measure: String
    /// Why skipped, or the provider's code of a failure; empty for the others.
    let reason: String
    let count: Int
    let parts: Int

    init(_ measure: String, _ reason: String = "", _ count: Int, parts: Int = 0) {
        self.measure = measure
        self.reason = reason
        self.count = count
        self.parts = parts
    }
    init(_ row: borrowing Row) throws(PostgresError) {
        measure = try row["measure"]
        reason = try row["reason"]
        count = try row["messages"]
        parts = try row["parts"]
    }
}

/// Counts over some time. Messages count where it happened: sent when sent, delivered when delivered.
struct Figures: Sendable {
    private let counts: [Count]
    init(_ counts: [Count]) { self.counts = counts }

    func total(_ measure: String) -> Int { counts.reduce(0) { $0 + ($1.measure == measure ? $1.count : 0) } }

    /// As every report shows them. `recipients` is the whole audience: what was skipped or still waits is part of it.
    var body: JSONObject {
        var body: JSONObject = ["recipients": JSONValue(total("frozen")), "skipped": skipped]
        for measure in [
            "waiting", "sent", "delivered", "undelivered", "failed", "unknown", "replied", "clicked", "opted_out", "complained",
            "converted",
        ] {
            body[measure] = JSONValue(total(measure))
        }
        body["parts"] = JSONValue(counts.reduce(0) { $0 + ($1.measure == "sent" ? $1.parts : 0) })
        body["rates"] = rates
        body["failures"] = failures
        return body
    }

    private var skipped: JSONValue {
        var reasons = JSONObject()
        for count in counts where count.measure == "skipped" { reasons[count.reason] = JSONValue(count.count) }
        return .object(reasons)
    }

    /// What the provider said, whether it refused at once or failed on the way; most frequent first. `code` is null where
    /// it gave none.
    private var failures: JSONValue {
        var codes: [String: Int] = [:]
        for count in counts where ["failed", "undelivered"].contains(count.measure) { codes[count.reason, default: 0] += count.count }
        return .array(
            codes.filter { $0.value != 0 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map {
                ["code": Int64($0.key).map { .integer($0) } ?? .null, "count": JSONValue($0.value)]
            })
    }

    /// Fractions of what was handed over. `null` where nothing was: that is not a rate of 0. A period also has what came
    /// of messages that were sent before it, which is no reason for a rate beyond 1.
    private var rates: JSONValue {
        let sent = total("sent")
        func of(_ count: Int, _ whole: Int) -> JSONValue { whole <= 0 ? .null : .real(min(1, Double(count) / Double(whole))) }
        let failed = total("failed") + total("undelivered")
        // A message that was refused was never sent, and still failed. Of a period whose messages were frozen before it,
        // only those are known that ended in it.
        let tried = max(total("frozen") - total("skipped") - total("waiting"), sent, failed)
        return [
            "delivery_rate": of(total("delivered"), sent), "failure_rate": of(failed, tried),
            "reply_rate": of(total("replied"), sent), "click_rate": of(total("clicked"), sent),
            "opt_out_rate": of(total("opted_out"), sent), "complaint_rate": of(total("complained"), sent),
            "conversion_rate": of(total("converted"), sent),
        ]
    }
}
