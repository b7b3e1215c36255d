// From rows to facts.
internal import JSON
public import PostgreSQL
public import Vocabulary

extension ContactFacts {
    /// Reads what the rule asks about one contact, in the open transaction and its workspace: in one statement, or in a second
    /// where the rule asks about the past.
    /// - Throws: `FactsError` when there is no such contact, or when it has more than 50,000 events, changes and stays that
    ///   the rule reads, or more than 32 MiB of them.
    public static func load(_ rule: Rule, _ scope: RuleScope, _ contact: ContactID, _ db: Connection) throws -> ContactFacts {
        let request = FactsRequest(rule)
        var rows = try db.all(
            FactsSQL.present, contact, json(request.attributes), json(request.fieldPatterns), request.segments, request.lists,
            request.models, request.salts)
        guard let row = rows.first(where: { $0.kind == "contact" }) else { throw FactsError.noSuchContact }
        if request.readsPast {
            rows += try db.all(
                FactsSQL.past, contact, json(request.properties), json(request.propertyPatterns), request.eventNames,
                request.pastSegments, json(request.history), request.deeds.map(\.rawValue),
                request.readsAnyCampaign ? nil : request.campaigns, FactsLimit.rows, FactsLimit.bytes)
        }
        // The set compiler reads an unknown zone as UTC too: it is a workspace's, and checked when it is set.
        let readingZone = TimeZoneRules(named: scope.zone) ?? .utc
        let zone: TimeZoneRules =
            switch rule.zone {
            case .workspace: readingZone
            case .named(let name): TimeZoneRules(named: name) ?? .utc
            case .contact: row.texts?[timezoneColumn].flatMap { TimeZoneRules(named: $0) } ?? readingZone
            }
        var facts = ContactFacts(contact: contact, zone: zone, readingZone: readingZone)
        for (index, path) in request.properties.enumerated() { facts.properties[path] = index }
        for (index, test) in request.propertyPatterns.enumerated() { facts.propertyPatterns[test] = index }
        for row in rows { try facts.take(row, request) }
        facts.sort()
        return facts
    }

    private static let textColumns = ["external_id", "email", "phone", "name", "first_name", "last_name", "status", "timezone", "country"]
    private static let timezoneColumn = 7

    private mutating func take(_ row: FactRow, _ request: FactsRequest) throws {
        let texts = row.texts ?? []
        switch row.kind {
        case "contact":
            createdAt = row.at!
            contents[.column("created_at")] = .instant(createdAt)
            for (name, text) in zip(Self.textColumns, texts) { contents[.column(name)] = text.map { .text($0) } }
            for (name, text) in zip(["updated_at", "last_contacted_at"], texts.dropFirst(Self.textColumns.count)) {
                contents[.column(name)] = text.flatMap { Instant(rfc3339: $0) }.map { .instant($0) }
            }
        case "tags": contents[.column("tags")] = .texts(texts.compactMap { $0 })
        case "attributes":
            for (path, text) in zip(request.attributes, texts) { contents[.attribute(path)] = text.flatMap { FieldContent(tagged: $0) } }
            for (test, holds) in zip(request.fieldPatterns, row.tests ?? []) { patterns[test] = holds }
        case "member": memberships[SegmentID(row.id!)] = row.at
        case "list": lists.insert(ListID(row.id!))
        case "consent": if let channel = Channel(rawValue: row.name!) { consents[channel] = texts.first ?? nil }
        case "score": contents[.score(ScoreModelID(row.id!))] = texts[0].map { .number($0) }
        case "rfm":
            for (name, text) in zip(["recency", "frequency", "monetary"], texts) { contents[.rfm(name)] = text.map { .number($0) } }
            contents[.rfm("rfm_group")] = texts[3].map { .text($0) }
        case "bucket": buckets[row.name!] = texts[0].flatMap { Int($0) }
        case "event":
            let contents = texts.map { $0.flatMap { FieldContent(tagged: $0) } }
            events[row.name!, default: []].append(
                EventFact(id: EventID(row.id!), at: row.at!, contents: contents, patterns: row.tests ?? []))
        case "stay": stays[SegmentID(row.id!), default: []].append(StayFact(at: row.at!, isEntry: row.name == "entered"))
        case "change":
            let key = request.history[Int(row.name!)! - 1]
            changes[key, default: []].append(
                ChangeFact(
                    at: row.at!, before: texts[0].flatMap { FieldContent(tagged: $0) },
                    after: texts[1].flatMap { FieldContent(tagged: $0) }, isChange: row.tests?.first ?? false))
        case "deed":
            guard let deed = EngagementLeaf.Deed(rawValue: row.name!), let campaign = texts[0] else { return }
            deeds[deed, default: []].append(DeedFact(campaign: campaign, at: row.at))
        default: throw FactsError.tooMuch
        }
    }

    private mutating func sort() {
        for name in events.keys { events[name]?.sort { ($0.at, $0.id) < ($1.at, $1.id) } }
        for id in stays.keys { stays[id]?.sort { $0.at < $1.at } }
        for key in changes.keys { changes[key]?.sort { $0.at < $1.at } }
    }
}

private func json(_ paths: [[String]]) -> JSONValue { .array(paths.map(json)) }
private func json(_ path: [String]) -> JSONValue { .array(path.map { .string($0) }) }
private func json(_ keys: [HistoryKey]) -> JSONValue { .array(keys.map { ["key": .string($0.key), "path": json($0.path)] }) }
private func json(_ tests: [PatternTest]) -> JSONValue {
    .array(
        tests.map { test in
            var object: JSONObject = ["pattern": .string(test.pattern), "sensitive": .bool(test.isCaseSensitive)]
            switch test.source {
            case .column(let name), .rfm(let name): object["column"] = .string(name)
            case .attribute(let keys), .property(let keys): object["path"] = json(keys)
            // A number has no patterns.
            case .score: break
            }
            return .object(object)
        })
}
