// Leaves about events and segments.
internal import JSON
internal import Vocabulary

extension RuleParser {
    mutating func segmentLeaf(_ object: JSONObject, _ pointer: String) -> Node {
        onlyMembers(object, ["segment", "was", "within"], pointer)
        guard let id = object["segment"]?.string.flatMap({ SegmentID($0) }), context.segments.contains(id) else {
            faults.add(pointer + "/segment", "unknown_segment", "There is no such segment.")
            return .all([])
        }
        dependencies.segments.insert(id)
        guard let was = object["was"] else {
            if object["within"] != nil { faults.add(pointer + "/was", "required", "A window asks about the past: add `was`.") }
            return .segment(id)
        }
        if was.bool != true { faults.add(pointer + "/was", "wrong_type", "`was` is true where it is given.") }
        guard let within = object["within"] else {
            faults.add(pointer + "/within", "required", "`was` needs a window.")
            return .segment(id)
        }
        return .wasInSegment(id, pastWindow(within, pointer + "/within"))
    }

    /// The name in `event`. What segments themselves tell of is not readable: a rule over it would feed itself.
    mutating func eventName(_ object: JSONObject, _ pointer: String) -> String {
        let name = text(object["event"], pointer + "/event", 200)
        if name.hasPrefix("segment.") {
            faults.add(
                pointer + "/event", "reserved_event",
                "Rules do not read events of segments: ask for `{\"segment\": ID}`, or with `was` and `within` for the past.")
        }
        dependencies.events.insert(name)
        return name
    }

    mutating func eventLeaf(_ object: JSONObject, _ pointer: String, _ depth: Int) -> Node {
        onlyMembers(object, ["event", "count", "within", "where", "which"], pointer)
        let name = eventName(object, pointer)
        let count = object["count"].map { countCondition($0, pointer + "/count") } ?? .compares(">=", 1)
        let which = object["which"].flatMap { value -> EventLeaf.Which? in
            guard let which = value.string.flatMap(EventLeaf.Which.init(rawValue:)) else {
                faults.add(pointer + "/which", "not_one_of", "Expected any, first or last.")
                return nil
            }
            return which
        }
        return .event(
            EventLeaf(
                name: name, count: count, window: object["within"].map { window($0, pointer + "/within") },
                condition: condition(object["where"], pointer, depth), which: which ?? .any))
    }

    mutating func aggregateLeaf(_ object: JSONObject, _ pointer: String, _ depth: Int) -> Node {
        onlyMembers(object, ["aggregate", "of", "event", "within", "where", "op", "value"], pointer)
        let function = object["aggregate"]?.string.flatMap(AggregateLeaf.Function.init(rawValue:))
        if function == nil { faults.add(pointer + "/aggregate", "not_one_of", "Expected sum, avg, min, max, count or distinct.") }
        let name = eventName(object, pointer)
        let isBareCount = function == .count && object["of"] == nil
        let property = isBareCount ? [] : keys(text(object["of"], pointer + "/of", 300))
        let operation = self.operation(object, .number, pointer, "op")
        return .aggregate(
            AggregateLeaf(
                function: function ?? .count, property: property, name: name,
                window: object["within"].map { window($0, pointer + "/within") },
                condition: condition(object["where"], pointer, depth), operation: operation ?? .numberIs(["0"])))
    }

    mutating func condition(_ json: JSONValue?, _ pointer: String, _ depth: Int) -> Node? {
        guard let json else { return nil }
        isInsideEvent = true
        defer { isInsideEvent = false }
        return node(json, pointer + "/where", depth + 1)
    }

    /// Steps of a path, written with dots. Nothing is left out, so a path is never empty.
    func keys(_ path: String) -> [String] { path.split(separator: ".", omittingEmptySubsequences: false).map(String.init) }
}
