// What to run: one process a line, fields separated by tabs.
//
//   name <tab> socket or - <tab> stop signal (TERM, INT, QUIT) <tab> KEY=value … <tab> program <tab> arguments …
import Glibc
import Runtime

struct Program {
    let name: String
    /// A listening socket that outlives restarts, so that requests wait instead of failing.
    let socket: String?
    let stopSignal: Int32
    let variables: [String]
    let path: String
    let arguments: [String]

    /// - Throws: the line that is not of the form.
    static func table(_ text: String) throws(TableError) -> [Program] {
        var programs: [Program] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let fields = line.split(separator: "\t", omittingEmptySubsequences: true).map(String.init)
            guard fields.count >= 4 else { throw TableError(line: number + 1) }
            let variables = fields[3...].prefix { field in
                field.split(separator: "=", maxSplits: 1).first.map {
                    !$0.isEmpty && $0.allSatisfy { $0.isUppercase || $0.isNumber || $0 == "_" }
                } == true
                    && field.contains("=")
            }
            let command = Array(fields[(3 + variables.count)...])
            guard let path = command.first, let signal = ["TERM": SIGTERM, "INT": SIGINT, "QUIT": SIGQUIT][fields[2]] else {
                throw TableError(line: number + 1)
            }
            programs.append(
                Program(
                    name: fields[0], socket: fields[1] == "-" ? nil : fields[1], stopSignal: signal, variables: Array(variables),
                    path: path, arguments: command))
        }
        return programs
    }
}

struct TableError: Error { let line: Int }
