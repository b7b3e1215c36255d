// What operators see, and what they type unseen.
import ArgumentParser
import Glibc
import PostgreSQL
import Vocabulary
import Web

/// A row of texts, for tables that only people read.
struct Cells: RowDecodable {
    let texts: [String]
    init(_ row: borrowing Row) throws(PostgresError) {
        var texts: [String] = []
        for index in 0..<row.count { texts.append(try row[index: index] ?? "") }
        self.texts = texts
    }
}

/// Prints rows in columns that line up.
func printTable(_ header: [String], _ rows: [[String]]) {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    for row in [header] + rows {
        let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
        print(cells.joined(separator: "  ").trimmingSuffixBlanks)
    }
}

extension String {
    fileprivate var trimmingSuffixBlanks: Substring { self[..<(lastIndex { $0 != " " }.map(index(after:)) ?? startIndex)] }
}

/// An error that says what is wrong and nothing else.
struct CommandError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A password: typed unseen on a terminal, else the first line of standard input. Never an argument, which every
/// process of the machine can read.
func readPassword(_ prompt: String) throws -> String {
    let password: String
    if isatty(STDIN_FILENO) == 1 {
        guard let typed = getpass(prompt) else { throw CommandError("no password was given") }
        password = String(cString: typed)
    } else {
        password = readLine() ?? ""
    }
    // In the normal form in which sign-in compares it, and as long as sign-up wants it.
    let normal = normalized(password)
    guard normal.unicodeScalars.count >= 15 else { throw CommandError("a password has at least 15 characters") }
    return normal
}

func parseID<T>(_ text: String, _ what: String) throws -> ID<T> {
    guard let id = ID<T>(text) else { throw CommandError("\"\(text)\" is not the id of a \(what); ids are UUIDs") }
    return id
}

extension Role: ExpressibleByArgument {}

enum WorkspacePlan: String, ExpressibleByArgument, CaseIterable {
    case standard, unlimited
}
