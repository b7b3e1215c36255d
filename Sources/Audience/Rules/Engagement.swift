// What became of campaigns: `{"campaign":ID|"*","did":…,"within":W}`.
internal import JSON
public import Vocabulary

/// What a contact did with the messages of one campaign, or what was done with them. Test messages do not count.
public struct EngagementLeaf: Sendable {
    public enum Deed: String, Sendable, CaseIterable {
        /// Handed to the carrier, whatever came after: a delivered message was sent. Counts at that moment.
        case sent
        /// The carrier says that it arrived. Counts when it said so.
        case delivered
        /// The provider or the carrier gave it up, before or after it was sent. One that we left out ourselves, for want
        /// of consent or of an address, did not fail.
        case failed
        /// Read from events `message.opened` whose property `campaign_id` is the campaign's.
        case opened
        /// As recorded with the campaign, and in events `message.clicked` like `opened`.
        case clicked
        /// Wrote back; every reply counts, not only the first.
        case replied
        /// Reached the campaign's goal. Only the first time counts, like in its figures.
        case converted
        /// Left in reply to it: by a text like STOP, or through its link. Being opted out is what `consent` asks.
        case optedOut = "opted_out"
    }
    /// `nil`: any campaign.
    public let campaign: CampaignID?
    public let deed: Deed
    /// `nil`: at any time.
    public let window: Window?
}

extension RuleParser {
    mutating func engagementLeaf(_ object: JSONObject, _ pointer: String) -> Node {
        onlyMembers(object, ["campaign", "did", "within"], pointer)
        let deed = object["did"]?.string.flatMap(EngagementLeaf.Deed.init(rawValue:))
        if deed == nil {
            let known = EngagementLeaf.Deed.allCases.map(\.rawValue).joined(separator: ", ")
            faults.add(pointer + "/did", object["did"] == nil ? "required" : "not_one_of", "Expected one of \(known).")
        }
        let within = object["within"].map { window($0, pointer + "/within") }
        var campaign: CampaignID?
        if object["campaign"] != "*" {
            campaign = object["campaign"]?.string.flatMap { CampaignID($0) }
            guard let id = campaign, context.campaigns.contains(id) else {
                faults.add(pointer + "/campaign", "unknown_campaign", "There is no such campaign; \"*\" means any.")
                return .all([])
            }
        }
        guard let deed else { return .all([]) }
        dependencies.campaigns.insert(campaign?.description ?? "*")
        if let name = deed.eventName { dependencies.events.insert(name) }
        return .engagement(EngagementLeaf(campaign: campaign, deed: deed, window: within))
    }
}

extension EngagementLeaf.Deed {
    /// The event that tells of it, where one does; its property `campaign_id` names the campaign.
    public var eventName: String? {
        switch self {
        case .opened: "message.opened"
        case .clicked: "message.clicked"
        default: nil
        }
    }
}

extension RuleCompiler {
    mutating func engagement(_ leaf: EngagementLeaf) -> String {
        var sources: [String] = []
        switch leaf.deed {
        case .sent: sources = [message("m.sent_at IS NOT NULL", "m.sent_at", leaf)]
        case .delivered: sources = [message("m.state = 'delivered'", "m.settled_at", leaf)]
        case .failed: sources = [message("m.state IN ('undelivered', 'failed')", "m.settled_at", leaf)]
        case .opened: sources = [told(leaf)]
        case .clicked: sources = [response(leaf), told(leaf)]
        case .converted: sources = [response(leaf)]
        case .replied: sources = [response(leaf)] + [inbound("true", leaf)]
        case .optedOut: sources = [response(leaf)] + [inbound("i.intent = 'stop'", leaf)]
        }
        return sources.count == 1 ? sources[0] : "(" + sources.joined(separator: " OR ") + ")"
    }

    private mutating func tests(_ campaign: String, _ time: String, _ leaf: EngagementLeaf) -> [String] {
        let id = leaf.campaign.map { "\(campaign) = \(bind($0, "uuid"))" }
        return [id, leaf.window.map { isWithin(time, span($0)) }].compactMap { $0 }
    }

    private mutating func message(_ state: String, _ time: String, _ leaf: EngagementLeaf) -> String {
        let tests = ["m.kind = 'campaign'", state] + tests("m.campaign_id", time, leaf)
        return exists("messages m", "m", tests.joined(separator: " AND "))
    }

    /// One row per contact, campaign and kind, at the first time.
    private mutating func response(_ leaf: EngagementLeaf) -> String {
        let tests = ["r.kind = \(bind(leaf.deed.rawValue, "text"))"] + tests("r.campaign_id", "r.occurred_at", leaf)
        return exists("campaign_responses r", "r", tests.joined(separator: " AND "))
    }

    /// Every text that was an answer to a campaign.
    private mutating func inbound(_ intent: String, _ leaf: EngagementLeaf) -> String {
        let tests = ["i.campaign_id IS NOT NULL", intent] + tests("i.campaign_id", "i.received_at", leaf)
        return exists("inbound_messages i", "i", tests.joined(separator: " AND "))
    }

    private mutating func told(_ leaf: EngagementLeaf) -> String {
        var tests = ["e.name = \(bind(leaf.deed.eventName ?? "", "text"))"]
        let property = FieldValue(.property(["campaign_id"]), .text, &self).text
        // Any campaign, but one: a click in a message of another kind names none.
        tests.append(leaf.campaign.map { "lower(\(property)) = \(bind($0.description, "text"))" } ?? "\(property) IS NOT NULL")
        if let window = leaf.window { tests.append(isWithin("e.occurred_at", span(window))) }
        return exists("events e", "e", tests.joined(separator: " AND "))
    }
}
