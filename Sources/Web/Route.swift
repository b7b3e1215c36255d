// The route table: what a feature offers. Router, permissions, rate limits and OpenAPI all read it.
public import JSON

public enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
}

/// One filter, sort or option in a route's query string. Undeclared parameters are refused by name.
public struct QueryParameter: Sendable {
    public let name: String
    public let schema: Schema
    public let description: String
    public init(_ name: String, _ schema: Schema, _ description: String) {
        self.name = name
        self.schema = schema
        self.description = description
    }
    /// What every list takes.
    public static let paging: [QueryParameter] = [
        QueryParameter("limit", .integer(1...200), "Items on a page; 50 when absent"),
        QueryParameter("cursor", .string(max: 2000), "`next_cursor` of the page before"),
        QueryParameter("sort", .string(max: 40), "The order, of which a list has one: that of its description, such as -created_at"),
    ]
}

public typealias Handler = @Sendable (Call) throws -> Response

/// One row of a route table.
public struct Route: Sendable {
    public let method: Method
    /// `/api/segments/{id}`: literal parts and named parameters.
    public let path: String
    public let handler: Handler
    public let needs: Permission
    public let limit: RateClass
    public let query: [QueryParameter]
    /// The JSON body, validated before the handler sees it. `nil`: no JSON body.
    public let body: Schema?
    /// The JSON of a 2xx answer, for documentation.
    public let answers: Schema?
    public let summary: String
    /// Query parameters are whatever the other side sends: callbacks, whose signature covers them.
    public let openQuery: Bool

    public init(
        _ method: Method, _ path: String, _ handler: @escaping Handler, needs: Permission,
        limit: RateClass = .standard, query: [QueryParameter] = [], body: Schema? = nil, answers: Schema? = nil,
        openQuery: Bool = false, _ summary: String
    ) {
        self.method = method
        self.path = path
        self.handler = handler
        self.needs = needs
        self.limit = limit
        self.query = query
        self.body = body
        self.answers = answers
        self.summary = summary
        self.openQuery = openQuery
    }

    public static func get(
        _ path: String, _ handler: @escaping Handler, needs: Permission, limit: RateClass = .standard,
        query: [QueryParameter] = [], answers: Schema? = nil, openQuery: Bool = false, _ summary: String
    ) -> Route {
        Route(.get, path, handler, needs: needs, limit: limit, query: query, answers: answers, openQuery: openQuery, summary)
    }
    public static func post(
        _ path: String, _ handler: @escaping Handler, needs: Permission, limit: RateClass = .standard,
        query: [QueryParameter] = [], body: Schema? = nil, answers: Schema? = nil, openQuery: Bool = false,
        _ summary: String
    ) -> Route {
        Route(.post, path, handler, needs: needs, limit: limit, query: query, body: body, answers: answers, openQuery: openQuery, summary)
    }
    public static func put(
        _ path: String, _ handler: @escaping Handler, needs: Permission, limit: RateClass = .standard,
        query: [QueryParameter] = [], body: Schema? = nil, answers: Schema? = nil, _ summary: String
    ) -> Route {
        Route(.put, path, handler, needs: needs, limit: limit, query: query, body: body, answers: answers, summary)
    }
    public static func patch(
        _ path: String, _ handler: @escaping Handler, needs: Permission, limit: RateClass = .standard,
        query: [QueryParameter] = [], body: Schema? = nil, answers: Schema? = nil, _ summary: String
    ) -> Route {
        Route(.patch, path, handler, needs: needs, limit: limit, query: query, body: body, answers: answers, summary)
    }
    public static func delete(
        _ path: String, _ handler: @escaping Handler, needs: Permission, limit: RateClass = .standard,
        query: [QueryParameter] = [], body: Schema? = nil, _ summary: String
    ) -> Route {
        Route(.delete, path, handler, needs: needs, limit: limit, query: query, body: body, summary)
    }
}
