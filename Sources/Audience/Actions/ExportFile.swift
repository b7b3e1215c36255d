// A file that grows by whole batches: what is in it counts once the database says so.
internal import Glibc
internal import Jobs
internal import Vocabulary

/// An export's file, written by one worker at a time.
final class ExportFile {
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    /// Bytes written since it was opened or cut, the kept ones included.
    private(set) var size: Int
    private static let chunk = 262_144

    static func name(_ id: SegmentActionID, _ format: ExportFormat) -> String { "\(id).\(format.rawValue)" }

    /// Opens the file, which may be there already.
    /// - Parameter bytes: so much of it is known to be right; what a dead worker wrote behind that is cut off.
    /// - Returns: `nil` when less than that is there: the file was lost, or is on another machine.
    /// - Throws: `JobSnooze` while a worker that lost the job has not noticed yet.
    static func open(_ path: String, keeping bytes: Int) throws -> ExportFile? {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw failure("open", path) }
        let file = ExportFile(descriptor, size: bytes)
        // Ends with the descriptor, so a crash leaves no lock behind.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw JobSnooze(seconds: 2) }
        // nginx reads it as a member of our group; the umask of the service lets nobody.
        guard fchmod(descriptor, 0o640) == 0 else { throw failure("open", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure("read", path) }
        guard status.st_size >= bytes else { return nil }
        try file.cut(to: bytes)
        return file
    }

    private init(_ descriptor: Int32, size: Int) {
        self.descriptor = descriptor
        self.size = size
    }

    deinit { close(descriptor) }

    /// Goes back to what the database knows.
    func cut(to bytes: Int) throws {
        buffer.removeAll(keepingCapacity: true)
        size = bytes
        guard ftruncate(descriptor, bytes) == 0, lseek(descriptor, bytes, SEEK_SET) == bytes else {
            throw ExportFile.failure("cut", "the file")
        }
    }

    func write(_ bytes: [UInt8]) throws {
        buffer += bytes
        size += bytes.count
        if buffer.count >= Self.chunk { try flush() }
    }

    /// Everything written is on the disk when this returns.
    func save() throws {
        try flush()
        guard fdatasync(descriptor) == 0 else { throw ExportFile.failure("write", "the file") }
    }

    private func flush() throws {
        var rest = buffer[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ExportFile.failure("write", "the file") }
            rest = rest.dropFirst(count)
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Removes an export's file, whatever its format; that there is none is fine.
    static func remove(_ id: SegmentActionID, from folder: String) throws {
        for format in [ExportFormat.csv, .jsonl] {
            let path = folder + "/" + name(id, format)
            guard unlink(path) == 0 || errno == ENOENT else { throw failure("remove", path) }
        }
    }

    private static func failure(_ what: String, _ path: String) -> any Error {
        if errno == ENOSPC || errno == EDQUOT {
            return JobFailure("storage_full", "The server has no room for the file.", retry: true)
        }
        return ExportFault(description: "cannot \(what) \(path): \(String(cString: strerror(errno)))")
    }
}

/// For the journal.
struct ExportFault: Error, CustomStringConvertible {
    let description: String
}

/// Files that are old enough to go; by their own time, so that none stays behind whose action is gone.
/// - Returns: how many were removed.
func removeOldExports(in folder: String, olderThanSeconds seconds: Int) -> Int {
    guard let entries = opendir(folder) else { return 0 }
    defer { closedir(entries) }
    var removed = 0
    while let entry = readdir(entries) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        let parts = name.split(separator: ".")
        guard parts.count == 2, SegmentActionID(String(parts[0])) != nil, ExportFormat(rawValue: String(parts[1])) != nil else { continue }
        var status = stat()
        guard lstat(folder + "/" + name, &status) == 0, status.st_mtim.tv_sec < time(nil) - seconds else { continue }
        if unlink(folder + "/" + name) == 0 { removed += 1 }
    }
    return removed
}
