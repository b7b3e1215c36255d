// Worker threads on one listening socket. C: libfcgi reads and writes records, we say who accepts what and when.
//
//            ┌───────── epoll ─────────┐
//   listen ──┤ one event to one worker ├──► worker: take the connection, one request, answer
//   parked ──┤                         │              └─ kept by the web server? park it again
//   stop ────┤ wakes every worker      │
//            └─────────────────────────┘
//
// libfcgi's own accept would pin a thread to each kept connection and cannot be woken, so it is never called: it gets
// connections that have bytes to read.
internal import CFastCGI
internal import Glibc
internal import Synchronization
internal import Vocabulary

/// Serves a listening socket until SIGTERM or SIGINT.
public final class FastCGIServer: Sendable {
    private let threads: Int
    private let listener: Int32
    private let poller: Int32
    private let stopEvent: Int32
    private let finished: Int32
    private let isDraining = Atomic<Bool>(false)
    /// Connections that no worker has.
    private let parked = Mutex<Set<Int32>>([])

    /// How long a connection may take to bring the rest of a record, or to take the answer.
    static let transferTimeoutSeconds = 30
    /// How long a drain waits for the first byte of what was accepted.
    private static let graceSeconds = 0.05

    /// - Parameter descriptor: a listening socket; 0 is where systemd and spawn-fcgi put it.
    /// - Throws: `.notListening` when it is none.
    public init(threads: Int, descriptor: Int32 = 0) throws(FastCGIError) {
        var isListening: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size) == 0, isListening == 1 else {
            throw .notListening
        }
        self.threads = threads
        listener = descriptor
        poller = epoll_create1(Int32(EPOLL_CLOEXEC))
        stopEvent = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        finished = eventfd(0, Int32(EFD_CLOEXEC | EFD_SEMAPHORE))
        // A client may have left between the event and accept, which must not wait then.
        _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
        // One-shot: one connection wakes one worker, which arms it again once it has accepted.
        watch(listener, EPOLLIN.rawValue | EPOLLONESHOT.rawValue)
        watch(stopEvent, EPOLLIN.rawValue)
    }

    deinit {
        close(poller)
        close(stopEvent)
        close(finished)
    }

    /// Runs until SIGTERM or SIGINT, then drains: nothing new is accepted, requests in flight get `drainSeconds`.
    /// A second signal ends the wait.
    /// - Parameter makeHandler: called once on each worker thread, so that each owns its state.
    public func run(
        drainSeconds: Double = 10, makeHandler: @escaping @Sendable () -> ((FastCGIRequest) -> Void)
    ) {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        // Threads inherit the mask: signals reach the descriptor below and nobody else.
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        let signalDescriptor = signalfd(-1, &signals, Int32(SFD_CLOEXEC))
        defer { close(signalDescriptor) }
        start(makeHandler)
        wait(for: [signalDescriptor, stopEvent], seconds: -1)
        drainSignal(signalDescriptor)
        stop()
        let deadline = monotonicSeconds() + drainSeconds
        var running = threads
        while running > 0 {
            let left = deadline - monotonicSeconds()
            guard left > 0, let ready = wait(for: [finished, signalDescriptor], seconds: left) else { return }
            if ready == signalDescriptor { return }
            var one: UInt64 = 0
            _ = read(finished, &one, 8)
            running -= 1
        }
    }

    /// Begins the drain, as SIGTERM does.
    public func stop() {
        isDraining.store(true, ordering: .sequentiallyConsistent)
        epoll_ctl(poller, EPOLL_CTL_DEL, listener, nil)
        var one: UInt64 = 1
        _ = Glibc.write(stopEvent, &one, 8)
    }

    private func start(_ makeHandler: @escaping @Sendable () -> ((FastCGIRequest) -> Void)) {
        FCGX_Init()
        signal(SIGPIPE, SIG_IGN)
        for _ in 0..<threads {
            startThread { [self] in
                work(makeHandler())
                var one: UInt64 = 1
                _ = Glibc.write(finished, &one, 8)
            }
        }
    }

    // MARK: Workers

    private func work(_ handle: (FastCGIRequest) -> Void) {
        let worker = Worker(threads: threads)
        while !isDraining.load(ordering: .sequentiallyConsistent) {
            var event = epoll_event()
            guard epoll_wait(poller, &event, 1, -1) == 1 else { continue }
            switch event.data.fd {
            case stopEvent: continue
            case listener: if let connection = acceptOne() { serve(connection, worker, handle) }
            // Who takes it out of the set owns it.
            case let connection: if unpark(connection) { serve(connection, worker, handle) }
            }
        }
        // What was accepted and whose request is on its way is still answered.
        let deadline = monotonicSeconds() + Self.graceSeconds
        repeat {
            while let connection = parkedWithBytes() { serve(connection, worker, handle) }
            usleep(2_000)
        } while monotonicSeconds() < deadline
        // A connection that is left open would be given requests that nobody answers, while another worker is still busy.
        for connection in parked.withLock({ $0 }) where unpark(connection) {
            // From here on a request cannot be sent; one that was sent before is still answered.
            shutdown(connection, Int32(SHUT_RD))
            if peekedByte(connection) > 0 { serve(connection, worker, handle) } else { close(connection) }
        }
    }

    /// - Returns: a connection that may have something to read.
    private func acceptOne() -> Int32? {
        let connection = accept(listener, nil, nil)
        // Out of descriptors: whoever waits in the backlog must not make the loop spin.
        if connection < 0, errno == EMFILE || errno == ENFILE { usleep(10_000) }
        if !isDraining.load(ordering: .sequentiallyConsistent) {
            watch(listener, EPOLLIN.rawValue | EPOLLONESHOT.rawValue, EPOLL_CTL_MOD)
        }
        guard connection >= 0 else { return nil }
        // A child that inherited it would keep it open after we closed it, and the client waiting.
        _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
        limitTransfers(connection)
        // Known, but not armed.
        watch(connection, EPOLLONESHOT.rawValue)
        if hasBytes(connection) { return connection }
        // What has no bytes yet waits where it costs no thread.
        park(connection)
        return nil
    }

    private func serve(_ connection: Int32, _ worker: Worker, _ handle: (FastCGIRequest) -> Void) {
        switch worker.serve(connection, handle) {
        // Not while draining: the next request would come too late.
        case .keep where !isDraining.load(ordering: .sequentiallyConsistent): park(connection)
        case .keep, .close: close(connection)
        case .closed: break
        }
    }

    // MARK: Parked connections

    private func park(_ connection: Int32) {
        parked.withLock { _ = $0.insert(connection) }
        watch(connection, EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLONESHOT.rawValue, EPOLL_CTL_MOD)
    }

    private func unpark(_ connection: Int32) -> Bool { parked.withLock { $0.remove(connection) != nil } }

    private func parkedWithBytes() -> Int32? {
        parked.withLock { parked in parked.first(where: hasBytes).flatMap { parked.remove($0) } }
    }

    /// Also when the other side has left.
    private func hasBytes(_ connection: Int32) -> Bool {
        peekedByte(connection) >= 0 || errno != EAGAIN
    }

    private func peekedByte(_ connection: Int32) -> Int {
        var byte: UInt8 = 0
        return recv(connection, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
    }

    private func watch(_ descriptor: Int32, _ events: UInt32, _ operation: Int32 = EPOLL_CTL_ADD) {
        var event = epoll_event(events: events, data: epoll_data_t(fd: descriptor))
        epoll_ctl(poller, operation, descriptor, &event)
    }

    private func limitTransfers(_ connection: Int32) {
        var limit = timeval(tv_sec: Self.transferTimeoutSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }
}

// MARK: Small things

@discardableResult
private func wait(for descriptors: [Int32], seconds: Double) -> Int32? {
    while true {
        var polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let count = poll(&polled, nfds_t(polled.count), seconds < 0 ? -1 : Int32(seconds * 1000) + 1)
        if count < 0, errno == EINTR { continue }
        return polled.first { $0.revents != 0 }?.fd
    }
}

private func drainSignal(_ descriptor: Int32) {
    var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&polled, 1, 0) == 1 else { return }
    var info = signalfd_siginfo()
    _ = read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size)
}

func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
