internal import JSON

/// Reads a text once, left to right; goes on behind a fault so that all are told at once. docs/templates.md is its manual.
///
///     text      = { literal | "{{" value "}}" | block }
///     block     = if | unless | for | comment; `{%-` and `-%}` take the white space before and behind with them
///     if        = "{% if" condition "%}" text { "{% elsif" condition "%}" text } [ "{% else %}" text ] "{% endif %}"
///     for       = "{% for" name "in" value [ "reversed" ] [ "limit:" number ] "%}" text [ "{% else %}" text ] "{% endfor %}"
///     value     = operand { "|" filter }          filter  = name [ ":" literal { "," literal } ]
///     condition = all { "or" all }                all     = one { "and" one }
///     one       = "not" one | "(" condition ")" | value [ comparison value ]
struct TemplateParser {
    /// Blocks inside of blocks, and brackets inside of brackets.
    static let deepest = 10
    /// In Unicode scalars.
    static let longest = 500_000
    static let mostFilters = 20
    private static let mostFaults = 50

    private var lexer: TemplateLexer
    private var token = TemplateLexer.Token.end
    private var faults = Faults()
    /// The first is the text itself.
    private var open = [OpenBlock(.text, at: 0)]
    /// Where the tag begins that is being read.
    private var tag = 0
    private var trims = false
    private var depth = 0

    init(_ text: String) { lexer = TemplateLexer(text) }

    mutating func parse() throws(Faults) -> [TemplateNode] {
        guard lexer.scalars.count <= Self.longest else {
            faults.add("", "template_too_long", "The text has more than \(Self.longest) characters.")
            throw faults
        }
        while true {
            let (text, opening) = lexer.literal()
            append(literal: text, trimsEnd: opening?.trims == true)
            guard let opening, faults.list.count < Self.mostFaults else { break }
            tag = opening.start
            trims = false
            do throws(TemplateFault) {
                try advance()
                if opening.isBlock { try block() } else { append(.output(try output())) }
            } catch {
                add(error)
                lexer.recover()
            }
            guard open.count <= Self.deepest + 1 else {
                add(fault("template_too_deep", "Blocks are nested \(Self.deepest) deep at most.", at: tag))
                throw faults
            }
        }
        for block in open.dropFirst() {
            add(fault("template_unclosed", "This {% \(block.word) %} is never closed with {% end\(block.word) %}.", at: block.start))
        }
        try faults.check()
        return open[0].nodes
    }

    // MARK: Blocks

    private struct OpenBlock {
        enum Kind {
            case text, `if`, unless
            case loop(name: String, source: TemplateExpression, limit: Int?, isReversed: Bool)
        }
        let kind: Kind
        let start: Int
        /// Of the part that is being read.
        var nodes: [TemplateNode] = []
        var condition: TemplateCondition?
        var isElse = false
        /// The parts that were read before.
        var parts: [TemplateBranch] = []

        init(_ kind: Kind, at start: Int, _ condition: TemplateCondition? = nil) {
            self.kind = kind
            self.start = start
            self.condition = condition
        }

        var word: String {
            switch kind {
            case .text: ""
            case .if: "if"
            case .unless: "unless"
            case .loop: "for"
            }
        }
        /// The name of the item where it can be read: not in the `else` of its loop.
        var item: String? { if case .loop(let name, _, _, _) = kind, !isElse { name } else { nil } }

        mutating func beginPart(_ condition: TemplateCondition?, isElse: Bool) {
            parts.append(TemplateBranch(condition: self.condition, nodes: nodes))
            nodes = []
            self.condition = condition
            self.isElse = isElse
        }

        var node: TemplateNode {
            guard case .loop(_, let source, let limit, let isReversed) = kind else {
                return .branches(parts + [TemplateBranch(condition: condition, nodes: nodes)])
            }
            return .loop(
                TemplateLoop(
                    source: source, limit: limit, isReversed: isReversed, body: parts.first?.nodes ?? nodes,
                    otherwise: parts.isEmpty ? [] : nodes))
        }
    }

