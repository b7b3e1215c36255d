// From JSON to a rule: all faults at once, each with its pointer.
public import JSON
public import Vocabulary

/// What a parser must know of the workspace: of all that the rule mentions, what exists.
public struct RuleContext: Sendable {
    /// Types of attributes by key: `attributes.city`.
    public var attributeTypes: [String: FieldType] = [:]
    public var segments: Set<SegmentID> = []
    public var lists: Set<ListID> = []
    public var campaigns: Set<CampaignID> = []
    public var zones: Set<String> = []
    /// Models by field: `scores.likely_to_buy`.
    public var scores: [String: ScoreModelID] = [:]
    /// Read again from where it was saved: what only keeps people from writing what finds nobody does not apply, so that a
    /// rule goes on meaning what it meant.
    public var isStored = false
    public init() {}

    /// Fields that every contact has.
    public static let builtIn: [String: FieldType] = [
        "external_id": .text, "email": .email, "phone": .phone, "name": .text, "first_name": .text, "last_name": .text,
        "status": .text, "timezone": .text, "country": .text, "assigned_to": .text, "tags": .tags, "created_at": .time, "updated_at": .time,
        "last_contacted_at": .time,
    ]

    /// Fields of `contact_rfm` and their columns.
    static let rfm: [String: (column: String, type: FieldType)] = [
        "rfm.recency": ("recency", .number), "rfm.frequency": ("frequency", .number), "rfm.monetary": ("monetary", .number),
        "rfm.group": ("rfm_group", .text),
    ]
}

public struct RuleParser {
    let context: RuleContext
    var faults = Faults()
    var dependencies = Dependencies()
    var nodes = 0
    /// Inside `where`, fields are an event's properties.
    var isInsideEvent = false

    /// Regular expressions and where they stand.
    var patterns: [(text: String, pointer: String)] = []

    private init(context: RuleContext) { self.context = context }

    /// - Parameters:
    ///   - pointer: where the rule stands in the body.
    ///   - isPattern: whether a text is a regular expression.
    /// - Throws: `Faults`, all of them; and what `isPattern` throws.
    public static func parse(
        _ json: JSONValue, context: RuleContext, at pointer: String = "/rule",
        isPattern: (String) throws -> Bool = { _ in true }
    ) throws -> Rule {
        var parser = RuleParser(context: context)
        let rule = parser.rule(json, pointer)
        for pattern in parser.patterns where try !isPattern(pattern.text) {
            parser.faults.add(pattern.pointer, "bad_pattern", "\(quoted(pattern.text)) is no regular expression.")
        }
        try parser.faults.check()
        return rule
    }

    private mutating func rule(_ json: JSONValue, _ pointer: String) -> Rule {
        let size = json.text.utf8.count
        guard size <= RuleLimits.bytes else {
            faults.add(pointer, "rule_too_large", "A rule has at most \(RuleLimits.bytes) bytes; this has \(size).")
            return .nothing
        }
        guard let object = json.object else {
            faults.add(pointer, "wrong_type", "A rule is an object with `match`, or with `conditions`.")
            return .nothing
        }
        if let version = object["version"], version.integer != 1 {
            faults.add(pointer + "/version", "not_one_of", "The version is 1.")
        }
        var zone = RuleZone.workspace
        switch object["timezone"].map({ $0.string ?? "" }) {
        case nil, "workspace"?: break
        case "contact"?:
            zone = .contact
            dependencies.fields.insert("timezone")
        case let name? where context.zones.contains(name): zone = .named(name)
        default: faults.add(pointer + "/timezone", "bad_timezone", "Expected workspace, contact or an IANA zone.")
        }
        let (match, node) = object["conditions"] == nil ? tree(object, pointer) : flat(object, pointer)
        if nodes > RuleLimits.nodes {
            faults.add(pointer, "too_many_nodes", "A rule has at most \(RuleLimits.nodes) nodes; this has \(nodes).")
        }
        let stored: JSONObject = ["version": 1, "timezone": object["timezone"] ?? "workspace", "match": canonical(match)]
        // It is read again from what is stored, which NFC may have made longer.
        let storedSize = JSONValue.object(stored).text.utf8.count
        if storedSize > RuleLimits.bytes {
            faults.add(pointer, "rule_too_large", "A rule has at most \(RuleLimits.bytes) bytes; as it is stored this has \(storedSize).")
        }
        return Rule(json: .object(stored), zone: zone, match: node, dependencies: dependencies)
    }

    private mutating func tree(_ object: JSONObject, _ pointer: String) -> (JSONValue, Node) {
        onlyMembers(object, ["version", "timezone", "match"], pointer)
        guard let match = object["match"] else {
            faults.add(pointer + "/match", "required", "`match` is required.")
            return (.null, .all([]))
        }
        return (match, node(match, pointer + "/match", 1))
    }

