// Whatever arrives as a rule, the process survives it and keeps its word. `make fuzz` looks for more of the corpus.
import Foundation
import RuleInput
import Testing

@Suite struct RuleFuzzTests {
    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Corpus")

    private func inputs() throws -> [[UInt8]] {
        try FileManager.default.contentsOfDirectory(at: Self.corpus, includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
    }

    @Test func `every input of the kept corpus is taken or refused`() throws {
        let inputs = try inputs()
        #expect(inputs.count > 15)
        for input in inputs { tryRuleInput(input) }
    }

    /// A failure stops the process; the seed stands above it. Repeat it with MUSTER_RULE_SEED=….
    @Test func `random bytes, broken rules and random JSON are taken or refused`() throws {
        let seed = ProcessInfo.processInfo.environment["MUSTER_RULE_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        print("random rule input from seed \(seed)")
        var dice = RuleDice(generator: SeededGenerator(state: seed))
        let inputs = try inputs()
        for _ in 0..<3000 {
            tryRuleInput(
                (0..<Int.random(in: 0...60, using: &dice.generator)).map { _ in UInt8.random(in: 0...255, using: &dice.generator) })
            tryRuleInput(broken(dice.pick(inputs), &dice))
            tryRuleInput(Array("{\"match\":\(json(&dice, 5))}".utf8))
        }
        for _ in 0..<1000 { tryRuleInput(Array(dice.rule().text.utf8)) }
    }

    /// A few bytes taken out, put in or exchanged.
    private func broken(_ input: [UInt8], _ dice: inout RuleDice) -> [UInt8] {
        var bytes = input
        for _ in 0...Int.random(in: 0...4, using: &dice.generator) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &dice.generator)
            switch Int.random(in: 0..<4, using: &dice.generator) {
            case 0: bytes.remove(at: place)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &dice.generator)
            case 2: bytes.insert(dice.pick(Array("{}[]\",:0-9ae\\".utf8)), at: place)
            default:
                let end = min(bytes.count, place + Int.random(in: 1...40, using: &dice.generator))
                bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0...bytes.count, using: &dice.generator))
            }
        }
        return bytes
    }

    private static let words = [
        "all", "any", "none", "not", "at_least", "of", "field", "op", "value", "was", "changed", "within", "event", "count", "where",
        "which",
        "aggregate", "sequence", "after", "segment", "list", "consent", "state", "campaign", "did", "bucket", "salt", "from", "to", "case",
        "missing", "last", "calendar", "unit", "between", "since", "until", "ago", "ahead", "start_of", "plus", "is", "matches", "within",
        "contains", "size", "attributes.text", "attributes.number", "attributes.tags", "attributes.time", "status", "30d", "month", "this",
        "sum", "avg", "2026-01-31", "00000000-0000-7000-8000-000000000001", "*", "sent", "", ".", "a..b", "\\u0000",
    ]

    /// JSON of the language's words, most of it senseless.
    private func json(_ dice: inout RuleDice, _ depth: Int) -> String {
        switch Int.random(in: 0..<(depth == 0 ? 4 : 8), using: &dice.generator) {
        case 0: return dice.pick(["null", "true", "false", "0", "1", "-1", "1.5", "1e308", "-9223372036854775808", "10000"])
        case 1..<4: return "\"\(dice.pick(Self.words))\""
        case 4, 5:
            return "[" + (0..<Int.random(in: 0...3, using: &dice.generator)).map { _ in json(&dice, depth - 1) }.joined(separator: ",")
                + "]"
        default:
            let keys = Set((0..<Int.random(in: 0...4, using: &dice.generator)).map { _ in dice.pick(Self.words) })
            return "{" + keys.sorted().map { "\"\($0)\":\(json(&dice, depth - 1))" }.joined(separator: ",") + "}"
        }
    }
}
