// One input of the rule parser, whatever it is: what fuzzing calls, and what the tests call with the kept corpus.
import Audience
import JSON
import Vocabulary
import Web

/// Takes bytes as a rule in a request's body and stops the process where parser or compiler break their word: JSON that
/// was read can be written and read again, a rule that was accepted is accepted as it is stored and means the same,
/// and every fault has a place inside the rule.
public func tryRuleInput(_ bytes: [UInt8]) {
    guard let json = try? JSONValue(parsing: bytes) else { return }
    let written = try? JSONValue(parsing: json.text)
    precondition(written == json, "JSON changes when it is written")
    do {
        let rule = try RuleParser.parse(json, context: context)
        let stored = try RuleParser.parse(rule.json, context: context)
        precondition(stored.json == rule.json && stored.dependencies == rule.dependencies, "a stored rule reads differently")
        let compiled = RuleCompiler.compile(rule, scope)
        precondition(compiled.predicate == RuleCompiler.compile(stored, scope).predicate, "a stored rule compiles differently")
    } catch let faults as Faults {
        precondition(faults.list.allSatisfy { $0.pointer == "/rule" || $0.pointer.hasPrefix("/rule/") }, "a fault is nowhere")
    } catch {
        preconditionFailure("\(error)")
    }
}

/// Ids that inputs may name: segment 1, list 2, campaign 3.
private let context: RuleContext = {
    var context = RuleContext()
    for type in FieldType.allCases {
        context.attributeTypes["attributes.\(type.rawValue)"] = type
        context.attributeTypes["attributes.nested.\(type.rawValue)"] = type
    }
    context.segments = [SegmentID("00000000-0000-7000-8000-000000000001")!]
    context.lists = [ListID("00000000-0000-7000-8000-000000000002")!]
    context.campaigns = [CampaignID("00000000-0000-7000-8000-000000000003")!]
    context.zones = ["UTC", "Europe/Berlin"]
    return context
}()

private let scope = RuleScope(
    workspace: WorkspaceID("00000000-0000-7000-8000-000000000004")!, zone: "UTC", now: Instant(microseconds: 1_800_000_000_000_000))
