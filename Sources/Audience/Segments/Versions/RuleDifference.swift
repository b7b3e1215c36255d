// What is different between two rules, as a person would say it: this was added, that was taken away. Pure.
internal import JSON

/// One difference. Places are JSON pointers into the rule that holds the thing: `pointer` into the new rule, or into the
/// old one for what was removed; `from` into the old one where that is another place.
struct RuleChange: Hashable {
    enum Kind: String {
        case added, removed, changed, moved
        /// The same conditions under another `all`, `any`, `none` or `of`.
        case regrouped
    }
    let kind: Kind
    let pointer: String
    var from: String?
    var before: JSONValue?
    var after: JSONValue?

    var json: JSONValue {
        var object: JSONObject = ["change": .string(kind.rawValue), "pointer": .string(pointer)]
        if let from, from != pointer { object["from"] = .string(from) }
        if let before { object["before"] = before }
        if let after { object["after"] = after }
        return .object(object)
    }
}

/// Compares rules in their stored form. The order of conditions in a group says nothing, and is no difference.
struct RuleDifference {
    private var changes: [RuleChange] = []

    /// - Returns: nothing exactly when the rules mean the same, text for text.
    static func between(_ old: JSONValue, _ new: JSONValue) -> [RuleChange] {
        var difference = RuleDifference()
        difference.members(old, new, ["match"], "", "")
        difference.node(old["match"] ?? .null, new["match"] ?? .null, "/match", "/match")
        difference.findMoves()
        return difference.changes
    }

    /// - Parameters:
    ///   - from: where `old` is in the old rule.
    ///   - to: where `new` is in the new one.
    private mutating func node(_ old: JSONValue, _ new: JSONValue, _ from: String, _ to: String) {
        if isSameNode(old, new) { return }
        if let before = Group(old), let after = Group(new) {
            if before.kind != after.kind || before.wanted != after.wanted {
                changes.append(RuleChange(kind: .regrouped, pointer: to, from: from, before: before.title, after: after.title))
            }
            return children(before.children, after.children, from + "/" + before.kind, to + "/" + after.kind)
        }
        // A condition that got company, or lost it.
        if let after = Group(new), ["all", "any"].contains(after.kind), after.children.contains(where: { isSameNode($0, old) }) {
            return alone(old, at: from, among: after.children, to + "/" + after.kind, removed: false)
        }
        if let before = Group(old), ["all", "any"].contains(before.kind), before.children.contains(where: { isSameNode($0, new) }) {
            return alone(new, at: to, among: before.children, from + "/" + before.kind, removed: true)
        }
        if let before = old["not"], let after = new["not"] { return node(before, after, from + "/not", to + "/not") }
        if let subject = subject(old), subject == self.subject(new) { return members(old, new, [], from, to) }
        changes.append(RuleChange(kind: .removed, pointer: from, before: old))
        changes.append(RuleChange(kind: .added, pointer: to, after: new))
    }

    private mutating func alone(_ node: JSONValue, at place: String, among others: [JSONValue], _ group: String, removed: Bool) {
        var isFound = false
        for (index, other) in others.enumerated() {
            let there = "\(group)/\(index)"
            if !isFound, isSameNode(other, node) {
                isFound = true
                changes.append(RuleChange(kind: .moved, pointer: removed ? place : there, from: removed ? there : place))
            } else {
                changes.append(
                    removed
                        ? RuleChange(kind: .removed, pointer: there, before: other)
                        : RuleChange(kind: .added, pointer: there, after: other))
            }
        }
    }