    /// `{"conditions":[{"field","operator","value"}…],"match":"all"|"any"}` as a tree. Faults are told where they stand.
    private mutating func flat(_ object: JSONObject, _ pointer: String) -> (JSONValue, Node) {
        onlyMembers(object, ["version", "timezone", "conditions", "match"], pointer)
        // The tree has one node above them.
        nodes += 1
        let match = object["match"] ?? "all"
        if match != "all", match != "any" { faults.add(pointer + "/match", "not_one_of", "Expected all or any.") }
        guard let conditions = object["conditions"]?.array else {
            faults.add(pointer + "/conditions", "wrong_type", "Expected an array of conditions.")
            return (.null, .all([]))
        }
        var leaves: [JSONValue] = []
        var tests: [Node] = []
        for (index, condition) in conditions.enumerated() {
            nodes += 1
            guard nodes <= RuleLimits.nodes else { continue }
            guard var leaf = condition.object else {
                faults.add("\(pointer)/conditions/\(index)", "wrong_type", "A condition has field, operator and value.")
                continue
            }
            tests.append(fieldLeaf(leaf, "\(pointer)/conditions/\(index)", "operator"))
            leaf["op"] = leaf.removeValue(forKey: "operator")
            leaves.append(.object(leaf))
        }
        return match == "any" ? (["any": .array(leaves)], .any(tests)) : (["all": .array(leaves)], .all(tests))
    }

    // MARK: Nodes

    mutating func node(_ json: JSONValue, _ pointer: String, _ depth: Int) -> Node {
        nodes += 1
        // The count goes on, so that the fault can tell it; nothing else is looked at any more.
        if nodes > RuleLimits.nodes { return skipped(json) }
        guard depth <= RuleLimits.depth else {
            faults.add(pointer, "too_deep", "A rule is at most \(RuleLimits.depth) nodes deep.")
            return .all([])
        }
        guard let object = json.object else {
            faults.add(pointer, "wrong_type", "A node is an object.")
            return .all([])
        }
        if object["all"] != nil { return .all(children(object, "all", pointer, depth)) }
        if object["any"] != nil { return .any(children(object, "any", pointer, depth)) }
        if object["none"] != nil { return .none(children(object, "none", pointer, depth)) }
        if let child = object["not"] {
            onlyMembers(object, ["not"], pointer)
            return .not(node(child, pointer + "/not", depth + 1))
        }
        if object["of"] != nil, object["aggregate"] == nil {
            let wanted = whole(object["at_least"], pointer + "/at_least", 0...RuleLimits.nodes)
            return .atLeast(wanted, children(object, "of", pointer, depth, and: ["at_least"]))
        }
        return leaf(object, pointer, depth)
    }

    private mutating func skipped(_ json: JSONValue) -> Node {
        for key in ["all", "any", "none", "of"] { nodes += json[key]?.array?.count ?? 0 }
        return .all([])
    }

    private mutating func children(
        _ object: JSONObject, _ key: String, _ pointer: String, _ depth: Int, and others: [String] = []
    ) -> [Node] {
        onlyMembers(object, [key] + others, pointer)
        guard let list = object[key]?.array else {
            faults.add("\(pointer)/\(key)", "wrong_type", "Expected an array of nodes.")
            return []
        }
        return list.enumerated().map { node($1, "\(pointer)/\(key)/\($0)", depth + 1) }
    }

    private mutating func leaf(_ object: JSONObject, _ pointer: String, _ depth: Int) -> Node {
        if object["field"] != nil { return fieldLeaf(object, pointer, "op") }
        let outsideOnly = ["event", "aggregate", "sequence", "segment", "list", "consent", "campaign", "bucket"]
        if isInsideEvent, let key = outsideOnly.first(where: { object[$0] != nil }) {
            faults.add(pointer, "not_here", "`\(key)` cannot stand inside `where`, which reads an event's properties.")
            return .all([])
        }
        if object["sequence"] != nil { return sequenceLeaf(object, pointer, depth) }
        if object["campaign"] != nil { return engagementLeaf(object, pointer) }
        if object["aggregate"] != nil { return aggregateLeaf(object, pointer, depth) }
        if object["event"] != nil { return eventLeaf(object, pointer, depth) }
        if object["segment"] != nil { return segmentLeaf(object, pointer) }
        if let value = object["list"] {
            onlyMembers(object, ["list"], pointer)
            guard let id = value.string.flatMap({ ListID($0) }), context.lists.contains(id) else {
                faults.add(pointer + "/list", "unknown_list", "There is no such list.")
                return .all([])
            }
            dependencies.lists.insert(id)
            return .list(id)
        }
        if let value = object["consent"] {
            onlyMembers(object, ["consent", "state"], pointer)
            let channel = value.string.flatMap { Channel(rawValue: $0) }
            let state = object["state"]?.string ?? ""
            if channel == nil { faults.add(pointer + "/consent", "not_one_of", "Expected sms or email.") }
            if !["opted_in", "opted_out", "unknown"].contains(state) {
                faults.add(pointer + "/state", "not_one_of", "Expected opted_in, opted_out or unknown.")
            }
            if let channel { dependencies.consents.insert(channel) }
            return .consent(channel ?? .sms, state)
        }
        if let value = object["bucket"] {
            onlyMembers(object, ["bucket"], pointer)
            let inner = value.object ?? [:]
            onlyMembers(inner, ["salt", "from", "to"], pointer + "/bucket")
            let salt = text(inner["salt"], pointer + "/bucket/salt", 100)
            let from = whole(inner["from"], pointer + "/bucket/from", 0...9999)
            let to = whole(inner["to"], pointer + "/bucket/to", 0...9999)
            if from > to { faults.add(pointer + "/bucket/to", "reversed_range", "The lower number comes first.") }
            return .bucket(salt: salt, from: from, to: to)
        }
        let known = "all, any, none, not, at_least, field, event, aggregate, sequence, segment, list, consent, campaign, bucket"
        faults.add(pointer, "unknown_node", "Expected one of \(known).")
        return .all([])
    }

