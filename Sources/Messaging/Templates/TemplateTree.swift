internal import JSON

/// What a template does, in order.
indirect enum TemplateNode: Sendable, Hashable {
    case literal(String)
    case output(TemplateExpression)
    /// The first whose condition holds; one without a condition always holds.
    case branches([TemplateBranch])
    case loop(TemplateLoop)
}

struct TemplateBranch: Sendable, Hashable {
    let condition: TemplateCondition?
    let nodes: [TemplateNode]
}

struct TemplateLoop: Sendable, Hashable {
    let source: TemplateExpression
    let limit: Int?
    let isReversed: Bool
    let body: [TemplateNode]
    /// When there is nothing to go through.
    let otherwise: [TemplateNode]
}

struct TemplateExpression: Sendable, Hashable {
    let operand: TemplateOperand
    var filters: [TemplateFilter] = []
    /// Something is written even of a contact who has no such field.
    var hasFallback: Bool { filters.contains { $0.isFallback } }
}

enum TemplateOperand: Sendable, Hashable {
    case literal(JSONValue)
    /// What `x == blank` compares with: missing, white space or an empty list.
    case blank
    case contact(TemplateVariable)
    /// The item of an open loop, counted from the outermost, and a way into it.
    case item(loop: Int, path: [String])
    case forloop(ForLoop)
    enum ForLoop: String, Sendable, CaseIterable { case index, index0, first, last, length }
}

indirect enum TemplateCondition: Sendable, Hashable {
    /// Stands where a condition could not be read.
    case never
    /// Neither missing nor `false` nor blank nor an empty list.
    case holds(TemplateExpression)
    case compare(TemplateExpression, Comparison, TemplateExpression)
    case not(TemplateCondition)
    case all([TemplateCondition])
    case any([TemplateCondition])
    enum Comparison: String, Sendable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case contains
    }
}

// MARK: What it reads

/// The fields of contacts that a template reads, each once, in the order of their first use.
struct TemplateReads {
    private(set) var found: [(variable: TemplateVariable, hasFallback: Bool)] = []

    /// - Parameter given: fields that are there wherever these nodes are rendered, as the conditions around them have seen.
    mutating func read(_ nodes: [TemplateNode], given: Set<TemplateVariable> = []) {
        for node in nodes {
            switch node {
            case .literal: break
            case .output(let expression): read(expression, isHole: true, given)
            case .branches(let branches):
                for branch in branches {
                    if let condition = branch.condition { read(condition) }
                    read(branch.nodes, given: given.union(branch.condition?.presupposed ?? []))
                }
            case .loop(let loop):
                read(loop.source, isHole: loop.otherwise.isEmpty, given)
                read(loop.body, given: given)
                read(loop.otherwise, given: given)
            }
        }
    }

    private mutating func read(_ condition: TemplateCondition) {
        switch condition {
        case .never: break
        case .holds(let expression): read(expression, isHole: false, [])
        case .compare(let first, _, let second):
            read(first, isHole: false, [])
            read(second, isHole: false, [])
        case .not(let condition): read(condition)
        case .all(let conditions), .any(let conditions): for condition in conditions { read(condition) }
        }
    }

    private mutating func read(_ expression: TemplateExpression, isHole: Bool, _ given: Set<TemplateVariable>) {
        guard case .contact(let variable) = expression.operand else { return }
        let hasFallback = !isHole || expression.hasFallback || given.contains(variable)
        if let index = found.firstIndex(where: { $0.variable == variable }) {
            found[index].hasFallback = found[index].hasFallback && hasFallback
        } else {
            found.append((variable, hasFallback))
        }
    }
}

extension TemplateCondition {
    /// Fields without which it never holds.
    var presupposed: Set<TemplateVariable> {
        switch self {
        case .never, .not: []
        case .holds(let expression): TemplateCondition.field(expression)
        case .compare(let first, .equal, let second):
            if case .literal(let value) = second.operand, !value.isNull { TemplateCondition.field(first) } else { [] }
        case .compare(let first, .notEqual, let second):
            if second.operand == .blank || second.operand == .literal(.null) { TemplateCondition.field(first) } else { [] }
        case .compare(let first, _, _): TemplateCondition.field(first)
        case .all(let conditions): conditions.reduce([]) { $0.union($1.presupposed) }
        case .any(let conditions):
            conditions.dropFirst().reduce(conditions.first?.presupposed ?? []) { $0.intersection($1.presupposed) }
        }
    }

    private static func field(_ expression: TemplateExpression) -> Set<TemplateVariable> {
        if case .contact(let variable) = expression.operand, !expression.hasFallback { [variable] } else { [] }
    }
}
