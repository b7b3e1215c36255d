// Mail on threads of its own.
internal import CCurl
internal import Glibc
internal import Synchronization
internal import Vocabulary

/// libcurl waits for a server's reply to the end of a mail, and to its own farewell, without letting anybody else go on: a
/// relay that hangs would hold up all texts. So each mail has a thread while it is on its way, and each thread keeps its
/// connection for the next.
final class MailThreads: Sendable {
    typealias Outcome = (tag: Int, outcome: Result<HTTPResponse, HTTPFailure>)
    private struct State {
        var queue: [(mail: MailRequest, tag: Int)] = []
        var done: [Outcome] = []
        /// Handed in, and not collected yet.
        var inFlight = 0
        var idle = 0
        var threads = 0
        var isOver = false
    }
    static let most = 8

    private let state = Mutex(State())
    private let limits: HTTPLimits
    /// Counts what is in the queue.
    private let work: CountingSemaphore
    /// Called from a thread when an outcome is there. Empty once nobody listens.
    private let wake: Mutex<(@Sendable () -> Void)?>

    init(_ limits: HTTPLimits, wake: @escaping @Sendable () -> Void) {
        self.limits = limits
        self.wake = Mutex(wake)
        work = CountingSemaphore()
    }

    var inFlight: Int { state.withLock { $0.inFlight } }

    func submit(_ mail: MailRequest, tag: Int) {
        let needsThread = state.withLock { state in
            state.queue.append((mail, tag))
            state.inFlight += 1
            guard state.idle < state.queue.count, state.threads < Self.most else { return false }
            state.threads += 1
            return true
        }
        if needsThread { startThread { self.run() } }
        work.post()
    }

    func collect() -> [Outcome] {
        state.withLock { state in
            let done = state.done
            state.done = []
            state.inFlight -= done.count
            return done
        }
    }

    /// Nobody listens any more; the threads end when their mail has.
    func end() {
        wake.withLock { $0 = nil }
        let threads = state.withLock { state in
            state.isOver = true
            return state.threads
        }
        for _ in 0..<threads { work.post() }
    }

    private func run() {
        let transfer = Transfer(limits)
        while true {
            state.withLock { $0.idle += 1 }
            work.wait()
            let next = state.withLock { state -> (mail: MailRequest, tag: Int)? in
                state.idle -= 1
                return state.isOver || state.queue.isEmpty ? nil : state.queue.removeFirst()
            }
            guard let (mail, tag) = next else { return }
            transfer.prepare(mail)
            let outcome = transfer.outcome(curl_easy_perform(UnsafeMutableRawPointer(transfer.handle)))
            state.withLock { $0.done.append((tag, outcome)) }
            wake.withLock { $0?() }
        }
    }
}
