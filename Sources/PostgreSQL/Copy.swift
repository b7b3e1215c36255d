// COPY in and out, and LISTEN.
internal import CPostgreSQL
internal import Glibc
internal import Vocabulary

/// Rows on their way in, in COPY's text format, sent in pieces of 64 KiB.
public final class CopyWriter {
    private let handle: OpaquePointer
    private var buffer: [UInt8] = []
    private static let chunk = 65_536

    fileprivate init(_ handle: OpaquePointer) {
        self.handle = handle
        buffer.reserveCapacity(Self.chunk + 4096)
    }

    /// One row; `nil` is NULL.
    public func row(_ columns: [String?]) throws(PostgresError) {
        for (index, column) in columns.enumerated() {
            if index > 0 { separator() }
            if let column { field(column.utf8) } else { null() }
        }
        try endRow()
    }

    /// The parts of a row, for writers that have bytes.
    public func field(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\\"): buffer += [UInt8(ascii: "\\"), UInt8(ascii: "\\")]
            case UInt8(ascii: "\n"): buffer += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
            case UInt8(ascii: "\r"): buffer += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
            case UInt8(ascii: "\t"): buffer += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
            default: buffer.append(byte)
            }
        }
    }
    public func null() { buffer += [UInt8(ascii: "\\"), UInt8(ascii: "N")] }
    public func separator() { buffer.append(UInt8(ascii: "\t")) }
    public func endRow() throws(PostgresError) {
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count >= Self.chunk { try flush() }
    }

    /// Bytes that are in the statement's format already.
    public func raw(_ bytes: [UInt8]) throws(PostgresError) {
        buffer += bytes
        if buffer.count >= Self.chunk { try flush() }
    }

    fileprivate func flush() throws(PostgresError) {
        let sent = buffer.withUnsafeBytes { PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count)) }
        guard sent == 1 else { throw .connectionLost }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// What NOTIFY sent.
public struct Notification: Sendable {
    public let channel: String
    public let payload: String
}

extension Connection {
    /// `COPY … FROM STDIN`. Returns the number of rows.
    /// - Throws: what `feed` throws; then nothing of the copy remains.
    public func copyIn(_ sql: String, _ feed: (CopyWriter) throws -> Void) throws -> Int {
        let handle = try live()
        let start = PQexec(handle, sql)
        defer { PQclear(start) }
        guard PQresultStatus(try checked(start, handle, sql)) == PGRES_COPY_IN else {
            preconditionFailure("not a COPY FROM STDIN: \(sql)")
        }
        let writer = CopyWriter(handle)
        do {
            try feed(writer)
            try writer.flush()
        } catch {
            _ = PQputCopyEnd(handle, "stopped by the sender")
            while let rest = PQgetResult(handle) { PQclear(rest) }
            throw error
        }
        guard PQputCopyEnd(handle, nil) == 1 else { throw PostgresError.connectionLost }
        var count = 0
        var failed: PostgresError?
        while let result = PQgetResult(handle) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_COMMAND_OK { count = affected(result) } else { failed = failure(result, handle, sql) }
        }
        if let failed { throw failed }
        return count
    }

    /// `COPY … TO STDOUT`, row by row in the statement's format, line end included.
    public func copyOut(_ sql: String, _ row: (UnsafeBufferPointer<UInt8>) throws -> Void) throws {
        let handle = try live()
        let start = PQexec(handle, sql)
        defer { PQclear(start) }
        _ = try checked(start, handle, sql)
        while true {
            var buffer: UnsafeMutablePointer<CChar>?
            let length = PQgetCopyData(handle, &buffer, 0)
            guard length >= 0, let buffer else { break }
            defer { PQfreemem(buffer) }
            do {
                try buffer.withMemoryRebound(to: UInt8.self, capacity: Int(length)) {
                    try row(UnsafeBufferPointer(start: $0, count: Int(length)))
                }
            } catch {
                // The rest is under way and nobody wants it: a new connection is cheaper than reading it.
                close()
                throw error
            }
        }
        var failed: PostgresError?
        while let result = PQgetResult(handle) {
            defer { PQclear(result) }
            if PQresultStatus(result) != PGRES_COMMAND_OK { failed = failure(result, handle, sql) }
        }
        if let failed { throw failed }
    }

    /// Begins to receive a channel's notifications, on this session and those that replace it.
    public func listen(_ channel: String) throws(PostgresError) {
        try execute("LISTEN \(quotedIdentifier(channel))")
        if !channels.contains(channel) { channels.append(channel) }
    }

    /// Waits for a notification. `nil` after the time-out, or once `descriptor` is readable.
    /// - Throws: `.connectionLost`; what was sent meanwhile is lost, so look for yourself after the next connection.
    public func waitForNotification(
        timeoutSeconds: Double, orReadable descriptor: Int32 = -1
    ) throws(PostgresError) -> Notification? {
        let handle = try live()
        let deadline = Instant.steady() + timeoutSeconds
        while true {
            guard PQconsumeInput(handle) == 1, PQstatus(handle) == CONNECTION_OK else { throw .connectionLost }
            if let notify = PQnotifies(handle) {
                defer { PQfreemem(notify) }
                return Notification(
                    channel: String(cString: notify.pointee.relname), payload: String(cString: notify.pointee.extra))
            }
            let left = deadline.seconds(since: .steady())
            guard left > 0 else { return nil }
            var sources = [
                pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0),
                pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&sources, 2, Int32(min(left, 86_400) * 1000) + 1) < 0, errno != EINTR { throw .connectionLost }
            if sources[1].revents != 0 { return nil }
        }
    }
}
