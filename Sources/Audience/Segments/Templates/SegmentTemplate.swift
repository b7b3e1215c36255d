// Rules for common questions, made for a workspace from its own fields and events. Pure.
internal import JSON

/// A question that many teams ask, with what they may set.
struct SegmentTemplate: Sendable {
    let key: String
    let name: String
    let description: String
    let parameters: [TemplateParameter]
    /// The rule's `match`, of values for all parameters.
    let match: @Sendable (TemplateValues) -> JSONValue

    init(
        _ key: String, _ name: String, _ description: String, _ parameters: [TemplateParameter] = [],
        match: @escaping @Sendable (TemplateValues) -> JSONValue
    ) {
        self.key = key
        self.name = name
        self.description = description
        self.parameters = parameters
        self.match = match
    }
}

/// Something of a template that can be set.
struct TemplateParameter: Sendable {
    enum Kind: Sendable {
        case days(Int)
        case count(Int)
        /// A field of one of these types; words by which to guess which one is meant.
        case field([FieldType], words: [String])
        /// A number that only a few reach in the field of this parameter; the workspace says which.
        case high(of: String)
        /// The name of an event that comes in here.
        case event
        /// May be left out, and then asks nothing.
        case text
    }
    let name: String
    let description: String
    let kind: Kind
    init(_ name: String, _ description: String, _ kind: Kind) {
        self.name = name
        self.description = description
        self.kind = kind
    }
}

/// What a workspace has that templates can ask about.
struct TemplateContext: Sendable {
    /// Built-in fields among them.
    var fields: [(key: String, type: FieldType)] = []
    /// Events that came in, the most frequent first; not those that we make.
    var events: [String] = []
    /// Of number fields, the value that one contact in ten reaches.
    var high: [String: Double] = [:]
    /// Silence means yes.
    var optOut = false

    /// The field that is meant: the first word that one of them is named like, then any of the type.
    func guess(_ types: [FieldType], _ words: [String]) -> String? {
        let own = fields.filter { types.contains($0.type) && $0.key.hasPrefix("attributes.") }.map(\.key).sorted()
        for word in words {
            if let named = own.first(where: { $0.lowercased().contains(word) }) { return named }
        }
        return words.isEmpty ? own.first : nil
    }
}

/// Values for all parameters of a template.
struct TemplateValues: Sendable {
    let values: [String: JSONValue]
    let optOut: Bool
    func days(_ name: String = "days") -> JSONValue { .string("\(values[name]?.integer ?? 0)d") }
    subscript(name: String) -> JSONValue { values[name] ?? .null }

    /// Whom a campaign of this channel could reach, as far as consent and address go.
    func reachable(_ channel: String) -> JSONValue {
        let address: JSONValue = ["field": channel == "sms" ? "phone" : "email", "op": "is_known"]
        let consent: JSONValue =
            optOut
            ? ["not": ["consent": .string(channel), "state": "opted_out"]] : ["consent": .string(channel), "state": "opted_in"]
        return ["all": [address, consent]]
    }
}

extension SegmentTemplate {
    /// What cannot be guessed in this workspace, by parameter, in words.
    func missing(_ context: TemplateContext) -> [(parameter: String, detail: String)] {
        parameters.compactMap { parameter in
            guard suggestion(parameter, context) == nil else { return nil }
            switch parameter.kind {
            case .field(let types, let words):
                let kinds = types.map(\.rawValue).joined(separator: " or ")
                let like = words.isEmpty ? "" : " named like \(words.joined(separator: ", "))"
                return (parameter.name, "No \(kinds) field\(like) was found here; name the one that is meant.")
            case .high: return (parameter.name, "No number could be suggested; say from which on a value is high.")
            case .event: return (parameter.name, "No events have come in here; name the one that is meant.")
            default: return nil
            }
        }
    }

    /// What a parameter is when nobody sets it.
    func suggestion(_ parameter: TemplateParameter, _ context: TemplateContext) -> JSONValue? {
        switch parameter.kind {
        case .days(let number), .count(let number): JSONValue(number)
        case .field(let types, let words): context.guess(types, words).map { .string($0) }
        case .event: context.events.first.map { .string($0) }
        case .high(let field):
            parameters.first { $0.name == field }.flatMap { suggestion($0, context)?.string }.flatMap { context.high[$0] }.map { .real($0) }
        case .text: nil
        }
    }

    /// The rule with these values, and suggestions for the rest.
    /// - Throws: a fault for each value that is wrong, or missing and not to be guessed.
    func rule(_ given: JSONObject, _ context: TemplateContext, at pointer: String = "/parameters") throws -> JSONValue {
        var faults = Faults()
        for key in given.keys where !parameters.contains(where: { $0.name == key }) {
            let known = parameters.isEmpty ? "it has none" : "known: \(parameters.map(\.name).joined(separator: ", "))"
            faults.add(jsonPointer(pointer, key), "unknown_member", "The template has no parameter `\(key.prefix(60))`; \(known).")
        }
        var values: [String: JSONValue] = [:]
        let unguessed = missing(context)
        for parameter in parameters {
            let place = jsonPointer(pointer, parameter.name)
            if let value = given[parameter.name] {
                parameter.check(value, context, place, &faults)
                values[parameter.name] = value
            } else if let gap = unguessed.first(where: { $0.parameter == parameter.name }) {
                faults.add(place, "required", gap.detail)
            } else {
                values[parameter.name] = suggestion(parameter, context)
            }
        }
        try faults.check()
        return ["version": 1, "timezone": "workspace", "match": match(TemplateValues(values: values, optOut: context.optOut))]
    }

    /// As the API shows it in this workspace.
    func json(_ context: TemplateContext) -> JSONValue {
        let gaps = missing(context)
        var rule: JSONValue = .null
        if gaps.isEmpty { do { rule = try self.rule([:], context) } catch {} }
        return [
            "key": .string(key), "name": .string(name), "description": .string(description),
            "parameters": .array(
                parameters.map {
                    [
                        "name": .string($0.name), "type": .string($0.typeName), "description": .string($0.description),
                        "default": suggestion($0, context) ?? .null,
                    ]
                }),
            "rule": rule,
            "missing": .array(gaps.map { ["parameter": .string($0.parameter), "detail": .string($0.detail)] }),
        ]
    }
}

extension TemplateParameter {
    var typeName: String {
        switch kind {
        case .days: "days"
        case .count: "count"
        case .field: "field"
        case .high: "number"
        case .event: "event"
        case .text: "text"
        }
    }

    func check(_ value: JSONValue, _ context: TemplateContext, _ place: String, _ faults: inout Faults) {
        switch kind {
        case .days, .count:
            if !(1...3650).contains(value.integer ?? 0) { faults.add(place, "out_of_range", "A whole number from 1 to 3650.") }
        case .high: if value.real == nil { faults.add(place, "wrong_type", "Expected a number.") }
        case .event, .text:
            if !(1...200).contains(value.string?.unicodeScalars.count ?? 0) {
                faults.add(place, "wrong_type", "Expected text of 1 to 200 characters.")
            }
        case .field(let types, _):
            guard let key = value.string, let field = context.fields.first(where: { $0.key == key }) else {
                return faults.add(place, "unknown_field", "There is no such field.")
            }
            if !types.contains(field.type) {
                faults.add(
                    place, "wrong_type",
                    "\(key) is a \(field.type.rawValue) field; expected \(types.map(\.rawValue).joined(separator: " or ")).")
            }
        }
    }
}
