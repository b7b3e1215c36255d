// Compiled time zones (RFC 9636, the TZif format) and the rule in their footer.

/// What a TZif file of version 2 or later says.
struct ZoneFile {
    var transitions: [Int64] = []
    /// One more than transitions.
    var offsets: [Int] = []
    var footer: ZoneFooter?

    /// `nil` for anything else, and for zones that count leap seconds, which PostgreSQL does not take either.
    init?(_ bytes: [UInt8]) {
        guard let first = Header(bytes[...]), first.version >= UInt8(ascii: "2") else { return nil }
        // The first block is for readers of 32-bit times.
        let start = 44 + first.length(timeSize: 4)
        guard start <= bytes.count, let header = Header(bytes[start...]), header.leaps == 0, header.types > 0 else { return nil }
        var rest = bytes[(start + 44)...]
        guard rest.count >= header.length(timeSize: 8) else { return nil }
        transitions = (0..<header.times).map { _ in Int64(bitPattern: rest.takeNumber(8)) }
        let types = (0..<header.times).map { _ in Int(rest.takeNumber(1)) }
        let utcOffsets = (0..<header.types).map { _ in
            let offset = Int(Int32(truncatingIfNeeded: rest.takeNumber(4)))
            _ = rest.takeNumber(2)
            return offset
        }
        guard types.allSatisfy({ $0 < utcOffsets.count }) else { return nil }
        offsets = [utcOffsets[0]] + types.map { utcOffsets[$0] }
        rest = rest.dropFirst(header.length(timeSize: 8) - header.times * 9 - header.types * 6)
        guard rest.first == UInt8(ascii: "\n"), let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let text = rest[(rest.startIndex + 1)..<end]
        if !text.isEmpty {
            guard let rule = ZoneFooter(text) else { return nil }
            footer = rule.isChanging ? rule : nil
        }
    }

    private struct Header {
        let version: UInt8
        let utcMarks: Int, standardMarks: Int, leaps: Int, times: Int, types: Int, characters: Int
        init?(_ bytes: ArraySlice<UInt8>) {
            guard bytes.count >= 44, bytes.prefix(4).elementsEqual("TZif".utf8) else { return nil }
            version = bytes[bytes.startIndex + 4]
            var rest = bytes.dropFirst(20)
            let counts = (0..<6).map { _ in Int(rest.takeNumber(4)) }
            guard counts.allSatisfy({ $0 <= 100_000 }) else { return nil }
            (utcMarks, standardMarks, leaps, times, types, characters) = (counts[0], counts[1], counts[2], counts[3], counts[4], counts[5])
        }
        func length(timeSize: Int) -> Int {
            times * (timeSize + 1) + types * 6 + characters + leaps * (timeSize + 4) + standardMarks + utcMarks
        }
    }
}

