internal import PostgreSQL
internal import Web

/// How long each statement of a preview may take: somebody waits for it.
let previewSeconds = 15.0

/// A rule that takes longer is no trouble of the server's that trying again would mend: there are expressions with which
/// nobody is ever done.
/// - Throws: `Problem` `took_too_long` in place of `.queryCanceled`.
func withinPreviewTime<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError where error.sqlState == .queryCanceled {
        throw Problem(
            422, "took_too_long", "The rule takes too long",
            "It was given up after \(Int(previewSeconds)) seconds; a simpler rule may do, above all simpler expressions in `matches`.")
    }
}
