// OpenAPI 3.1, made from the route tables that serve.
public import JSON

/// The document of all routes given.
public func openAPIDocument(_ routes: [Route], publicURL: String, version: String) -> JSONValue {
    var paths: JSONObject = [:]
    for route in routes {
        var item = paths[route.path]?.object ?? [:]
        item[route.method.rawValue.lowercased()] = operation(route)
        paths[route.path] = .object(item)
    }
    return [
        "openapi": "3.1.0",
        "info": ["title": "Muster", "version": .string(version), "license": ["name": "See the repository"]],
        "servers": [["url": .string(publicURL)]],
        "paths": .object(paths),
        "components": [
            "securitySchemes": [
                "bearer": ["type": "http", "scheme": "bearer", "description": "An API key or a session token"]
            ],
            "schemas": ["Problem": problemSchema],
        ],
    ]
}

private func operation(_ route: Route) -> JSONValue {
    var operation: JSONObject = [
        "summary": .string(route.summary),
        "operationId": .string(operationID(route)),
        "tags": [.string(route.path.split(separator: "/").dropFirst().first.map(String.init) ?? "other")],
    ]
    if route.needs == .anyone {
        operation["security"] = []
    } else {
        operation["security"] = [["bearer": []]]
        if !route.needs.scope.isEmpty { operation["x-scope"] = .string(route.needs.scope) }
        operation["x-roles"] = .array(route.needs.roles.map { .string($0.rawValue) })
    }
    let parameters =
        pathParameters(route)
        + route.query.map { parameter in
            [
                "name": .string(parameter.name), "in": "query", "required": false,
                "description": .string(parameter.description), "schema": parameter.schema.openAPI,
            ] as JSONValue
        }
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = route.body {
        operation["requestBody"] = ["required": true, "content": ["application/json": ["schema": body.openAPI]]]
    }
    var success: JSONObject = ["description": "Done"]
    if let answers = route.answers { success["content"] = ["application/json": ["schema": answers.openAPI]] }
    let problem: JSONValue = [
        "description": "What went wrong (RFC 9457)",
        "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
    ]
    operation["responses"] = ["2XX": .object(success), "4XX": problem, "5XX": problem]
    return .object(operation)
}

private func pathParameters(_ route: Route) -> [JSONValue] {
    route.path.split(separator: "/").filter { $0.hasPrefix("{") }.map { part in
        let name = String(part.dropFirst().dropLast())
        let isID = name == "id" || name.hasSuffix("_id")
        return [
            "name": .string(name), "in": "path", "required": true,
            "schema": isID ? ["type": "string", "format": "uuid"] : ["type": "string"],
        ]
    }
}

private func operationID(_ route: Route) -> String {
    let parts = route.path.split { "/{}-".contains($0) }.map(String.init)
    return ([route.method.rawValue.lowercased()] + parts).joined(separator: "_")
}

private let problemSchema: JSONValue = [
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": [
        "type": ["type": "string", "format": "uri"], "title": ["type": "string"], "status": ["type": "integer"],
        "detail": ["type": "string"], "code": ["type": "string"], "request_id": ["type": "string"],
        "errors": [
            "type": "array",
            "items": [
                "type": "object",
                "properties": [
                    "pointer": ["type": "string"], "code": ["type": "string"], "detail": ["type": "string"],
                ],
            ],
        ],
    ],
    "example": [
        "type": "https://muster.invalid/errors/invalid_input", "title": "Invalid input", "status": 422,
        "detail": "One thing in the request is wrong.", "code": "invalid_input", "request_id": "4f1c…",
        "errors": [["pointer": "/name", "code": "required", "detail": "`name` is required."]],
    ],
]
