// What holds of segments at every commit, whoever writes, dies or waits meanwhile.
public import PostgreSQL

public enum MembershipInvariants {
    /// Segments whose counter is not the number of their members.
    private static let miscounted = """
        SELECT s.name || ': ' || s.member_count || ' counted, ' || count(m.contact_id) || ' there'
          FROM segments s LEFT JOIN segment_members m ON m.workspace_id = s.workspace_id AND m.segment_id = s.id
         GROUP BY s.workspace_id, s.id, s.name, s.member_count HAVING s.member_count <> count(m.contact_id)
        """
    /// Contacts whose entries less their exits are not their membership.
    private static let mistold = """
        SELECT coalesce(h.contact_id, m.contact_id)::text || ': ' || coalesce(h.balance, 0)
          FROM (SELECT workspace_id, segment_id, contact_id, sum(CASE change WHEN 'entered' THEN 1 ELSE -1 END) AS balance
                  FROM segment_changes c
                 WHERE EXISTS (SELECT FROM segments s WHERE s.workspace_id = c.workspace_id AND s.id = c.segment_id)
                 GROUP BY workspace_id, segment_id, contact_id) h
          FULL JOIN segment_members m ON m.workspace_id = h.workspace_id AND m.segment_id = h.segment_id AND m.contact_id = h.contact_id
         WHERE coalesce(h.balance, 0) <> CASE WHEN m.contact_id IS NULL THEN 0 ELSE 1 END
        """

    /// Memberships of contacts or segments that are gone.
    private static let left = """
        SELECT m.contact_id || ' in ' || m.segment_id FROM segment_members m
         WHERE NOT EXISTS (SELECT FROM contacts c WHERE c.workspace_id = m.workspace_id AND c.id = m.contact_id)
            OR NOT EXISTS (SELECT FROM segments s WHERE s.workspace_id = m.workspace_id AND s.id = m.segment_id)
        """

    /// - Parameter owner: sees every workspace.
    /// - Returns: nothing, or what is wrong in words.
    public static func violations(_ owner: Connection) throws -> [String] {
        let counters: [String] = try owner.dynamic(miscounted, [])
        let histories: [String] = try owner.dynamic(mistold, [])
        let members: [String] = try owner.dynamic(left, [])
        return counters + histories + members
    }
}
