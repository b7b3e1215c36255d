// Time zones as the system's tzdata describes them, applied as PostgreSQL's AT TIME ZONE does.
internal import Glibc

/// The offsets of a zone from UTC, for ever.
public struct TimeZoneRules: Sendable {
    /// Its IANA name, like `Europe/Berlin`.
    public let name: String
    /// Seconds since 1970 at which `offsets` change, in order.
    private let transitions: [Int64]
    /// Seconds east of UTC: the first before all transitions, then one from each on.
    private let offsets: [Int]
    /// What holds after the last transition, where that goes on changing.
    private let footer: ZoneFooter?

    public static let utc = TimeZoneRules(name: "UTC", [], [0], nil)

    private init(name: String, _ transitions: [Int64], _ offsets: [Int], _ footer: ZoneFooter?) {
        self.name = name
        self.transitions = transitions
        self.offsets = offsets
        self.footer = footer
    }

    /// - Parameters:
    ///   - name: as tzdata spells it; `nil` for a zone that does not exist.
    ///   - folder: where the system keeps compiled tzdata.
    public init?(named name: String, in folder: String = "/usr/share/zoneinfo") {
        // No zone has a dot in its name, and so no name leads out of the folder.
        guard (1...100).contains(name.utf8.count), name.utf8.first != UInt8(ascii: "/"), name.utf8.allSatisfy(Self.isInName) else {
            return nil
        }
        if let offset = Self.abbreviations[name] {
            self.init(name: name, [], [offset], nil)
            return
        }
        guard let bytes = contents(of: folder + "/" + name), let file = ZoneFile(bytes) else { return nil }
        self.init(name: name, file.transitions, file.offsets, file.footer)
    }

    private static func isInName(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122, UInt8(ascii: "/"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"): true
        default: false
        }
    }

    /// Names that PostgreSQL reads as abbreviations before it looks for a zone: offsets that never change, whatever
    /// the zones of these names do.
    private static let abbreviations: [String: Int] = [
        "CET": 3600, "EET": 7200, "EST": -18_000, "GMT": 0, "HST": -36_000, "MET": 3600, "MST": -25_200, "UCT": 0, "UTC": 0,
        "WET": 0, "Zulu": 0,
    ]

    // MARK: Conversions

    /// What clocks show at an instant.
    public func local(_ instant: Instant) -> LocalTime {
        let offset = offset(at: floored(instant.microseconds, 1_000_000))
        return LocalTime(microseconds: instant.microseconds + Int64(offset) * 1_000_000)
    }

    /// The instant at which clocks show a time. One that they skip is read with the offset before the change, one that
    /// they show twice with the offset after it.
    public func instant(_ local: LocalTime) -> Instant {
        let seconds = floored(local.microseconds, 1_000_000)
        // No offset reaches a day, and no two changes are as near as two.
        guard let change = change(after: seconds - 86_400) else {
            return Instant(microseconds: local.microseconds - Int64(offset(at: seconds)) * 1_000_000)
        }
        let (before, after) = (seconds - Int64(change.before), seconds - Int64(change.after))
        let offset: Int
        if before < change.at, after < change.at {
            offset = change.before
        } else if before > change.at, after >= change.at {
            offset = change.after
        } else {
            offset = before > after ? change.before : change.after
        }
        return Instant(microseconds: local.microseconds - Int64(offset) * 1_000_000)
    }

    /// The next change of clocks after an instant, and the times that they show just before and from then on.
    /// `nil`: there is none any more.
    public func nextChange(after instant: Instant) -> (at: Instant, from: LocalTime, to: LocalTime)? {
        guard let change = change(after: floored(instant.microseconds, 1_000_000)) else { return nil }
        func local(_ offset: Int) -> LocalTime { LocalTime(microseconds: (change.at + Int64(offset)) * 1_000_000) }
        return (Instant(microseconds: change.at * 1_000_000), local(change.before), local(change.after))
    }

    private func offset(at seconds: Int64) -> Int {
        if let footer, seconds >= (transitions.last ?? .min) {
            return footer.changes(around: seconds).last { $0.at <= seconds }?.offset ?? offsets[transitions.count]
        }
        return offsets[transitions.firstIndex(after: seconds)]
    }

    private func change(after seconds: Int64) -> (at: Int64, before: Int, after: Int)? {
        let index = transitions.firstIndex(after: seconds)
        if index < transitions.count { return (transitions[index], offsets[index], offsets[index + 1]) }
        guard let footer else { return nil }
        let last = transitions.last ?? .min
        guard let next = footer.changes(around: seconds).first(where: { $0.at > max(seconds, last) }) else { return nil }
        return (next.at, offset(at: next.at - 1), next.offset)
    }
}

extension [Int64] {
    /// The index of the first that is greater, by halving; the count when none is. They are in order.
    fileprivate func firstIndex(after value: Int64) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// A file of at most 256 KiB; `nil` when there is none.
private func contents(of path: String) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 262_144)
    var count = 0
    while count < bytes.count {
        let taken = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress! + count, $0.count - count) }
        if taken < 0 { return nil }
        if taken == 0 { break }
        count += taken
    }
    return Array(bytes[..<count])
}
