// Whose turn it is to send: workspaces share what a thread can do evenly, and in each its campaigns.
internal import Vocabulary

/// Who has sent least comes first, so ten campaigns of one workspace get no more than the one of another. It goes by messages, not
/// by turns: connections come free as their answers do, many at once, and whoever has many would have many again.
struct Turns {
    private var workspaces = FairQueue<WorkspaceID>()
    private var campaigns: [WorkspaceID: FairQueue<CampaignID>] = [:]

    func order(_ lanes: [Lane]) -> [Lane] {
        func turn(_ lane: Lane) -> (Int, Int) {
            (workspaces.turn(of: lane.work.workspace), campaigns[lane.work.workspace]?.turn(of: lane.work.campaign) ?? 0)
        }
        return lanes.sorted { turn($0) < turn($1) }
    }

    /// A lane has started so many messages, or none, and has looked for what it may start.
    mutating func took(_ lane: Lane, _ messages: Int) {
        workspaces.served(lane.work.workspace, max(1, messages))
        campaigns[lane.work.workspace, default: FairQueue()].served(lane.work.campaign, max(1, messages))
    }

    /// How many messages a campaign starts at a turn: where it is not the only one of its sender, a quarter of a second of the
    /// rate, so that none takes all that was saved up.
    func share(of lane: Lane, among lanes: [Lane]) -> Int {
        let isShared = lanes.contains { $0 !== lane && $0.work.sender == lane.work.sender }
        return isShared ? max(1, Int(lane.gate.rate / 4)) : .max
    }

    mutating func forget(except lanes: [Lane]) {
        let works = Dictionary(grouping: lanes.map(\.work), by: \.workspace)
        workspaces.forget { works[$0] == nil }
        campaigns = campaigns.filter { works[$0.key] != nil }
        for (workspace, works) in works {
            let left = Set(works.map(\.campaign))
            campaigns[workspace]?.forget { !left.contains($0) }
        }
    }
}

/// Start-time fair queueing (Goyal, Vin and Cheng, 1996): each begins where its last service ended, but never before the one that
/// is served now, so that nobody saves up turns by having nothing to do.
private struct FairQueue<Key: Hashable> {
    private var ends: [Key: Int] = [:]
    private var now = 0

    func turn(of key: Key) -> Int { max(now, ends[key] ?? 0) }

    mutating func served(_ key: Key, _ cost: Int) {
        now = turn(of: key)
        ends[key] = now + cost
    }

    mutating func forget(_ isGone: (Key) -> Bool) { ends = ends.filter { !isGone($0.key) } }
}
