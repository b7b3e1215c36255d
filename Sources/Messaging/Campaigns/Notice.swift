// What happens to a campaign by itself is told to its team.
internal import PostgreSQL
internal import Runtime
internal import Vocabulary

enum Notice {
    /// In the transaction that paused it. `reason` is what `campaigns.status_reason` says (docs/states.md).
    static func campaignPaused(_ campaign: CampaignID, _ reason: String, _ db: Connection, because facts: String = "") throws {
        Log.warning("campaign paused", [("campaign", .string(campaign.description)), ("reason", .string(reason))])
        _ = try db.one(tell, "campaign.paused", campaign, reason, words(reason, facts))
    }

    /// What was to happen by itself and does not any more, since the server was restored to an earlier time.
    static func campaignRestored(_ campaign: CampaignID, _ detail: String, _ db: Connection) throws {
        Log.warning("campaign restored", [("campaign", .string(campaign.description))])
        _ = try db.one(tell, "campaign.restored", campaign, Reconciliation.reason, detail)
    }

    private static func words(_ reason: String, _ facts: String) -> String {
        switch reason {
        case "budget_spent": "A campaign was paused: what it may cost is spent."
        case MonthlyLimit.reason:
            "A campaign was paused: the workspace has sent what it may in this month. It resumes by itself when the next one begins."
        case Reconciliation.reason:
            "A campaign was paused: the server was restored to an earlier time, and nobody can tell whom it has reached since then. "
                + "If it is resumed, some may get it twice."
        case "price_unknown": "A campaign was paused: a message has no price that its budget could be counted against."
        case "stop_rule:failure_rate": "A campaign was paused: \(facts) failed."
        case "stop_rule:filtered_rate": "A campaign was paused: \(facts) were filtered for their text."
        case "stop_rule:opt_out_rate": "A campaign was paused: for \(facts), people opted out."
        case "stop_rule:complaint_rate": "A campaign was paused: for \(facts), people complained."
        case "sender_suspended":
            "A campaign was paused: its sender is suspended, since the provider refused its credentials or suspended its account, or "
                + "the credentials cannot be read any more. Give the sender working credentials, then resume the campaign."
        case "sender_misconfigured":
            "A campaign was paused: the provider refused ten messages for how their sender is set up. The codes of the messages that "
                + "failed say why; mend the sender, then resume the campaign."
        case "template_failed": "A campaign was paused: its text cannot be read any more."
        case "postal_address_missing": "A campaign was paused: the workspace has no postal address, which every e-mail names."
        default: "A campaign was paused: \(reason)."
        }
    }

    private static let tell = Statement<Bool, String, CampaignID, String, String>(
        """
        SELECT notify_workspace($1, jsonb_build_object('campaign_id', $2::uuid, 'reason', $3::text), $4) IS NOT NULL
        """)
}
