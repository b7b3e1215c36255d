import Foundation
import PostgreSQL
import TestSupport
import Testing

/// A folder of migrations that a test may change.
private final class Folder {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("migrations-\(Foundation.UUID())").path
    init(_ files: [String: String]) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, sql) in files { try write(name, sql) }
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func write(_ name: String, _ sql: String) throws { try sql.write(toFile: path + "/" + name, atomically: true, encoding: .utf8) }
    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path + "/" + name) }
    func migrations() throws -> Migrations { try Migrations(folder: path) }
}

/// A database without any migration.
private func withEmptyDatabase(_ body: (Connection) throws -> Void) throws {
    try withOwnDatabase { database throws in
        let db = try database.connect(as: .superuser)
        try db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        try body(db)
    }
}

@Suite struct MigrationTests {
    @Test func `migrations are applied once, in the order of their numbers`() throws {
        let folder = try Folder([
            "0002_two.sql": "CREATE TABLE two (n int REFERENCES one)", "0001_one.sql": "CREATE TABLE one (n int PRIMARY KEY)",
            "readme.txt": "not SQL", "bootstrap.sql": "not a migration",
        ])
        try withEmptyDatabase { db throws in
            #expect(try folder.migrations().pending(on: db).map(\.number) == [1, 2])
            #expect(try folder.migrations().apply(on: db).map(\.name) == ["0001_one", "0002_two"])
            #expect(try folder.migrations().apply(on: db).isEmpty)
            try folder.write("0003_three.sql", "ALTER TABLE two ADD m int")
            #expect(try folder.migrations().apply(on: db).map(\.number) == [3])
        }
    }

    @Test func `a changed, missing or late migration is refused, and nothing is applied`() throws {
        let folder = try Folder(["0001_one.sql": "CREATE TABLE one (n int)", "0003_three.sql": "CREATE TABLE three (n int)"])
        try withEmptyDatabase { db throws in
            try folder.migrations().apply(on: db)
            try folder.write("0004_four.sql", "CREATE TABLE four (n int)")
            func refusal(_ expected: String) {
                #expect { try folder.migrations().apply(on: db) } throws: { "\($0)".contains(expected) }
            }
            try folder.write("0001_one.sql", "CREATE TABLE one (n bigint)")
            refusal("changed")
            try folder.remove("0001_one.sql")
            refusal("missing")
            try folder.write("0001_one.sql", "CREATE TABLE one (n int)")
            try folder.write("0002_two.sql", "CREATE TABLE two (n int)")
            refusal("later number")
            #expect(try db.value("SELECT to_regclass('four') IS NULL", as: Bool.self))
        }
    }

    @Test func `a migration that fails leaves those before it and nothing of itself`() throws {
        let folder = try Folder([
            "0001_one.sql": "CREATE TABLE one (n int)", "0002_two.sql": "CREATE TABLE two (n int); SELECT 1 / 0",
        ])
        try withEmptyDatabase { db throws in
            #expect(throws: PostgresError.self) { try folder.migrations().apply(on: db) }
            #expect(try db.value("SELECT to_regclass('one') IS NOT NULL AND to_regclass('two') IS NULL", as: Bool.self))
            #expect(try folder.migrations().pending(on: db).map(\.number) == [2])
        }
    }

    @Test func `two migrators at once apply each migration once`() throws {
        let folder = try Folder(["0001_one.sql": "CREATE TABLE one (n int); SELECT pg_sleep(0.2)"])
        try withOwnDatabase { database throws in
            try database.connect(as: .superuser).execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            let migrations = try folder.migrations()
            let applied = Results()
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                do {
                    let count = try migrations.apply(on: try database.connect(as: .superuser)).count
                    applied.add("\(count)")
                } catch { applied.add("\(error)") }
            }
            #expect(applied.sorted == ["0", "0", "0", "1"])
        }
    }

    @Test func `a migration that waits for a lock steps back and tries again, but not for ever`() throws {
        let folder = try Folder(["0001_one.sql": "CREATE TABLE one (n int)"])
        try withOwnDatabase { database throws in
            let db = try database.connect(as: .superuser)
            try db.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            try folder.migrations().apply(on: db)
            try folder.write("0002_two.sql", "ALTER TABLE one ADD m int")
            let reader = try database.connect(as: .superuser)
            try reader.transaction { reader throws in
                let _: Int = try reader.value("SELECT count(*) FROM one")
                #expect {
                    try folder.migrations().apply(on: db, lockSeconds: 0.02, attempts: 3)
                } throws: { ($0 as? PostgresError)?.sqlState == .lockNotAvailable }
            }
            let migrations = try folder.migrations()
            try reader.execute("BEGIN; SELECT count(*) FROM one")
            let process = reader.serverProcessID
            DispatchQueue.global().asyncAfter(deadline: .now() + 0.2) {
                _ = try? database.connect(as: .superuser).value("SELECT pg_terminate_backend($1::int)", .text("\(process)"), as: Bool.self)
            }
            #expect(try migrations.apply(on: db, lockSeconds: 0.05, attempts: 100).map(\.number) == [2])
        }
    }

    @Test func `two files with one number are refused`() throws {
        let folder = try Folder(["0001_one.sql": "SELECT 1", "0001_two.sql": "SELECT 1"])
        #expect { try folder.migrations() } throws: { "\($0)".contains("same number") }
    }

    @Test func `our own migrations end with nothing pending`() throws {
        try withDatabase { db throws in
            #expect(try Migrations(folder: repositoryRoot + "/migrations").pending(on: db).isEmpty)
        }
    }
}

private final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var values: [String] = []
    func add(_ value: String) { lock.withLock { values.append(value) } }
    var sorted: [String] { lock.withLock { values.sorted() } }
}
