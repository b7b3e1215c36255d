// The operator's command, as its binary.
import Foundation
import PostgreSQL
import Secrets
import TestSupport
import Testing

/// What a command printed, and how it ended.
private struct Outcome {
    let status: Int32
    let output: String
    let errors: String
}

/// The folder of the built programs: tests run from there.
private let programs = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()

/// Runs `muster` with arguments against a database.
private func muster(_ arguments: [String], _ database: TestDatabase, input: String = "", _ more: [String: String] = [:]) throws -> Outcome {
    let process = Process()
    process.executableURL = programs.appendingPathComponent("muster")
    process.arguments = arguments
    process.environment = [
        "MUSTER_DATABASE": database.conninfo(as: .owner), "MUSTER_MIGRATIONS": repositoryRoot + "/migrations",
    ].merging(more) { $1 }
    let (standardInput, output, errors) = (Pipe(), Pipe(), Pipe())
    process.standardInput = standardInput
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    standardInput.fileHandleForWriting.write(Data(input.utf8))
    try standardInput.fileHandleForWriting.close()
    // Both are short: neither pipe fills up while the other is read.
    let texts = try [output, errors].map { String(decoding: try $0.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self) }
    process.waitUntilExit()
    return Outcome(status: process.terminationStatus, output: texts[0], errors: texts[1])
}

@Suite struct CommandTests {
    @Test func `bootstrap and migrate make an installation, and again change nothing`() throws {
        try withOwnDatabase { database throws in
            let admin = try database.connect(as: .superuser)
            let name = database.name + "_fresh"
            defer { try? admin.execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)") }
            let fresh = ["MUSTER_DATABASE": database.conninfo(as: .owner).replacingOccurrences(of: database.name, with: name)]
            #expect(try muster(["bootstrap"], database, fresh).output.contains("made the database"))
            #expect(try muster(["bootstrap"], database, fresh).output.contains("there already"))
            #expect(try muster(["migrate", "--dry-run"], database, fresh).output.contains("would apply 0001_foundations"))
            #expect(try muster(["doctor", "--without-sockets"], database, fresh).output.contains("run `muster migrate`"))
            let migrated = try muster(["migrate"], database, fresh)
            #expect(migrated.status == 0 && migrated.output.contains("applied 0001_foundations"), "\(migrated.errors)")
            #expect(try muster(["migrate"], database, fresh).output == "nothing was pending\n")
        }
    }

    @Test func `an operator makes a user, a workspace and a key that authorises`() throws {
        try withOwnDatabase { database throws in
            let user = try muster(["user", "create", "Ada@Example.com", "--name", "Ada"], database, input: "a long enough password\n")
            #expect(user.status == 0, "\(user.errors)")
            #expect(
                try muster(["user", "create", "ada@example.com", "--name", "A"], database, input: "another password\n").errors.contains(
                    "already"))
            let workspace = try muster(["workspace", "create", "Demo", "--owner", "ada@example.com", "--plan", "unlimited"], database)
            #expect(workspace.status == 0, "\(workspace.errors)")
            let id = workspace.output.trimmingCharacters(in: .whitespacesAndNewlines)
            let key = try muster(["key", "create", "--workspace", id, "--name", "demo", "--scope", "audience:read"], database)
            let token = key.output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(token.hasPrefix("muster_live_"))
            let responder = try database.connect(as: .responder)
            let authorize = "SELECT outcome FROM authorize(sha256($1::bytea), true, NULL, '{}', 'audience:read')"
            #expect(try responder.value(authorize, .bytes(Array(token.utf8))) == "ok")
            let list = try muster(["key", "list", "--workspace", id], database).output
            #expect(list.contains(token.prefix(16)) && !list.contains(token))
            #expect(try muster(["workspace", "suspend", id], database).status == 0)
            #expect(try responder.value(authorize, .bytes(Array(token.utf8))) == "unauthenticated")
        }
    }

    @Test func `a password that an operator sets signs in however its letters were typed`() throws {
        try withOwnDatabase { database throws in
            let made = try muster(["user", "create", "ada@example.com", "--name", "Ada"], database, input: "une cle\u{301} assez longue\n")
            #expect(made.status == 0, "\(made.errors)")
            let hash: String = try database.connect().value("SELECT password_hash FROM users")
            #expect(Password.verify("une cl\u{E9} assez longue", against: hash))
            #expect(
                try muster(["user", "create", "b@example.com", "--name", "B"], database, input: "fourteen chars\n").errors.contains("15"))
        }
    }

    @Test func `an import from the command line names the lines that are no UTF-8, and changes none`() throws {
        try withServer([.accounts, .segments, .worker]) { server throws in
            let owner = try server.database.connect()
            let key = try owner.createAPIKey(in: owner.createWorkspace())
            let file = server.folder + "/contacts.csv"
            try Data("email,name\na@example.com,Z\u{FC}rich\nb@example.com,".utf8 + [0x5A, 0xFC, 0x0A]).write(
                to: URL(fileURLWithPath: file))
            let environment = ["MUSTER_URL": server.url, "MUSTER_API_KEY": key.token]
            let outcome = try muster(["import", file], server.database, environment)
            #expect(outcome.status == 1 && outcome.output.contains("2 rows: 1 created, 0 updated, 0 unchanged, 1 rejected"), "\(outcome)")
            #expect(outcome.output.contains("wrong_encoding"))
            #expect(try owner.value("SELECT string_agg(name, ',') FROM contacts") == "Z\u{FC}rich")
            #expect(try muster(["import", file + ".none"], server.database, environment).errors.contains("cannot be read"))
            #expect(try muster(["import", file], server.database).errors.contains("MUSTER_URL"))
        }
    }

    @Test func `a wrong variable or argument is named, and nothing is done`() throws {
        try withOwnDatabase { database throws in
            let wrong = try muster(["migrate"], database, ["MUSTER_THREADS": "many", "MUSTER_TREADS": "1"])
            #expect(wrong.status != 0)
            #expect(wrong.errors.contains("MUSTER_THREADS is \"many\"") && wrong.errors.contains("MUSTER_TREADS"))
            #expect(
                try muster(["user", "create", "nobody", "--name", "N"], database, input: "a long enough password\n").errors.contains(
                    "not an e-mail"))
            #expect(try muster(["user", "create", "a@example.com", "--name", "N"], database, input: "short\n").status != 0)
            #expect(try muster(["jobs", "retry", "1"], database).errors.contains("not the id"))
        }
    }
}
