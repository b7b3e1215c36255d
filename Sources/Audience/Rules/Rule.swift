// The segment rule language, version 1, as values. A rule decides, for one contact at one instant, true or false.
public import JSON
public import Vocabulary

/// A rule as it is stored, and as it is understood.
public struct Rule: Sendable {
    /// The tree form, as it is stored and returned.
    public let json: JSONValue
    public let zone: RuleZone
    public let match: Node
    /// What its truth depends on.
    public let dependencies: Dependencies
}

/// Whose calendar days and hours count.
public enum RuleZone: Sendable, Hashable {
    case workspace, contact
    case named(String)
}

public indirect enum Node: Sendable {
    case all([Node])
    case any([Node])
    case none([Node])
    case not(Node)
    case atLeast(Int, [Node])
    case field(FieldLeaf)
    case history(HistoryLeaf)
    case event(EventLeaf)
    case aggregate(AggregateLeaf)
    case sequence(SequenceLeaf)
    case segment(SegmentID)
    case wasInSegment(SegmentID, Window)
    case list(ListID)
    case consent(Channel, String)
    case engagement(EngagementLeaf)
    case bucket(salt: String, from: Int, to: Int)
}

public enum FieldType: String, Sendable, CaseIterable {
    case text, email, phone, number, money, boolean, date, time, tags
}

/// Where a value is.
public enum FieldSource: Sendable, Hashable {
    /// A column of `contacts`.
    case column(String)
    /// Keys into `attributes`.
    case attribute([String])
    /// Keys into an event's properties.
    case property([String])
    /// What a model says of the contact; missing for one that it did not score.
    case score(ScoreModelID)
    /// A column of `contact_rfm`; missing for a contact who is in no group.
    case rfm(String)
}

/// `{"field","op","value"}`.
public struct FieldLeaf: Sendable {
    public let source: FieldSource
    public let type: FieldType
    public let operation: Operation
    public let isCaseSensitive: Bool
    /// What a missing value gives instead of the operator's own answer.
    public let missingMatches: Bool?
}

/// What is asked of a value. Negative operators are `.complement` of their positive twins.
public indirect enum Operation: Sendable {
    case isKnown
    case complement(Operation)
    case textIs([String])
    case textContains([String], all: Bool)
    case textStartsWith(String)
    case textEndsWith(String)
    case textMatches(String)
    case countryIs([String])
    case domainIs([String])
    case numberIs([String])
    case numberCompares(String, String)
    case numberBetween(String, String)
    case isTrue
    case isFalse
    case timeOn(TimeExpression)
    case timeBefore(TimeExpression)
    case timeAfter(TimeExpression)
    case timeWithin(Window)
    case anniversaryWithin(Window)
    /// ISO: 1 is Monday.
    case dayOfWeekIs([Int])
    case hourIs([Int])
    case tagsAny([String])
    case tagsAll([String])
    case tagsExactly([String])
    case tagsEmpty
    case tagsSize(CountCondition)
}

/// A number of things.
public enum CountCondition: Sendable {
    case compares(String, Int)
    case between(Int, Int)

    public func holds(_ count: Int) -> Bool {
        switch self {
        case .compares("=", let n): count == n
        case .compares(">=", let n): count >= n
        case .compares("<=", let n): count <= n
        case .compares(">", let n): count > n
        case .compares(_, let n): count < n
        case .between(let a, let b): (a...max(a, b)).contains(count) && a <= b
        }
    }
}

public struct EventLeaf: Sendable {
    public enum Which: String, Sendable { case any, first, last }
    public let name: String
    public let count: CountCondition
    public let window: Window?
    public let condition: Node?
    public let which: Which
}

public struct AggregateLeaf: Sendable {
    public enum Function: String, Sendable { case sum, avg, min, max, count, distinct }
    public let function: Function
    public let property: [String]
    public let name: String
    public let window: Window?
    public let condition: Node?
    public let operation: Operation
}

/// A length of time: 24 hours for `d`, calendar months for `mo`.
public struct Span: Sendable, Hashable {
    public let amount: Int
    public let unit: String
    /// PostgreSQL's interval text.
    var interval: String {
        switch unit {
        case "s": "\(amount) seconds"
        case "m": "\(amount) minutes"
        case "h": "\(amount) hours"
        case "d": "\(amount * 24) hours"
        case "w": "\(amount * 168) hours"
        case "mo": "\(amount) months"
        default: "\(amount) years"
        }
    }
}

public enum TimeExpression: Sendable {
    case day(Day)
    case instant(Instant)
    case ago(Span)
    case ahead(Span)
    case startOf(String, plus: Span?)
    case field(FieldSource, FieldType)
}

public enum Window: Sendable {
    case last(Span)
    /// -1, 0 or 1 units from now.
    case calendar(Int, unit: String)
    case between(TimeExpression, TimeExpression)
    case since(TimeExpression)
    case until(TimeExpression)
}

/// What a rule reads.
public struct Dependencies: Sendable, Equatable {
    public var fields: Set<String> = []
    public var events: Set<String> = []
    public var segments: Set<SegmentID> = []
    public var lists: Set<ListID> = []
    public var consents: Set<Channel> = []
    /// Ids as text; `*` where any campaign counts.
    public var campaigns: Set<String> = []
    /// Its truth can change by time alone.
    public var readsTime = false

    /// What is read of contacts, in the words of `segment_inputs`. Attributes by their key on the top level.
    public var inputs: [String] {
        let keys = fields.map { $0.split(separator: ".").prefix(2).joined(separator: ".") }
        return Set(
            keys + events.map { "event:\($0)" } + lists.map { "list:\($0)" } + consents.map { "consent:\($0.rawValue)" }
                + campaigns.map { "campaign:\($0)" }
        ).sorted()
    }
}

/// Limits of a rule; beyond each is a clear error.
public enum RuleLimits {
    public static let depth = 12
    public static let nodes = 500
    public static let values = 1000
    public static let bytes = 65_536
    public static let patternCharacters = 200
    public static let sequenceSteps = 2...10
}
