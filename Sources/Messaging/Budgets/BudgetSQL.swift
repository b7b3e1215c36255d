internal import PostgreSQL
internal import Vocabulary
internal import Web

enum BudgetSQL {
    /// What each message would cost, and whether it fits with all before it into what is left. What is not new costs nothing. No
    /// rows: there is no budget.
    static let price = Statement<MessagePrice, CampaignID, [MessageID], [Instant], [Int]>(
        """
        WITH budget AS MATERIALIZED (
            SELECT b.budget_micros - b.spent_micros AS rest,
                   b.currency = (SELECT w.settings #>> '{prices,currency}' FROM workspaces w WHERE w.id = current_workspace()) AS is_priced
              FROM campaign_budgets b
             WHERE b.workspace_id = current_workspace() AND b.campaign_id = $1
               FOR UPDATE),
        wanted AS (
            SELECT w.id, w.place, b.rest,
                   CASE WHEN \(LedgerSQL.isNew) IS FALSE THEN 0
                        WHEN b.is_priced THEN w.parts * part_price(m.channel, country_of_number(m.to_address)) END AS micros
              FROM unnest($2::uuid[], $3::timestamptz[], $4::int[]) WITH ORDINALITY AS w (id, created_at, parts, place)
             CROSS JOIN budget b
              LEFT JOIN messages m ON m.workspace_id = current_workspace() AND m.id = w.id AND m.created_at = w.created_at)
        SELECT w.id, w.micros,
               coalesce(sum(w.micros) OVER so_far <= w.rest, false) AND bool_and(w.micros IS NOT NULL) OVER so_far AS fits
          FROM wanted w WINDOW so_far AS (ORDER BY w.place) ORDER BY w.place
        """)

    static let spend = Statement<Int, CampaignID, Int>(
        """
        UPDATE campaign_budgets SET spent_micros = spent_micros + $2
         WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    static let need = Statement<Int, CampaignID, Int?>(
        """
        UPDATE campaign_budgets SET needed_micros = $2 WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    static let set = Statement<Int, CampaignID, Int, String, Int>(
        """
        INSERT INTO campaign_budgets (workspace_id, campaign_id, amount, currency, budget_micros)
        VALUES (current_workspace(), $1, $2, $3, $4)
        ON CONFLICT (workspace_id, campaign_id)
        DO UPDATE SET amount = excluded.amount, currency = excluded.currency, budget_micros = excluded.budget_micros
        """)

    static let touch = Statement<Stored, CampaignID>(
        """
        UPDATE campaigns AS c SET version = c.version + 1, updated_at = now()
         WHERE c.workspace_id = current_workspace() AND c.id = $1
        RETURNING \(CampaignSQL.item), c.version
        """)

    static let clear = Statement<Int, CampaignID>(
        """
        DELETE FROM campaign_budgets WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    static let lock = Statement<CampaignBudget, CampaignID>(
        """
        SELECT currency, budget_micros, spent_micros, needed_micros FROM campaign_budgets
         WHERE workspace_id = current_workspace() AND campaign_id = $1
           FOR UPDATE
        """)

    static let find = Statement<CampaignBudget, CampaignID>(
        """
        SELECT currency, budget_micros, spent_micros, needed_micros FROM campaign_budgets
         WHERE workspace_id = current_workspace() AND campaign_id = $1
        """)

    /// Whether messages on a channel have a price whatever their country is.
    static let hasPriceForAll = Statement<Bool, Channel>("SELECT part_price($1, NULL) IS NOT NULL")

    /// Countries of a segment's members in which a part has no price; consent is not asked.
    static let unpriced = Statement<String, SegmentID, Channel>(
        """
        SELECT f.country
          FROM (SELECT DISTINCT coalesce(country_of_number(c.phone), '?') AS country
                  FROM segment_members m
                  JOIN contacts c ON c.workspace_id = m.workspace_id AND c.id = m.contact_id
                 WHERE m.workspace_id = current_workspace() AND m.segment_id = $1 AND c.phone IS NOT NULL) f
         WHERE $2 = 'sms' AND part_price($2, f.country) IS NULL
         ORDER BY 1
        """)
}

struct MessagePrice: RowDecodable {
    let id: MessageID
    let micros: Int?
    let fits: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        id = try row["id"]
        micros = try row["micros"]
        fits = try row["fits"]
    }
}

struct CampaignBudget: RowDecodable {
    let currency: String
    let micros: Int
    let spent: Int
    let needed: Int?
    init(_ row: borrowing Row) throws(PostgresError) {
        currency = try row["currency"]
        micros = try row["budget_micros"]
        spent = try row["spent_micros"]
        needed = try row["needed_micros"]
    }
}
