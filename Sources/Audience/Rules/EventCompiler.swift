// What contacts did, in SQL. Always a question about the existence of rows, so that nobody without events is lost:
// where none would do, the question is whether there is a wrong number of them.
//
// EXISTS becomes one hash join for all contacts, or an index scan for one. A grouped subselect is hashed; RuleLibrary
// gives the memory, because beyond it a large IN would end as a nested scan.
internal import PostgreSQL

extension RuleCompiler {
    mutating func event(_ leaf: EventLeaf) -> String {
        if leaf.which != .any { return firstOrLast(leaf) }
        let source = events(leaf.name, leaf.window, leaf.condition)
        if case .compares(">=", 1) = leaf.count { return "EXISTS (SELECT FROM \(source) AND e.contact_id = c.id)" }
        if case .compares("=", 0) = leaf.count { return "NOT EXISTS (SELECT FROM \(source) AND e.contact_id = c.id)" }
        let count = count("count(*)", leaf.count)
        return leaf.count.holds(0) ? complement(group(source, having: "NOT (\(count))")) : group(source, having: count)
    }

    /// Only one event of each contact is looked at: the first or last of its name. Whether it lies in the window and
    /// meets the condition comes after.
    private mutating func firstOrLast(_ leaf: EventLeaf) -> String {
        // There is one such event or none. A parameter that nothing uses would be refused, so nothing is bound for these.
        if leaf.count.holds(1) == leaf.count.holds(0) { return leaf.count.holds(1) ? "true" : "false" }
        let order = leaf.which == .first ? "ASC" : "DESC"
        let tests = conditions(leaf.window, leaf.condition)
        let one = """
            EXISTS (SELECT FROM (SELECT DISTINCT ON (e.contact_id) e.contact_id, e.occurred_at, e.properties FROM \(relation("events e")) \
            WHERE e.workspace_id = \(workspace) AND e.name = \(bind(leaf.name, "text"))\(among("e.contact_id")) \
            ORDER BY e.contact_id, e.occurred_at \(order), e.id \(order)) e \
            WHERE \((["e.contact_id = c.id"] + tests).joined(separator: " AND ")))
            """
        return leaf.count.holds(1) ? one : complement(one)
    }

    mutating func aggregate(_ leaf: AggregateLeaf) -> String {
        let source = events(leaf.name, leaf.window, leaf.condition)
        guard !leaf.property.isEmpty else { return aggregate(leaf, source, number(leaf.operation, "count(*)::numeric")) }
        let property = FieldValue(.property(leaf.property), .number, &self)
        let test: String
        switch leaf.function {
        case .sum: test = number(leaf.operation, "coalesce(sum(\(property.number)), 0)")
        case .avg: test = average(leaf.operation, property.number)
        case .min: test = number(leaf.operation, "min(\(property.number))")
        case .max: test = number(leaf.operation, "max(\(property.number))")
        case .count: test = number(leaf.operation, "count(\(property.text))::numeric")
        case .distinct: test = number(leaf.operation, "count(DISTINCT lower(\(property.text)))::numeric")
        }
        return aggregate(leaf, source, test)
    }

    private func aggregate(_ leaf: AggregateLeaf, _ source: String, _ test: String) -> String {
        // Nothing sums to 0 and is counted as 0; it has no average, least or greatest.
        let ofNothing = [.sum, .count, .distinct].contains(leaf.function) ? 0.0 : nil
        return leaf.operation.holds(ofNothing)
            ? complement(group(source, having: "(\(test)) IS NOT TRUE")) : group(source, having: test)
    }

    /// Compared as the sum with so many times the other side: a quotient would be rounded, and how depends on who divides.
    private mutating func average(_ operation: Operation, _ property: String) -> String {
        let (sum, count) = ("sum(\(property))", "count(\(property))")
        switch operation {
        case .complement(let positive): return complement(average(positive, property))
        case .isKnown: return "(\(sum) IS NOT NULL)"
        case .numberIs(let numbers):
            return "(" + numbers.map { "\(sum) = \(bind($0, "numeric")) * \(count)" }.joined(separator: " OR ") + ")"
        case .numberCompares(let symbol, let number): return "(\(sum) \(symbol) \(bind(number, "numeric")) * \(count))"
        case .numberBetween(let low, let high):
            return "(\(sum) BETWEEN \(bind(low, "numeric")) * \(count) AND \(bind(high, "numeric")) * \(count))"
        default: preconditionFailure("aggregates are numbers")
        }
    }

    /// Those of the group are hashed once. Not as a join: where the planner expects few contacts to be left of the other
    /// conditions, it would go through the whole group again for each that is. IS TRUE keeps it from making a join.
    private func group(_ source: String, having condition: String) -> String {
        "((c.id IN (SELECT e.contact_id FROM \(source) GROUP BY e.contact_id HAVING \(condition))) IS TRUE)"
    }

    /// `events e WHERE …`, to which AND can be added.
    mutating func events(_ name: String, _ window: Window?, _ condition: Node?) -> String {
        let named = "e.workspace_id = \(workspace) AND e.name = \(bind(name, "text"))" + among("e.contact_id")
        return "\(relation("events e")) WHERE " + ([named] + conditions(window, condition)).joined(separator: " AND ")
    }

    private mutating func conditions(_ window: Window?, _ condition: Node?) -> [String] {
        var tests: [String] = []
        if let window { tests.append(isWithin("e.occurred_at", span(window))) }
        if let condition { tests.append(sql(condition)) }
        return tests
    }
}

extension Operation {
    /// Whether a number operator holds for a number, or for none.
    fileprivate func holds(_ number: Double?) -> Bool {
        switch self {
        case .complement(let positive): return !positive.holds(number)
        case .isKnown: return number != nil
        case .numberIs(let numbers): return number != nil && numbers.contains { Double($0) == number }
        case .numberCompares(let symbol, let text):
            guard let number, let other = Double(text) else { return false }
            switch symbol {
            case "<": return number < other
            case "<=": return number <= other
            case ">": return number > other
            default: return number >= other
            }
        case .numberBetween(let low, let high):
            guard let number, let low = Double(low), let high = Double(high) else { return false }
            return low <= number && number <= high
        default: preconditionFailure("aggregates are numbers")
        }
    }
}
