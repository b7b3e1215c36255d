// Values that we compute beside PostgreSQL must come out as PostgreSQL computes them.
import Foundation
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct VocabularyTests {
    private typealias Instant = Vocabulary.Instant

    /// Instants of three centuries, and those around changes of clocks.
    private func instants(_ zone: TimeZoneRules, _ generator: inout SystemRandomNumberGenerator) -> [Instant] {
        let years = Instant(rfc3339: "1850-01-01T00:00:00Z")!.microseconds...Instant(rfc3339: "2150-01-01T00:00:00Z")!.microseconds
        var found: [Instant] = []
        for _ in 0..<12 {
            let instant = Instant(microseconds: .random(in: years, using: &generator))
            found.append(instant)
            guard let change = zone.nextChange(after: instant)?.at else { continue }
            for near in [-1, 0, 1] as [Int64] { found.append(Instant(microseconds: change.microseconds + near)) }
            for _ in 0..<3 {
                found.append(Instant(microseconds: change.microseconds + .random(in: -10_800_000_000...10_800_000_000, using: &generator)))
            }
        }
        return found
    }

    @Test func `clocks of every zone show what PostgreSQL says they show`() throws {
        var generator = SystemRandomNumberGenerator()
        try withDatabase { db throws in
            let names: [String] = try db.dynamic("SELECT name FROM pg_timezone_names ORDER BY name", [])
            #expect(names.count > 400)
            for name in names {
                guard let zone = TimeZoneRules(named: name) else {
                    Issue.record("\(name) is a zone to PostgreSQL")
                    continue
                }
                let instants = instants(zone, &generator)
                // The same numbers once as instants, once as what clocks show.
                let numbers = instants.map(\.microseconds)
                let shown: [Int64] = try db.dynamic(
                    """
                    SELECT (extract(epoch FROM u.t::timestamptz AT TIME ZONE $1::text) * 1000000)::bigint
                      FROM unnest($2::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n
                    """, [name.sqlValue, instants.map(\.description).sqlValue])
                let read: [Int64] = try db.dynamic(
                    """
                    SELECT (extract(epoch FROM u.t::timestamp AT TIME ZONE $1::text) * 1000000)::bigint
                      FROM unnest($2::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n
                    """, [name.sqlValue, instants.map { String($0.description.dropLast()) }.sqlValue])
                for (index, instant) in instants.enumerated() {
                    let local = zone.local(instant)
                    let back = zone.instant(LocalTime(microseconds: numbers[index]))
                    if local.microseconds != shown[index] || back.microseconds != read[index] {
                        Issue.record("\(name) at \(instant): \(local) and \(shown[index]), \(back.microseconds) and \(read[index])")
                        break
                    }
                }
            }
        }
    }

    @Test func `no name of a zone leads out of the folder of zones`() {
        for name in ["", "/etc/passwd", "../../../etc/passwd", "Europe/../Europe/Berlin", "Europe", "europe/berlin", "zone.tab", "a\0b"] {
            #expect(TimeZoneRules(named: name) == nil, "\(name)")
        }
        #expect(TimeZoneRules(named: "Europe/Berlin") != nil)
    }

    @Test func `a damaged file of a zone is none`() throws {
        let whole = Array(try Data(contentsOf: URL(fileURLWithPath: "/usr/share/zoneinfo/Europe/Berlin")))
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(Foundation.UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { do { try FileManager.default.removeItem(at: folder) } catch { Issue.record(error) } }
        func zone(_ bytes: some Sequence<UInt8>) throws -> TimeZoneRules? {
            try Data(bytes).write(to: folder.appendingPathComponent("Z"))
            return TimeZoneRules(named: "Z", in: folder.path)
        }
        #expect(try zone(whole) != nil)
        for length in stride(from: 0, to: whole.count - 1, by: 7) { #expect(try zone(whole.prefix(length)) == nil, "\(length)") }
        // Whatever is in it, it does no harm.
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<8 { bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255) }
            _ = try zone(bytes)?.instant(LocalTime(microseconds: 1_900_000_000_000_000))
        }
    }

    @Test func `months and starts of units are those of PostgreSQL`() throws {
        try withDatabase { db throws in
            for _ in 0..<300 {
                let local = LocalTime(microseconds: .random(in: -60_000_000_000_000_000...200_000_000_000_000_000))
                let months = Int.random(in: -3000...3000)
                let unit = ["day", "week", "month", "quarter", "year"].randomElement()!
                let text = String(Instant(microseconds: local.microseconds).description.dropLast())
                func ask(_ sql: String) throws -> Int64 {
                    try db.value("SELECT (extract(epoch FROM \(sql)) * 1000000)::bigint", text.sqlValue)
                }
                #expect(try ask("$1::timestamp + interval '\(months) months'") == local.adding(months: months).microseconds)
                #expect(try ask("date_trunc('\(unit)', $1::timestamp)") == local.start(of: unit).microseconds)
                #expect(try ask("$1::timestamp - interval '40 days'") == local.adding(days: -40).microseconds)
                let hour: Int = try db.value("SELECT extract(hour FROM $1::timestamp)::int", text.sqlValue)
                let weekday: Int = try db.value("SELECT extract(isodow FROM $1::timestamp)::int", text.sqlValue)
                #expect(hour == local.hour && weekday == local.weekday)
            }
        }
    }

    @Test func `decimals add, multiply, compare and print as numeric does`() throws {
        func number() -> String {
            let digits = String((0...Int.random(in: 0...25)).map { _ in "0123456789".randomElement()! })
            let point = Bool.random() ? "." + String(Int.random(in: 0...99_999)) : Bool.random() ? "." : ""
            let exponent = Bool.random() ? "" : ["e", "E+", "e-"].randomElement()! + String(Int.random(in: 0...60))
            return ["", "-", "+"].randomElement()! + digits + point + exponent
        }
        try withDatabase { db throws in
            for _ in 0..<300 {
                let (a, b) = (number(), Bool.random() ? number() : "0")
                let (x, y) = (ExactDecimal(text: a)!, ExactDecimal(text: b)!)
                let expected: [String] = try db.value(
                    """
                    SELECT ARRAY[trim_scale(a + b)::text, trim_scale(a * b)::text, trim_scale(a)::text, (a < b)::text, (a = b)::text]
                      FROM (SELECT $1::text::numeric, $2::text::numeric) AS n (a, b)
                    """, a.sqlValue, b.sqlValue)
                #expect([(x + y).description, (x * y).description, x.description, "\(x < y)", "\(x == y)"] == expected, "\(a), \(b)")
            }
        }
        for text in ["", "-", ".", "1e", "e5", "1.2.3", " 1", "1 ", "٣", "NaN", "0x1", "1e1234567", "--1"] {
            #expect(ExactDecimal(text: text) == nil, "\(text)")
        }
    }

    @Test func `every character is lower-cased as PostgreSQL does`() throws {
        try withDatabase { db throws in
            let lowered: [String] = try db.dynamic(
                "SELECT lower(chr(n)) FROM generate_series(1, 1114111) n WHERE n NOT BETWEEN 55296 AND 57343 ORDER BY n", [])
            let own = (UInt32(1)...0x10FFFF).compactMap { Unicode.Scalar($0) }.map { simplyLowercased(String($0)) }
            #expect(own.count == lowered.count)
            for (a, b) in zip(own, lowered) where !a.unicodeScalars.elementsEqual(b.unicodeScalars) { Issue.record("\(a) and \(b)") }
            #expect(simplyLowercased("ΟΔΟΣ İZ Straße") == "οδοσ iz straße")
        }
    }
}
