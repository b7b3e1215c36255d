// A program beside the tests that ends when they end, in whatever way: it waits for the end of its standard input.
import Glibc
import Synchronization

/// A started program whose standard input is a socket pair of ours. The kernel closes our end when this process dies.
final class Companion: Sendable {
    let pid: pid_t
    private let input: Int32
    private let isRunning = Atomic<Bool>(true)

    /// - Parameters:
    ///   - environment: all of it; nothing is inherited.
    ///   - log: a file that takes both outputs.
    init(_ arguments: [String], environment: [String: String], log: String) throws {
        var ends: [Int32] = [-1, -1]
        // Closed on exec from the first moment, or a child started meanwhile would keep our end open after us.
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw TestSupportError("no descriptors left") }
        let (child, code) = spawn(arguments, environment, input: ends[0], log: log)
        close(ends[0])
        input = ends[1]
        pid = child
        guard code == 0 else { throw TestSupportError("cannot start \(arguments[0]): \(String(cString: strerror(code)))") }
    }

    /// Ends its input and waits for it.
    func stop() {
        guard isRunning.exchange(false, ordering: .relaxed) else { return }
        close(input)
        waitpid(pid, nil, 0)
    }

    deinit { stop() }
}

/// Runs a program to its end.
/// - Throws: what it printed, when it fails.
func runToEnd(_ arguments: [String], environment: [String: String], log: String) throws {
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer { close(nothing) }
    let (child, code) = spawn(arguments, environment, input: nothing, log: log)
    var status: Int32 = 0
    guard code == 0, waitpid(child, &status, 0) == child, status == 0 else {
        throw TestSupportError("\(arguments.joined(separator: " ")): \((try? text(of: log)) ?? String(cString: strerror(code)))")
    }
}

private func spawn(_ arguments: [String], _ environment: [String: String], input: Int32, log: String) -> (pid_t, Int32) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    let argv = arguments.map { strdup($0) } + [nil]
    let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var child = pid_t()
    let code = posix_spawn(&child, arguments[0], &actions, nil, argv, envp)
    return (child, code)
}
