// What was: former values of fields, former membership, and what became of campaigns.
internal import Vocabulary

extension RuleEvaluator {
    func changes(_ leaf: HistoryLeaf) -> [ChangeFact] { facts.changes[HistoryKey(key: leaf.key, path: leaf.path)] ?? [] }

    func holds(_ leaf: HistoryLeaf, _ moment: RuleMoment) -> Bool {
        let span = moment.span(leaf.window) { content($0, nil) }
        let changes = changes(leaf)
        guard let was = leaf.was else {
            return changes.contains { $0.isChange && span.contains($0.at, moment.zone) }
        }
        guard isPossible(leaf.window, span, moment) else { return false }
        func held(_ content: FieldContent?) -> Bool { was.contains { holds($0.operation, $0, content, moment, nil) } }
        let present = content(leaf.source, nil)
        if changes.contains(where: { span.contains($0.at, moment.zone) && (held($0.before) || held($0.after)) }) { return true }
        guard case .at(let end) = span.to else { return span.to.isOpen && held(present) }
        guard !end.isBefore(facts.createdAt, moment.zone) else { return false }
        // At the end it was what the first change after it replaced; without one, what it is now.
        if let later = changes.first(where: { end.isBefore($0.at, moment.zone) }) { return held(later.before) }
        return held(present)
    }

    /// Whether a window has a moment: one that lies ahead, or ends before it begins, has none.
    private func isPossible(_ window: Window, _ span: RuleSpan, _ moment: RuleMoment) -> Bool {
        switch window {
        case .last, .until: return true
        case .calendar(let offset, _) where offset <= 0: return true
        default: break
        }
        guard let start = span.from.point?.start(moment.zone) else { return span.from.isOpen }
        return start <= moment.now && span.ends(notBefore: start, moment.zone)
    }

    /// A member at any moment of the window: one whose stay began by its end, or changed in it, or ended after it without
    /// having begun after it.
    func wasMember(_ id: SegmentID, _ window: Window, _ moment: RuleMoment) -> Bool {
        let span = moment.span(window) { content($0, nil) }
        guard isPossible(window, span, moment) else { return false }
        if let entered = facts.memberships[id], span.ends(notBefore: entered, moment.zone) { return true }
        let stays = facts.stays[id] ?? []
        if stays.contains(where: { span.contains($0.at, moment.zone) }) { return true }
        guard let end = span.to.point else { return false }
        return stays.first { end.isBefore($0.at, moment.zone) }.map { !$0.isEntry } ?? false
    }

    /// What became of the campaign, or of any, in the window.
    func deeds(_ leaf: EngagementLeaf, _ moment: RuleMoment) -> [DeedFact] {
        let span = leaf.window.map { moment.span($0) { content($0, nil) } }
        let campaign = leaf.campaign?.description
        return (facts.deeds[leaf.deed] ?? []).filter { deed in
            (campaign == nil || deed.campaign == campaign)
                && (span.map { span in deed.at.map { span.contains($0, moment.zone) } ?? false } ?? true)
        }
    }
}