extension ArraySlice<UInt8> {
    /// A big-endian number of so many bytes, which are there.
    fileprivate mutating func takeNumber(_ size: Int) -> UInt64 {
        defer { self = dropFirst(size) }
        return prefix(size).reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// A POSIX TZ string, like `EST5EDT,M3.2.0,M11.1.0`: standard time, and when summer time begins and ends each year.
struct ZoneFooter {
    private let standard: Int
    private var summer: (offset: Int, begins: Moment, ends: Moment)?
    var isChanging: Bool { summer != nil }

    /// A day of a year, and seconds from its midnight on the clock before the change.
    private struct Moment {
        enum Rule { case julian(Int), dayOfYear(Int), weekday(month: Int, week: Int, day: Int) }
        let rule: Rule
        let seconds: Int

        /// Seconds since 1970 on that clock.
        func seconds(in year: Int) -> Int64 {
            let first = Day.daysSince1970(year: year, month: 1, day: 1)
            let number: Int
            switch rule {
            // 29 February is never counted; 60 is always 1 March.
            case .julian(let day): number = first + day - (Day.isLeap(year) && day >= 60 ? 0 : 1)
            case .dayOfYear(let day): number = first + day
            case .weekday(let month, let week, let day):
                let start = Day.daysSince1970(year: year, month: month, day: 1)
                // Sunday is 0, and 1 January 1970 was a Thursday.
                let found = start + (day - (start + 4) % 7 + 14) % 7 + (week - 1) * 7
                number = found >= start + Day.length(year, month) ? found - 7 : found
            }
            return Int64(number) * 86_400 + Int64(seconds)
        }
    }

    /// Changes of the year of an instant and of its neighbours, in order.
    func changes(around seconds: Int64) -> [(at: Int64, offset: Int)] {
        guard let summer else { return [] }
        let year = Day(daysSince1970: Int(floored(seconds, 86_400))).year
        var changes: [(at: Int64, offset: Int)] = []
        for year in (year - 1)...(year + 1) {
            changes.append((summer.begins.seconds(in: year) - Int64(standard), summer.offset))
            changes.append((summer.ends.seconds(in: year) - Int64(summer.offset), standard))
        }
        return changes.sorted { $0.at < $1.at }
    }

    init?(_ text: ArraySlice<UInt8>) {
        var rest = text
        guard Self.takeName(&rest), let west = Self.takeTime(&rest) else { return nil }
        standard = -west
        if rest.isEmpty { return }
        guard Self.takeName(&rest) else { return nil }
        var offset = standard + 3600
        if let next = rest.first, next != UInt8(ascii: ",") {
            guard let west = Self.takeTime(&rest) else { return nil }
            offset = -west
        }
        guard let begins = Self.takeMoment(&rest), let ends = Self.takeMoment(&rest), rest.isEmpty else { return nil }
        summer = (offset, begins, ends)
    }

    private static func takeName(_ rest: inout ArraySlice<UInt8>) -> Bool {
        if rest.first == UInt8(ascii: "<") {
            guard let end = rest.firstIndex(of: UInt8(ascii: ">")) else { return false }
            rest = rest[(end + 1)...]
            return true
        }
        let name = rest.prefix { (65...90).contains($0) || (97...122).contains($0) }
        rest = rest.dropFirst(name.count)
        return name.count >= 3
    }

    private static func takeNumber(_ rest: inout ArraySlice<UInt8>) -> Int? {
        let digits = rest.prefix { (48...57).contains($0) }
        guard (1...3).contains(digits.count) else { return nil }
        rest = rest.dropFirst(digits.count)
        return digits.reduce(0) { $0 * 10 + Int($1 - 48) }
    }

    private static func take(_ character: Character, _ rest: inout ArraySlice<UInt8>) -> Bool {
        guard rest.first == character.asciiValue else { return false }
        rest = rest.dropFirst()
        return true
    }

    /// Seconds of `[+-]hours[:minutes[:seconds]]`.
    private static func takeTime(_ rest: inout ArraySlice<UInt8>) -> Int? {
        let isNegative = take("-", &rest)
        if !isNegative { _ = take("+", &rest) }
        guard let hours = takeNumber(&rest) else { return nil }
        var seconds = hours * 3600
        for unit in [60, 1] where take(":", &rest) {
            guard let number = takeNumber(&rest) else { return nil }
            seconds += number * unit
        }
        return isNegative ? -seconds : seconds
    }

    /// `,Mm.w.d`, `,Jn` or `,n`, with an optional `/time`; changes are at two o'clock where none is given.
    private static func takeMoment(_ rest: inout ArraySlice<UInt8>) -> Moment? {
        guard take(",", &rest) else { return nil }
        let rule: Moment.Rule
        if take("M", &rest) {
            guard let month = takeNumber(&rest), (1...12).contains(month), take(".", &rest), let week = takeNumber(&rest),
                (1...5).contains(week), take(".", &rest), let day = takeNumber(&rest), (0...6).contains(day)
            else { return nil }
            rule = .weekday(month: month, week: week, day: day)
        } else if take("J", &rest) {
            guard let day = takeNumber(&rest), (1...365).contains(day) else { return nil }
            rule = .julian(day)
        } else {
            guard let day = takeNumber(&rest), (0...365).contains(day) else { return nil }
            rule = .dayOfYear(day)
        }
        guard take("/", &rest) else { return Moment(rule: rule, seconds: 7200) }
        return takeTime(&rest).map { Moment(rule: rule, seconds: $0) }
    }
}