    // MARK: Small things

    mutating func onlyMembers(_ object: JSONObject, _ known: [String], _ pointer: String) {
        for key in object.keys where !known.contains(key) {
            faults.add(
                jsonPointer(pointer, key), "unknown_member",
                "There is no member `\(key.prefix(60))` here; known: \(known.joined(separator: ", ")).")
        }
    }

    mutating func text(_ json: JSONValue?, _ pointer: String, _ most: Int) -> String {
        guard let json else {
            faults.add(pointer, "required", "This is required.")
            return ""
        }
        guard let text = json.string.map(normalizedNFC), !text.isEmpty else {
            faults.add(pointer, "wrong_type", "Expected text that is not empty.")
            return ""
        }
        if text.unicodeScalars.count > most { faults.add(pointer, "too_long", "At most \(most) characters.") }
        if text.unicodeScalars.contains("\0") { faults.add(pointer, "bad_character", "The character U+0000 cannot be stored.") }
        return text
    }

    mutating func whole(_ json: JSONValue?, _ pointer: String, _ range: ClosedRange<Int>) -> Int {
        guard let number = json?.integer, range.contains(number) else {
            faults.add(
                pointer, json == nil ? "required" : "out_of_range",
                "Expected a whole number from \(range.lowerBound) to \(range.upperBound).")
            return range.lowerBound
        }
        return number
    }

    mutating func countCondition(_ json: JSONValue, _ pointer: String) -> CountCondition {
        let range = 0...1_000_000_000
        guard let object = json.object, object.count == 1, let (key, value) = object.members.first.map({ ($0.key, $0.value) }) else {
            faults.add(pointer, "wrong_type", "Expected one of is, at_least, at_most, more_than, less_than, between.")
            return .compares(">=", 1)
        }
        let symbols = ["is": "=", "at_least": ">=", "at_most": "<=", "more_than": ">", "less_than": "<"]
        if let symbol = symbols[key] { return .compares(symbol, whole(value, "\(pointer)/\(key)", range)) }
        guard key == "between", let pair = value.array, pair.count == 2 else {
            faults.add(
                jsonPointer(pointer, key), "not_one_of", "Expected one of is, at_least, at_most, more_than, less_than, between [a, b].")
            return .compares(">=", 1)
        }
        let (low, high) = (whole(pair[0], pointer + "/between/0", range), whole(pair[1], pointer + "/between/1", range))
        if low > high { faults.add(pointer + "/between", "reversed_range", "The lower number comes first.") }
        return .between(low, high)
    }
}

extension Rule {
    fileprivate static let nothing = Rule(json: .null, zone: .workspace, match: .all([]), dependencies: Dependencies())
}

/// Members in one order and texts in NFC, so that equal rules are equal texts and differences are small.
private func canonical(_ json: JSONValue) -> JSONValue {
    switch json {
    case .string(let text): return .string(normalizedNFC(text))
    case .array(let elements): return .array(elements.map(canonical))
    case .object(let object):
        var ordered = JSONObject()
        for key in memberOrder { if let value = object[key] { ordered[key] = canonical(value) } }
        for (key, value) in object where ordered[key] == nil { ordered[key] = canonical(value) }
        return .object(ordered)
    default: return json
    }
}

private let memberOrder = [
    "aggregate", "at_least", "of", "field", "event", "sequence", "segment", "consent", "campaign", "did", "count", "op", "value", "was",
    "changed", "case", "missing", "state", "after", "within", "where", "which", "calendar", "unit", "start_of", "plus", "salt", "from",
    "to",
]
