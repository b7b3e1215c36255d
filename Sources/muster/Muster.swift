// The operator's command: the table of contents.
import ArgumentParser
import PostgreSQL
import Runtime

@main
struct Muster: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "muster", abstract: "Looks after a Muster installation.",
        subcommands: [
            Bootstrap.self, Migrate.self, Doctor.self, Variables.self, Queue.self, Workspaces.self, Users.self, Keys.self,
            Import.self, OpenAPI.self, Demo.self,
        ])
}

/// What the environment says, for commands that seal nothing.
func loadConfiguration() throws -> Configuration { try Configuration.load(withSealingKey: false) }

/// A connection of the owner of the schema, who sees every workspace.
func connectAsOwner() throws -> Connection {
    try Connection(try loadConfiguration().database, applicationName: "muster", role: "muster_owner")
}

struct Variables: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "configuration", abstract: "Prints the variables that Muster reads, as the README's table.")

    func run() {
        print("| Variable | Default | Expected | Purpose |\n|---|---|---|---|")
        for variable in Configuration.variables {
            let standard = variable.standard.map { $0.isEmpty ? "" : "`\($0)`" } ?? "must be set"
            print("| `\(variable.name)` | \(standard) | \(variable.expected) | \(variable.purpose) |")
        }
    }
}