    private mutating func block() throws(TemplateFault) {
        guard case .path(let word) = token else {
            throw token == .end ? unclosed() : fault("template_unexpected", "Expected if, unless, for or comment here.")
        }
        let at = lexer.start
        try advance()
        switch word {
        // A block whose head is wrong is opened all the same: its end is none too many.
        case "if", "unless":
            open.append(OpenBlock(word == "if" ? .if : .unless, at: tag, .never))
            let condition = try condition()
            open[open.count - 1].condition = word == "if" ? condition : .not(condition)
        case "for":
            let source = TemplateExpression(operand: .literal(.null))
            open.append(OpenBlock(.loop(name: "", source: source, limit: nil, isReversed: false), at: tag))
            open[open.count - 1] = OpenBlock(try loop(), at: tag)
        case "elsif":
            guard open.last!.word == "if", !open.last!.isElse else { throw unopened(word, at) }
            open[open.count - 1].beginPart(.never, isElse: false)
            open[open.count - 1].condition = try condition()
        case "else":
            guard open.count > 1, !open.last!.isElse else { throw unopened(word, at) }
            open[open.count - 1].beginPart(nil, isElse: true)
        case "endif", "endunless", "endfor":
            guard word == "end" + open.last!.word else { throw unopened(word, at) }
            let closed = open.removeLast()
            append(closed.node)
        case "comment":
            try finish()
            guard let end = lexer.skip(past: "endcomment") else {
                throw fault("template_unclosed", "This {% comment %} is never closed with {% endcomment %}.", at: tag)
            }
            trims = end.trims
            return
        case "endcomment": throw unopened(word, at)
        default:
            throw fault("template_unknown_tag", "There is no {% \(word.prefix(50)) %}; there are if, unless, for and comment.", at: at)
        }
        try finish()
    }

    private mutating func loop() throws(TemplateFault) -> OpenBlock.Kind {
        guard case .path(let name) = token, !name.contains("."), name != "forloop" else {
            throw expected("a name for the items, as in {% for item in attributes.items %}")
        }
        try advance()
        guard token == .path("in") else { throw expected("`in`, as in {% for item in attributes.items %}") }
        try advance()
        // The name is not yet that of an item: `{% for tag in tag.parts %}` of a loop within a loop reads the outer one.
        let source = try value()
        var isReversed = false
        var limit: Int?
        while case .path(let word) = token, word == "reversed" || word == "limit" {
            try advance()
            guard word == "limit" else {
                isReversed = true
                continue
            }
            guard token == .symbol(":") else { throw expected("a colon, as in limit: 5") }
            try advance()
            guard case .number(let text) = token, let number = Int(text), (1...TemplateRenderer.mostIterations).contains(number) else {
                throw fault("template_bad_argument", "A limit is a number from 1 to \(TemplateRenderer.mostIterations).")
            }
            limit = number
            try advance()
        }
        return .loop(name: name, source: source, limit: limit, isReversed: isReversed)
    }

    // MARK: Conditions

    private mutating func condition() throws(TemplateFault) -> TemplateCondition {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepest else {
            throw fault("template_too_deep", "Brackets are nested \(Self.deepest) deep at most.")
        }
        var alternatives = [try conjunction()]
        while token == .path("or") {
            try advance()
            alternatives.append(try conjunction())
        }
        return alternatives.count == 1 ? alternatives[0] : .any(alternatives)
    }

    private mutating func conjunction() throws(TemplateFault) -> TemplateCondition {
        var parts = [try single()]
        while token == .path("and") {
            try advance()
            parts.append(try single())
        }
        return parts.count == 1 ? parts[0] : .all(parts)
    }

    private mutating func single() throws(TemplateFault) -> TemplateCondition {
        var isNegated = false
        while token == .path("not") {
            isNegated.toggle()
            try advance()
        }
        let condition: TemplateCondition
        if token == .symbol("(") {
            try advance()
            condition = try self.condition()
            guard token == .symbol(")") else { throw expected("a closing bracket") }
            try advance()
        } else {
            let first = try value()
            switch token {
            case .symbol(let word), .path(let word):
                guard let comparison = TemplateCondition.Comparison(rawValue: word) else { fallthrough }
                try advance()
                condition = .compare(first, comparison, try value())
            default: condition = .holds(first)
            }
        }
        return isNegated ? .not(condition) : condition
    }

    // MARK: Values

    /// What `{{ … }}` writes: a variable or a text in quotes.
    private mutating func output() throws(TemplateFault) -> TemplateExpression {
        var expression: TemplateExpression
        switch token {
        case .text(let text): expression = TemplateExpression(operand: .literal(.string(text)))
        case .path(let path): expression = TemplateExpression(operand: try resolve(path))
        case .close: throw fault("template_empty_variable", "Expected the name of a variable, such as first_name or attributes.city.")
        default: throw expected("the name of a variable, such as first_name or attributes.city")
        }
        try advance()
        expression.filters = try filters()
        try finish("| or }}")
        return expression
    }

