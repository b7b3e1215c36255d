// All that deciding one rule for one contact reads, as plain values: what RuleEvaluator works on.
public import Vocabulary

/// One contact, as far as one rule asks about it.
public struct ContactFacts: Sendable {
    public let contact: ContactID
    /// Whose days and hours count: the rule's zone, for this contact.
    public let zone: TimeZoneRules
    /// The workspace's zone, in which times without one are read.
    public let readingZone: TimeZoneRules
    public internal(set) var createdAt = Instant(microseconds: 0)

    /// Columns, attributes, scores and groups; missing ones are absent.
    var contents: [FieldSource: FieldContent] = [:]
    /// What PostgreSQL says of regular expressions, of fields that have a text.
    var patterns: [PatternTest: Bool] = [:]
    /// By name, in the order of time and then id.
    var events: [String: [EventFact]] = [:]
    /// Where in an event's `contents` a property is.
    var properties: [[String]: Int] = [:]
    /// Where in an event's `patterns` a test is.
    var propertyPatterns: [PatternTest: Int] = [:]
    /// When the contact entered segments in which it is.
    var memberships: [SegmentID: Instant] = [:]
    /// Entries and exits, oldest first.
    var stays: [SegmentID: [StayFact]] = [:]
    var lists: Set<ListID> = []
    /// No state: unknown.
    var consents: [Channel: String] = [:]
    /// Oldest first.
    var changes: [HistoryKey: [ChangeFact]] = [:]
    var deeds: [EngagementLeaf.Deed: [DeedFact]] = [:]
    /// 0 to 9999 by salt.
    var buckets: [String: Int] = [:]

    init(contact: ContactID, zone: TimeZoneRules, readingZone: TimeZoneRules) {
        self.contact = contact
        self.zone = zone
        self.readingZone = readingZone
    }
}

/// A regular expression on a field.
struct PatternTest: Hashable, Sendable {
    let source: FieldSource
    let pattern: String
    let isCaseSensitive: Bool
}

public struct EventFact: Sendable, Equatable {
    public let id: EventID
    public let at: Instant
    /// Of the properties that the rule reads; `nil` where missing.
    let contents: [FieldContent?]
    let patterns: [Bool]
}

struct StayFact: Sendable {
    let at: Instant
    let isEntry: Bool
}

/// A field as its history knows it: `contact_changes.key`, and keys below the recorded value.
struct HistoryKey: Hashable, Sendable {
    let key: String
    let path: [String]
}

/// One change of a field.
public struct ChangeFact: Sendable, Equatable {
    public let at: Instant
    public let before: FieldContent?
    public let after: FieldContent?
    /// Neither from one missing value to another, nor in another part of the recorded value.
    let isChange: Bool
}

/// Something that became of a campaign.
public struct DeedFact: Sendable, Equatable {
    /// The campaign's id in lower case; events may name anything.
    let campaign: String
    /// `nil` where nobody said when.
    public let at: Instant?
}

/// Why the facts about a contact were not loaded.
public enum FactsError: Error, Sendable {
    case noSuchContact
    /// More history than is looked at for one contact.
    case tooMuch
}
