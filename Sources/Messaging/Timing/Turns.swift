// Whose turn it is to send: workspaces take turns, and in each its campaigns.
internal import Vocabulary

/// Who was served longest ago comes first, so ten campaigns of one workspace get no more than the one of another.
struct Turns {
    private var count = 0
    private var ofWorkspace: [WorkspaceID: Int] = [:]
    private var ofCampaign: [CampaignID: Int] = [:]

    func order(_ lanes: [Lane]) -> [Lane] {
        func turn(_ lane: Lane) -> (Int, Int) { (ofWorkspace[lane.work.workspace] ?? 0, ofCampaign[lane.work.campaign] ?? 0) }
        return lanes.sorted { turn($0) < turn($1) }
    }

    /// A lane has started something, or looked for what it may start.
    mutating func took(_ lane: Lane) {
        count += 1
        ofWorkspace[lane.work.workspace] = count
        ofCampaign[lane.work.campaign] = count
    }

    /// How many messages a campaign starts at a turn: where it is not the only one of its sender, a quarter of a second of the
    /// rate, so that none takes all that was saved up.
    func share(of lane: Lane, among lanes: [Lane]) -> Int {
        let isShared = lanes.contains { $0 !== lane && $0.work.sender == lane.work.sender }
        return isShared ? max(1, Int(lane.gate.rate / 4)) : .max
    }

    mutating func forget(except lanes: [Lane]) {
        let workspaces = Set(lanes.map(\.work.workspace))
        let campaigns = Set(lanes.map(\.work.campaign))
        ofWorkspace = ofWorkspace.filter { workspaces.contains($0.key) }
        ofCampaign = ofCampaign.filter { campaigns.contains($0.key) }
    }
}
