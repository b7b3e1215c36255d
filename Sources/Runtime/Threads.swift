internal import Glibc
internal import Synchronization

/// A thread of the operating system; it ends when its body returns.
public struct WorkerThread: Sendable {
    private let id: pthread_t

    /// - Parameter name: as `ps -L` shows it; cut to 15 bytes.
    public init(named name: String, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(Start(name: name, body: body)).toOpaque()
        var id = pthread_t()
        let code = pthread_create(&id, nil, { argument in
            let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
            nameThisThread(start.name)
            start.body()
            return nil
        }, start)
        precondition(code == 0, "cannot start a thread: \(String(cString: strerror(code)))")
        self.id = id
    }

    /// Waits for its end. Once for each thread.
    public func join() { pthread_join(id, nil) }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}

/// SIGTERM and SIGINT as a state instead of an interruption: threads look, or poll a descriptor along with others.
public enum Signals {
    private static let terminating = Atomic<Bool>(false)
    private nonisolated(unsafe) static var pipeEnds: (read: Int32, write: Int32) = (-1, -1)

    /// Call once, before threads start.
    public static func install() {
        guard pipeEnds.read < 0 else { return }
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "no descriptors left")
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            // A flood of signals fills the pipe; the handler must not block on it.
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        pipeEnds = (ends[0], ends[1])
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGTERM, SIGINT] { signal(number) { _ in Signals.terminate() } }
    }

    /// Whether the process shall end.
    public static var isTerminating: Bool { terminating.load(ordering: .relaxed) }

    /// Readable from the moment of termination on; nobody reads it, so all who poll it see it. -1 before `install`.
    public static var descriptor: Int32 { pipeEnds.read }

    /// What the signals do; async-signal-safe.
    public static func terminate() {
        terminating.store(true, ordering: .relaxed)
        var byte: UInt8 = 1
        _ = write(pipeEnds.write, &byte, 1)
    }

    /// Sleeps, but not beyond termination.
    public static func sleep(seconds: Double) {
        var descriptor = pollfd(fd: pipeEnds.read, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, Int32(max(0, min(seconds, 86_400)) * 1000))
    }

    public static func waitForTermination() {
        while !isTerminating { sleep(seconds: 3600) }
    }
}

/// prctl(2) takes variable arguments, which Swift cannot call; the kernel offers the same as a file.
private func nameThisThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    let bytes = Array(name.utf8.prefix(15))
    _ = write(file, bytes, bytes.count)
    close(file)
}
