internal import JSON

extension Schema {
    /// A query parameter's text as the JSON that this schema describes, so that one validation serves both.
    /// Text that is not of the type stays text, and the validation says so.
    func value(ofQueryText text: String) -> JSONValue {
        switch self {
        case .integer: Int64(text).map { .integer($0) } ?? .string(text)
        case .number: Double(text).map { $0.isFinite ? .real($0) : .string(text) } ?? .string(text)
        case .boolean: text == "true" ? true : text == "false" ? false : .string(text)
        case .described(let schema, _, _): schema.value(ofQueryText: text)
        case .nullable(let schema): schema.value(ofQueryText: text)
        default: .string(text)
        }
    }
}
