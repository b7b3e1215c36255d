// Runs the processes of the table and starts again what dies, as systemd does in production.
import CSpawn
import Glibc
import Runtime
import Vocabulary

final class Supervisor {
    private struct Child {
        let program: Program
        let listener: Int32
        let output: Int32
        var pid: pid_t = 0
        var startedAt = 0.0
        var failures = 0
        var startAt = 0.0
    }
    private var children: [Child] = []
    private let logs: String
    private let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)

    /// - Parameter logs: a folder; each process appends to NAME.log in it, and NAME.pid says which it is now.
    init(_ programs: [Program], logs: String) throws {
        self.logs = logs
        for program in programs {
            let output = open("\(logs)/\(program.name).log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
            let listener = try program.socket.map(listen) ?? nothing
            children.append(Child(program: program, listener: listener, output: output >= 0 ? output : 2))
        }
    }

    /// Until SIGTERM or SIGINT; or, with `untilEndOfInput`, until whoever started us is gone.
    func run(untilEndOfInput: Bool) {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGCHLD, SIGHUP] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        for index in children.indices { start(index) }
        while true {
            if untilEndOfInput, inputHasEnded() { break }
            var timeout = timespec(tv_sec: 0, tv_nsec: 100_000_000)
            let signal = sigtimedwait(&signals, nil, &timeout)
            if signal == SIGTERM || signal == SIGINT { break }
            reap()
            for index in children.indices where children[index].pid == 0 && children[index].startAt <= seconds() { start(index) }
        }
        stop()
    }

    // MARK: Children

    private func start(_ index: Int) {
        let program = children[index].program
        var environment = processEnvironment()
        for variable in program.variables {
            let pair = variable.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            environment[String(pair[0])] = String(pair[1])
        }
        let arguments = program.arguments.map { strdup($0) } + [nil]
        let variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + variables { free(text) } }
        // SIGKILL would leave PostgreSQL's shared memory behind; its own stop signal lets it end in order.
        let pid = muster_spawn(program.path, arguments, variables, children[index].listener, children[index].output, program.stopSignal)
        children[index].startedAt = seconds()
        if pid > 0 {
            children[index].pid = pid
            note(pid, program.name)
        } else {
            children[index].startAt = seconds() + 1
        }
    }

    private func reap() {
        var status: Int32 = 0
        while true {
            let pid = waitpid(-1, &status, WNOHANG)
            guard pid > 0 else { return }
            guard let index = children.firstIndex(where: { $0.pid == pid }) else { continue }
            children[index].pid = 0
            // At once for one that had worked; slower, up to a second, for one that dies at its start.
            children[index].failures = seconds() - children[index].startedAt > 5 ? 0 : children[index].failures + 1
            children[index].startAt = seconds() + min(1, 0.05 * Double(1 << min(children[index].failures, 5)))
            Log.warning(
                "process ended",
                [
                    ("name", .string(children[index].program.name)), ("pid", .integer(Int(pid))), ("status", .integer(Int(status))),
                ])
        }
    }

    /// In reverse order, so that what others stand on goes last.
    private func stop() {
        for index in children.indices.reversed() where children[index].pid > 0 {
            kill(children[index].pid, children[index].program.stopSignal)
            let deadline = seconds() + 15
            while children[index].pid > 0, seconds() < deadline {
                var status: Int32 = 0
                if waitpid(children[index].pid, &status, WNOHANG) != 0 { children[index].pid = 0 } else { usleep(5_000) }
            }
            if children[index].pid > 0 {
                kill(children[index].pid, SIGKILL)
                waitpid(children[index].pid, nil, 0)
            }
            if let socket = children[index].program.socket { unlink(socket) }
            unlink("\(logs)/\(children[index].program.name).pid")
        }
    }

    // MARK: Small things

    private func listen(_ path: String) throws -> Int32 {
        unlink(path)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SocketError(path: path, reason: "the path is too long")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0, Glibc.listen(listener, 4096) == 0 else { throw SocketError(path: path, reason: String(cString: strerror(errno))) }
        chmod(path, 0o666)
        return listener
    }

    /// Whole or not at all: scripts read it at any time.
    private func note(_ pid: pid_t, _ name: String) {
        let path = "\(logs)/\(name).pid"
        guard let file = fopen(path + ".new", "w") else { return }
        fputs("\(pid)\n", file)
        fclose(file)
        rename(path + ".new", path)
    }

    private func inputHasEnded() -> Bool {
        var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        guard poll(&input, 1, 0) > 0 else { return false }
        var byte: UInt8 = 0
        return read(0, &byte, 1) <= 0
    }

    private func seconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

struct SocketError: Error {
    let path: String
    let reason: String
}
