// Points in time that move with the clock, and when one of them reaches a value that does not move: that is all that time
// alone can change about a rule.
internal import Vocabulary

/// A point of a rule as a function of now. It never goes back, but for changes of clocks.
struct Boundary {
    /// The steps of a computation that can go back: what clocks show, when it becomes an instant, at the end of an hour that
    /// they skip; and an instant, when it becomes what clocks show, where they are put back.
    enum Stage {
        case local((RuleMoment) -> LocalTime)
        case instant((RuleMoment) -> Instant)
    }

    /// Microseconds after now, for one that only slides.
    let slide: Int64?
    let stages: [Stage]
    /// In microseconds since 1970, or in days.
    let value: (RuleMoment) -> Int64
    let isInDays: Bool
    /// It stands still most of the time, and then jumps.
    let isStepped: Bool

    /// `nil`: the point stands still.
    init?(_ time: TimeExpression) {
        switch time {
        case .day, .instant, .field: return nil
        case .ago(let span): self.init(span, by: -1)
        case .ahead(let span): self.init(span, by: 1)
        case .startOf(let unit, let plus):
            self.init(
                stages: [.local { $0.localStart(of: unit, plus: plus) }], isStepped: true,
                value: { $0.start(of: unit, plus: plus).microseconds })
        }
    }

    init(_ span: Span, by sign: Int) {
        if let seconds = span.seconds {
            self.init(slide: Int64(sign * seconds) * 1_000_000)
        } else {
            self.init(
                stages: [.local { $0.shiftedLocal(span, by: sign) }], isStepped: false,
                value: { $0.shifted(span, by: sign).microseconds })
        }
    }

    init(slide: Int64) {
        self.init(slide: slide, stages: [], isInDays: false, isStepped: false) { $0.now.microseconds + slide }
    }

    private init(
        slide: Int64? = nil, stages: [Stage], isInDays: Bool = false, isStepped: Bool, value: @escaping (RuleMoment) -> Int64
    ) {
        self.slide = slide
        self.stages = stages
        self.isInDays = isInDays
        self.isStepped = isStepped
        self.value = value
    }

    static var now: Boundary { Boundary(slide: 0) }

    /// The first day of the unit so many from the present one, and so many days.
    static func calendar(_ unit: String, _ offset: Int, plusDays days: Int) -> Boundary {
        Boundary(stages: [.local { $0.startOfCalendar(unit, offset) }], isInDays: true, isStepped: true) {
            Int64($0.startOfCalendar(unit, offset).dayNumber + days)
        }
    }

    /// The day on which it falls.
    var day: Boundary {
        if isInDays { return self }
        let value = value
        func instant(_ moment: RuleMoment) -> Instant { Instant(microseconds: value(moment)) }
        return Boundary(stages: stages + [.instant(instant)], isInDays: true, isStepped: true) {
            Int64($0.zone.local(instant($0)).dayNumber)
        }
    }

    /// The first instant of the day so many after it.
    func midnight(_ days: Int = 0) -> Boundary {
        let day = day
        func local(_ moment: RuleMoment) -> LocalTime { LocalTime(dayNumber: Int(day.value(moment)) + days) }
        return Boundary(stages: day.stages + [.local(local)], isStepped: true) { $0.zone.instant(local($0)).microseconds }
    }

    // MARK: The next time

    /// How far it can go back when clocks change: nowhere by more than a day.
    private var slack: Int64 { isInDays ? 3 : 3 * 86_400_000_000 }

    /// The first instant after a moment at which it has come to stand on the other side of one of the thresholds: at or
    /// behind it where it was before it, or the reverse. Never later than that; earlier only when clocks change very often.
    /// - Parameter thresholds: in order.
    /// - Returns: `nil` when that does not happen until `horizon`.
    func nextCrossing(_ thresholds: [Int64], after moment: RuleMoment, until horizon: Instant) -> Instant? {
        if let slide {
            return thresholds.first(above: moment.now.microseconds + slide)
                .flatMap { Instant(microseconds: $0 - slide) <= horizon ? Instant(microseconds: $0 - slide) : nil }
        }
        var start = moment
        for _ in 0..<100 {
            guard start.now < horizon, let near = thresholds.first(above: value(start) - slack) else { return nil }
            if near > value(start) + slack {
                // Far ahead. Clocks of UTC never change, and others are ahead of them by little more than a day.
                let utc = RuleMoment(start.now, zone: .utc, readingZone: .utc)
                guard let there = utc.first(until: horizon, where: { value($0) >= near - slack }) else { return nil }
                start = start.at(max(start.now, there.adding(seconds: -2 * 86_400)))
            }
            let here = value(start)
            let end = nextBreak(after: start, until: horizon)
            let last = start.at(end.adding(microseconds: -1))
            if let next = thresholds.first(above: here), value(last) >= next {
                return start.first(until: end, where: { value($0) >= next })
            }
            guard end < horizon else { return nil }
            start = start.at(end)
            let (low, high) = (min(value(last), value(start)), max(value(last), value(start)))
            if let crossed = thresholds.first(above: low), crossed <= high { return end }
        }
        return start.now
    }

    /// Until when it does not go back, that instant itself not included.
    private func nextBreak(after start: RuleMoment, until horizon: Instant) -> Instant {
        let zone = start.zone
        var end = zone.nextChange(after: start.now).map { min($0.at, horizon) } ?? horizon
        for stage in stages {
            let last = start.at(end.adding(microseconds: -1))
            switch stage {
            case .local(let local):
                let (from, to) = (local(start), local(last))
                var change = zone.nextChange(after: zone.instant(from).adding(seconds: -86_400))
                while let gap = change, gap.from <= to {
                    if gap.to > gap.from, gap.to > from, gap.to <= to {
                        end = start.first(until: end, where: { local($0) >= gap.to }) ?? end
                        break
                    }
                    change = zone.nextChange(after: gap.at)
                }
            case .instant(let instant):
                var change = zone.nextChange(after: instant(start))
                while let back = change, back.at <= instant(last) {
                    if back.to < back.from {
                        end = start.first(until: end, where: { instant($0) >= back.at }) ?? end
                        break
                    }
                    change = zone.nextChange(after: back.at)
                }
            }
        }
        return end
    }
}

extension RuleMoment {
    /// The first instant after this one and before another at which something holds that holds from then on.
    fileprivate func first(until end: Instant, where holds: (RuleMoment) -> Bool) -> Instant? {
        var (low, high) = (now.microseconds, end.microseconds)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            if holds(at(Instant(microseconds: middle))) { high = middle } else { low = middle }
        }
        return high == end.microseconds ? nil : Instant(microseconds: high)
    }
}

extension [Int64] {
    /// The first that is greater; they are in order.
    fileprivate func first(above value: Int64) -> Int64? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low < count ? self[low] : nil
    }
}
