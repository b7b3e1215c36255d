// What a campaign added over the people who were held out of it.
internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// Compares conversion between people whom a campaign went to and people held out of it.
///
/// Everybody counts as they were drawn, whatever became of their message, and conversions of both count in the same time:
/// the attribution window from the freezing on. `converted` of the campaign begins with each sending, and is another number.
/// The window is the same for all and begins before anybody has it: with a local schedule, quiet hours or a slow sender those
/// treated get it later, and have less of the window left, so the lift is what the campaign added in the window, not after
/// its arrival. A window that is short beside the sending tells too little; preflight warns of that (`window_too_short`).
///
/// Those held out of the campaign tell what the campaign added; those held out of all campaigns, what it added together with
/// all others that reach the same people. These are two questions, so the arms are never pooled: what stands above `by_scope`
/// is of the campaign's own holdout.
///
/// - Returns: rates as fractions `0...1`, counts as people. `null` when nobody was held out: a missing control is not "no
///   effect", and so is the lift where the campaign has no holdout of its own. Conversions, rates and lift are `null` without
///   a goal.
struct Lift {
    let arms: [ArmCount]

    var body: JSONValue {
        guard let treated = arms.first(where: { $0.arm == "treated" }), let ends = treated.windowEndsAt else { return .null }
        let held = arms.filter { $0.arm != "treated" }
        guard !held.isEmpty else { return .null }
        let hasGoal = treated.converted != nil
        func compared(_ holdout: Proportion) -> JSONObject {
            var body = counts(holdout, hasGoal)
            body["lift"] = hasGoal ? Lift.lift(treated.proportion, over: holdout) : .null
            return body
        }
        var body = compared(held.first { $0.arm == "campaign" }?.proportion ?? Proportion(count: 0, total: 0))
        body["treated"] = .object(counts(treated.proportion, hasGoal))
        var scopes: JSONObject = ["campaign": .null, "workspace": .null]
        for arm in held { scopes[arm.arm] = .object(compared(arm.proportion)) }
        body["by_scope"] = .object(scopes)
        body["window_ends_at"] = .string(ends.description)
        return .object(body)
    }

    private func counts(_ share: Proportion, _ hasGoal: Bool) -> JSONObject {
        let interval: JSONValue = share.interval.map { [.real($0.low), .real($0.high)] } ?? .null
        return [
            "contacts": JSONValue(share.total), "converted": hasGoal ? JSONValue(share.count) : .null,
            "rate": hasGoal ? share.rate.map { .real($0) } ?? .null : .null, "interval": hasGoal ? interval : .null,
        ]
    }

    /// Treated rate minus holdout rate, with its 95 % interval. `relative` is the difference in terms of the holdout's rate,
    /// `null` where nobody of them converted.
    static func lift(_ treated: Proportion, over holdout: Proportion) -> JSONValue {
        guard let difference = treated.difference(from: holdout), let base = holdout.rate else { return .null }
        return [
            "difference": .real(difference.value), "interval": [.real(difference.low), .real(difference.high)],
            "relative": base > 0 ? .real(difference.value / base) : .null,
        ]
    }
}

struct ArmCount: RowDecodable {
    /// treated, campaign, workspace.
    let arm: String
    let contacts: Int
    /// `nil` without a goal.
    let converted: Int?
    let windowEndsAt: Instant?
    init(_ row: borrowing Row) throws(PostgresError) {
        arm = try row["arm"]
        contacts = try row["contacts"]
        converted = try row["converted"]
        windowEndsAt = try row["window_ends_at"]
    }
    var proportion: Proportion { Proportion(count: converted ?? 0, total: contacts) }
}

enum LiftSQL {
    static let arms = Statement<ArmCount, CampaignID>(
        """
        SELECT a.arm, a.contacts, c.frozen_at + make_interval(secs => c.attribution_window_seconds) AS window_ends_at,
               CASE WHEN c.goal_event IS NOT NULL THEN (
                   SELECT count(*) FROM arm_conversions v
                    WHERE v.workspace_id = current_workspace() AND v.campaign_id = $1 AND v.arm = a.arm) END AS converted
          FROM campaign_arms a
          JOIN campaigns c ON c.workspace_id = current_workspace() AND c.id = a.campaign_id
         WHERE a.workspace_id = current_workspace() AND a.campaign_id = $1
         ORDER BY a.arm
        """)
}