    /// Pairs what is equal, then what speaks of the same thing; the rest came or went.
    private mutating func children(_ old: [JSONValue], _ new: [JSONValue], _ from: String, _ to: String) {
        var left = Array(old.indices)
        var right = Array(new.indices)
        func pair(_ fits: (JSONValue, JSONValue) -> Bool) -> [(Int, Int)] {
            var pairs: [(Int, Int)] = []
            for i in left {
                // One at the same place before another.
                guard let j = right.first(where: { $0 == i && fits(old[i], new[$0]) }) ?? right.first(where: { fits(old[i], new[$0]) })
                else { continue }
                pairs.append((i, j))
                right.removeAll { $0 == j }
            }
            left.removeAll { i in pairs.contains { $0.0 == i } }
            return pairs
        }
        _ = pair(isSameNode)
        for (i, j) in pair({ subject($0) != nil && subject($0) == subject($1) }) {
            node(old[i], new[j], "\(from)/\(i)", "\(to)/\(j)")
        }
        for i in left { changes.append(RuleChange(kind: .removed, pointer: "\(from)/\(i)", before: old[i])) }
        for j in right { changes.append(RuleChange(kind: .added, pointer: "\(to)/\(j)", after: new[j])) }
    }

    /// Member by member; a rule in `where` is compared as one.
    private mutating func members(_ old: JSONValue, _ new: JSONValue, _ besides: [String], _ from: String, _ to: String) {
        let (before, after) = (old.object ?? [:], new.object ?? [:])
        for key in before.keys + after.keys.filter({ before[$0] == nil }) where !besides.contains(key) {
            let (here, there) = (jsonPointer(from, key), jsonPointer(to, key))
            switch (before[key], after[key]) {
            case (let was?, let now?) where was != now:
                if key == "where" {
                    node(was, now, here, there)
                } else {
                    changes.append(RuleChange(kind: .changed, pointer: there, from: here, before: was, after: now))
                }
            case (let was?, nil): changes.append(RuleChange(kind: .removed, pointer: here, before: was))
            case (nil, let now?): changes.append(RuleChange(kind: .added, pointer: there, after: now))
            default: break
            }
        }
    }

    /// What went at one place and came at another only moved.
    private mutating func findMoves() {
        for gone in changes where gone.kind == .removed {
            guard let came = changes.firstIndex(where: { $0.kind == .added && isSameNode($0.after ?? .null, gone.before ?? .null) }),
                gone.before?.object != nil, let index = changes.firstIndex(of: gone)
            else { continue }
            changes[came] = RuleChange(kind: .moved, pointer: changes[came].pointer, from: gone.pointer)
            changes.remove(at: index)
        }
    }
}

/// A node with children.
private struct Group {
    let kind: String
    let wanted: JSONValue?
    let children: [JSONValue]

    init?(_ node: JSONValue) {
        guard let object = node.object, object["aggregate"] == nil else { return nil }
        for key in ["all", "any", "none", "of"] {
            guard let children = object[key]?.array else { continue }
            kind = key
            wanted = key == "of" ? object["at_least"] : nil
            self.children = children
            return
        }
        return nil
    }
    var title: JSONValue { wanted.map { ["at_least": $0] } ?? .string(kind) }
}

/// Equal, whatever the order inside groups.
private func isSameNode(_ a: JSONValue, _ b: JSONValue) -> Bool {
    if a == b { return true }
    if let x = Group(a), let y = Group(b) {
        guard x.kind == y.kind, x.wanted == y.wanted, x.children.count == y.children.count else { return false }
        var rest = y.children
        for child in x.children {
            guard let index = rest.firstIndex(where: { isSameNode(child, $0) }) else { return false }
            rest.remove(at: index)
        }
        return true
    }
    if let x = a["not"], let y = b["not"] { return isSameNode(x, y) }
    return false
}

/// What a condition speaks of: two that speak of the same are one that was changed.
private func subject(_ node: JSONValue) -> String? {
    if let group = Group(node) { return group.kind == "of" ? "of" : "group" }
    if node["not"] != nil { return "not" }
    for key in ["aggregate", "event", "field", "segment", "list", "consent", "campaign"] {
        guard let name = node[key]?.string else { continue }
        return key == "aggregate" ? "aggregate \(node["event"]?.string ?? "")" : "\(key) \(name)"
    }
    return ["sequence", "bucket"].first { node[$0] != nil }
}

extension RuleDifference {
    fileprivate func subject(_ node: JSONValue) -> String? { Audience.subject(node) }
}
