// Numbered SQL files, applied once each, in order, and never changed again.
internal import Glibc
internal import Secrets

/// Why the migrations cannot be applied.
public struct MigrationError: Error, Sendable, CustomStringConvertible {
    public let description: String
}

/// One file: `0012_segments.sql`.
public struct Migration: Sendable {
    public let number: Int
    public let name: String
    public let sql: String
    /// SHA-256 in hex.
    public let checksum: String
}

/// The migrations of a folder. Each runs in a transaction of its own, under one advisory lock, so that two
/// migrators at once are one after the other.
public struct Migrations: Sendable {
    public let all: [Migration]

    /// - Throws: when the folder cannot be read, or two files have one number.
    public init(folder: String) throws {
        guard let directory = opendir(folder) else { throw MigrationError(description: "\(folder) cannot be read") }
        defer { closedir(directory) }
        var found: [Migration] = []
        while let entry = readdir(directory) {
            let file = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard file.hasSuffix(".sql"), file.utf8.count > 9, let number = Int(file.prefix(4)),
                file.dropFirst(4).hasPrefix("_")
            else { continue }
            let bytes = try contents(folder + "/" + file)
            found.append(
                Migration(
                    number: number, name: String(file.dropLast(4)), sql: String(decoding: bytes, as: UTF8.self),
                    checksum: hexEncode(Hash.sha256(bytes))))
        }
        all = found.sorted { $0.number < $1.number }
        for (a, b) in zip(all, all.dropFirst()) where a.number == b.number {
            throw MigrationError(description: "\(a.name) and \(b.name) have the same number")
        }
    }

    private struct Applied: RowDecodable {
        let number: Int
        let name: String
        let checksum: String
        init(_ row: borrowing Row) throws(PostgresError) {
            number = try row["number"]
            name = try row["name"]
            checksum = try row["checksum"]
        }
    }
    private static let applied = Statement<Applied>("SELECT number, name, checksum FROM schema_migrations ORDER BY number")
    private static let record = Statement<Int, Int, String, String>(
        "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)")
    private static let lock = Statement<Bool>("SELECT pg_advisory_lock(7306513827) IS NULL")
    private static let unlock = Statement<Bool>("SELECT pg_advisory_unlock(7306513827)")
    private static let exists = Statement<Bool>("SELECT to_regclass('public.schema_migrations') IS NOT NULL")

    /// What is still to be applied.
    /// - Throws: `MigrationError` when an applied file has changed or is missing, or a new one comes before an applied one.
    public func pending(on db: Connection) throws -> [Migration] {
        guard try db.one(Self.exists) else { return all }
        let applied = try db.all(Self.applied)
        for old in applied {
            guard let file = all.first(where: { $0.number == old.number }) else {
                throw MigrationError(description: "\(old.name) was applied, and its file is missing")
            }
            guard file.checksum == old.checksum else {
                throw MigrationError(description: "\(file.name) was changed after it had been applied; write a new migration instead")
            }
        }
        let last = applied.last?.number ?? 0
        let pending = all.filter { file in !applied.contains { $0.number == file.number } }
        if let early = pending.first, early.number < last {
            throw MigrationError(
                description: "\(early.name) is new, but migration \(last) has been applied already; give it a later number")
        }
        return pending
    }

    /// Applies what is pending, in order.
    /// - Parameters:
    ///   - lockSeconds: how long a migration may wait for a lock. Everybody who wants the same table waits behind it
    ///     meanwhile, so it gives up soon, lets them pass, and tries again.
    ///   - attempts: how often it tries.
    ///   - progress: called after each.
    /// - Returns: the applied ones. A failure leaves those before it applied and itself rolled back.
    @discardableResult
    public func apply(
        on db: Connection, lockSeconds: Double = 5, attempts: Int = 10, progress: (Migration) -> Void = { _ in }
    ) throws -> [Migration] {
        _ = try db.one(Self.lock)
        defer { do { _ = try db.one(Self.unlock) } catch {} }
        try db.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                number int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now())
            """)
        let pending = try pending(on: db)
        for migration in pending {
            var attempt = 1
            while true {
                do {
                    try apply(migration, on: db, lockSeconds)
                    break
                } catch let error as PostgresError
                    where attempt < attempts && [.lockNotAvailable, .deadlockDetected].contains(error.sqlState)
                {
                    attempt += 1
                    usleep(UInt32(lockSeconds * Double.random(in: 100_000...300_000)))
                }
            }
            progress(migration)
        }
        return pending
    }

    private func apply(_ migration: Migration, on db: Connection, _ lockSeconds: Double) throws {
        try db.transaction { db in
            try db.execute("SET LOCAL lock_timeout = \(Int(lockSeconds * 1000))")
            try db.execute(migration.sql)
            try db.run(Self.record, migration.number, migration.name, migration.checksum)
        }
    }
}

private func contents(_ path: String) throws -> [UInt8] {
    guard let file = fopen(path, "r") else { throw MigrationError(description: "\(path) cannot be read") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = fread(&chunk, 1, chunk.count, file)
        if count == 0 { return bytes }
        bytes += chunk[..<count]
    }
}
