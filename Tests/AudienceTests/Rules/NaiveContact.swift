import JSON
import Vocabulary

/// A contact as the naive reading sees it, with all that is known of it.
struct NaiveContact {
    struct Event {
        var id, name: String
        var at: Instant
        var properties: JSONValue
    }
    /// A field went from one value to another; `nil` is missing.
    struct Change {
        var key: String
        var at: Instant
        var before, after: JSONValue?
    }
    /// In a segment; `nil`: until now.
    struct Stay {
        var from: Instant
        var to: Instant?
    }
    struct Message {
        var campaign, state: String
        var sent, settled: Instant?
    }
    /// What they did in answer to a campaign.
    struct Response {
        var campaign, kind: String
        var at: Instant
    }

    var id = ""
    var columns: [String: JSONValue] = [:]
    var attributes: JSONValue = [:]
    var zone: String?
    var created = Instant(microseconds: 0)
    var events: [Event] = []
    var changes: [Change] = []
    var stays: [String: [Stay]] = [:]
    var lists: Set<String> = []
    var consents: [String: String] = [:]
    var messages: [Message] = []
    var responses: [Response] = []
    /// Texts: `kind` is what was meant by it.
    var replies: [Response] = []
    /// Those of the event that a `where` looks at.
    var properties: JSONValue?
}
