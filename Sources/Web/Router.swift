/// Finds the route of a request: a tree of path parts, literals before parameters. Immutable once built,
/// so that all threads share it.
struct Router: Sendable {
    private final class Node: Sendable {
        let literals: [String: Node]
        let parameter: (name: String, node: Node)?
        let routes: [String: Route]
        init(literals: [String: Node], parameter: (name: String, node: Node)?, routes: [String: Route]) {
            self.literals = literals
            self.parameter = parameter
            self.routes = routes
        }
    }

    enum Match {
        case found(Route, parameters: [(name: String, value: String)])
        case wrongMethod(allowed: [String])
        case none
    }

    private let root: Node

    /// - Precondition: no two routes have the same method and shape, which would be our own mistake.
    init(_ routes: [Route]) {
        root = Router.build(routes.map { ($0.path.split(separator: "/").map(String.init)[...], $0) })
    }

    private static func build(_ routes: [(path: ArraySlice<String>, route: Route)]) -> Node {
        var here: [String: Route] = [:]
        var literals: [String: [(ArraySlice<String>, Route)]] = [:]
        var parameters: [(ArraySlice<String>, Route)] = []
        var parameterName: String?
        for (path, route) in routes {
            guard let part = path.first else {
                precondition(here[route.method.rawValue] == nil, "two routes for \(route.method.rawValue) \(route.path)")
                here[route.method.rawValue] = route
                continue
            }
            if part.hasPrefix("{"), part.hasSuffix("}") {
                let name = String(part.dropFirst().dropLast())
                precondition(parameterName == nil || parameterName == name, "two names for one part of \(route.path)")
                parameterName = name
                parameters.append((path.dropFirst(), route))
            } else {
                literals[part, default: []].append((path.dropFirst(), route))
            }
        }
        return Node(
            literals: literals.mapValues(build), parameter: parameterName.map { ($0, build(parameters)) }, routes: here)
    }

    /// - Parameter path: decoded and normalised, as nginx gives it in `DOCUMENT_URI`.
    func match(_ method: String, _ path: String) -> Match {
        match(method, parts: path.split(separator: "/").map(String.init))
    }

    /// - Parameter parts: of the path, decoded; one may hold a slash of its own.
    func match(_ method: String, parts: [String]) -> Match {
        var node = root
        var parameters: [(name: String, value: String)] = []
        for part in parts {
            if let next = node.literals[part] {
                node = next
            } else if let (name, next) = node.parameter {
                parameters.append((name, part))
                node = next
            } else {
                return .none
            }
        }
        if let route = node.routes[method] ?? (method == "HEAD" ? node.routes["GET"] : nil) {
            return .found(route, parameters: parameters)
        }
        return node.routes.isEmpty ? .none : .wrongMethod(allowed: node.routes.keys.sorted())
    }
}
