// SQL as typed constants.
internal import Synchronization

/// A statement with the types of its parameters and of its rows, prepared once per connection.
/// `Output` of a statement that gives no rows is whatever suits: `run` does not look at it.
public struct Statement<Output, each Input>: Sendable {
    public let sql: String
    /// Dense and unique in the process; the name on the server is made of it.
    let id: Int
    let name: String

    public init(_ sql: String) {
        self.sql = sql
        id = StatementIDs.next()
        name = "s\(id)"
    }
}

enum StatementIDs {
    private static let counter = Atomic<Int>(0)
    static func next() -> Int { counter.wrappingAdd(1, ordering: .relaxed).newValue }
}

enum Literals {
    static let begin = Statement<Int>("BEGIN")
    static let setWorkspace = Statement<Bool, String>("SELECT set_workspace($1::uuid) IS NULL")
    static let setTimeout = Statement<String, String>("SELECT set_config('statement_timeout', $1, true)")
}
