internal import JSON
internal import PostgreSQL
internal import Vocabulary

/// When a segment is brought up to date.
struct SegmentSchedule: Equatable {
    enum Kind: String, CaseIterable {
        /// With every change of a contact, and whenever time alone changes who is in.
        case live
        /// Every so many minutes.
        case every
        /// Once a day, by the workspace's clock.
        case daily
        /// When somebody asks. The nightly refresh looks at these too.
        case manual
    }
    let kind: Kind
    /// 1 to 1,440; of `every` only.
    let minutes: Int?
    /// `HH:MM`; of `daily` only.
    let at: String?

    static let schema: Schema = .described(
        .object([
            .required("kind", .string(oneOf: Kind.allCases.map(\.rawValue)), "live when absent"),
            .optional("minutes", .integer(1...1440), "Of `every`: minutes from one calculation to the next"),
            .optional("at", .string(min: 5, max: 5), "Of `daily`: HH:MM by the workspace's clock"),
        ]), "When the membership is brought up to date", example: ["kind": "every", "minutes": 30])

    /// - Throws: every fault, where it stands under `/schedule`.
    init(_ value: JSONValue) throws {
        kind = value["kind"]?.string.flatMap(Kind.init(rawValue:)) ?? .live
        minutes = value["minutes"]?.integer
        at = value["at"]?.string
        var faults = Faults()
        func belongs(_ member: String, to owner: Kind) {
            let isGiven = value[member] != nil
            if kind == owner, !isGiven { faults.add("/schedule/\(member)", "required", "`\(owner.rawValue)` needs `\(member)`.") }
            if kind != owner, isGiven {
                faults.add("/schedule/\(member)", "unknown_member", "`\(member)` belongs to `\(owner.rawValue)` only.")
            }
        }
        belongs("minutes", to: .every)
        belongs("at", to: .daily)
        if let at, !Self.isTimeOfDay(at) { faults.add("/schedule/at", "bad_format", "Expected a time of day like 06:30.") }
        try faults.check()
    }

    private static func isTimeOfDay(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { (48...57).contains($0) } }) else {
            return false
        }
        return Int(parts[0])! < 24 && Int(parts[1])! < 60
    }
}

extension SegmentSQL {
    /// Whether the segment became live by it, and so must be calculated once.
    static let setSchedule = Statement<Bool, SegmentID, String, Int?, String?>(
        """
        UPDATE segments s
           SET schedule = $2, schedule_minutes = $3, schedule_at = $4::time,
               next_refresh_at = next_refresh($2, $3, $4::time, now(), w.timezone),
               state = CASE WHEN $2 = 'live' AND o.schedule <> 'live' THEN 'stale' ELSE s.state END,
               problem = CASE WHEN $2 = 'live' AND o.schedule <> 'live' THEN NULL ELSE s.problem END
          FROM workspaces w, segments o
         WHERE s.workspace_id = current_workspace() AND s.id = $1 AND w.id = current_workspace()
           AND o.workspace_id = s.workspace_id AND o.id = s.id
        RETURNING $2 = 'live' AND o.schedule <> 'live'
        """)

    /// Whether time alone can change who is in. What was swept was another rule's.
    static let setReadsTime = Statement<Int, SegmentID, Bool>(
        """
        UPDATE segments SET reads_time = $2, swept_at = NULL, next_flip_at = NULL
         WHERE workspace_id = current_workspace() AND id = $1
        """)
}