    /// A value in a condition or of a loop.
    private mutating func value() throws(TemplateFault) -> TemplateExpression {
        let operand: TemplateOperand
        switch token {
        case .text(let text): operand = .literal(.string(text))
        case .number(let text): operand = .literal(number(text))
        case .path("true"): operand = .literal(true)
        case .path("false"): operand = .literal(false)
        case .path("null"), .path("nil"): operand = .literal(.null)
        case .path("blank"), .path("empty"): operand = .blank
        case .path(let path): operand = try resolve(path)
        default: throw expected("a variable, a text in quotes or a number")
        }
        try advance()
        return TemplateExpression(operand: operand, filters: try filters())
    }

    /// What a name means here: the item of a loop that is open, else a field of the contact.
    private func resolve(_ path: String) throws(TemplateFault) -> TemplateOperand {
        let names = path.split(separator: ".").map(String.init)
        let items = open.compactMap(\.item)
        if names[0] == "forloop", !items.isEmpty {
            guard names.count == 2, let field = TemplateOperand.ForLoop(rawValue: names[1]) else {
                let known = TemplateOperand.ForLoop.allCases.map { "forloop.\($0.rawValue)" }.joined(separator: ", ")
                throw fault("template_unexpected", "A loop has \(known).")
            }
            return .forloop(field)
        }
        if let loop = items.lastIndex(of: names[0]) { return .item(loop: loop, path: Array(names.dropFirst())) }
        return .contact(TemplateVariable(path))
    }

    private mutating func filters() throws(TemplateFault) -> [TemplateFilter] {
        var filters: [TemplateFilter] = []
        while token == .symbol("|") {
            try advance()
            guard case .path(let name) = token else {
                throw token == .end ? unclosed() : fault("template_unexpected", "Expected the name of a filter behind |.")
            }
            guard filters.count < Self.mostFilters else {
                throw fault("template_too_deep", "A value has \(Self.mostFilters) filters at most.")
            }
            guard let usage = TemplateFilter.usage(of: name) else {
                let names = TemplateFilter.usages.map(\.name).joined(separator: ", ")
                throw fault("template_unknown_filter", "There is no filter `\(name.prefix(50))`; there are \(names).")
            }
            try advance()
            var arguments = TemplateArguments(usage: usage)
            var separator = ":"
            while token == .symbol(separator) {
                try advance()
                switch token {
                case .text(let text): arguments.add(.string(text), at: lexer.start)
                case .number(let text): arguments.add(number(text), at: lexer.start)
                default: throw fault("template_bad_argument", "`\(name)` is written \(usage).")
                }
                try advance()
                separator = ","
            }
            arguments.end = lexer.start
            filters.append(try TemplateFilter(name, &arguments))
        }
        return filters
    }

    private func number(_ text: String) -> JSONValue { Int64(text).map { .integer($0) } ?? .real(Double(text) ?? 0) }

    // MARK: Tokens and faults

    private mutating func advance() throws(TemplateFault) { token = try lexer.next() }

    /// The end of the tag.
    private mutating func finish(_ wanted: String = "%}") throws(TemplateFault) {
        guard case .close(let trims) = token else { throw expected(wanted) }
        self.trims = trims
    }

    private mutating func append(_ node: TemplateNode) { open[open.count - 1].nodes.append(node) }

    private mutating func append(literal text: String, trimsEnd: Bool) {
        var scalars = text.unicodeScalars[...]
        if trims { scalars = scalars.drop { $0.properties.isWhitespace } }
        if trimsEnd { while scalars.last?.properties.isWhitespace == true { scalars.removeLast() } }
        trims = false
        if !scalars.isEmpty { append(.literal(String(scalars))) }
    }

    private mutating func add(_ fault: TemplateFault) { faults.add("", fault.code, lexer.place(fault.position) + fault.detail) }

    private func fault(_ code: String, _ detail: String, at position: Int? = nil) -> TemplateFault {
        TemplateFault(position: position ?? lexer.start, code: code, detail: detail)
    }
    private func expected(_ what: String) -> TemplateFault {
        token == .end ? unclosed() : fault("template_unexpected", "Expected \(what) here.")
    }
    private func unclosed() -> TemplateFault {
        fault("template_unclosed", "This tag is never closed with }} or %}.", at: tag)
    }
    private func unopened(_ word: String, _ position: Int) -> TemplateFault {
        fault("template_unopened", "There is nothing open here that {% \(word) %} could belong to.", at: position)
    }
}

extension Faults {
    /// The same faults, found at `pointer` of a larger whole.
    func moved(to pointer: String) -> Faults {
        var moved = Faults()
        for fault in list { moved.add(pointer + fault.pointer, fault.code, fault.detail) }
        return moved
    }
}
