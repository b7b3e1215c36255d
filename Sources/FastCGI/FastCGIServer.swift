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

    /// How long a connection may take to bring the rest of a record, or to take the answer.
    private static let transferTimeoutSeconds = 30

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
        // libfcgi's streams remember the address of their request, so it never moves.
        let request = UnsafeMutablePointer<FCGX_Request>.allocate(capacity: 1)
        defer { request.deallocate() }
        // No listening socket: libfcgi must never accept by itself.
        FCGX_InitRequest(request, -1, 0)
        while true {
            var event = epoll_event()
            // While draining, parked connections whose request is under way already are still served.
            let draining = isDraining.load(ordering: .relaxed)
            let count = draining ? nextParked(&event) : epoll_wait(poller, &event, 1, -1)
            if count < 0, errno == EINTR { continue }
            guard count == 1 else {
                if draining { return }
                continue
            }
            let descriptor = event.data.fd
            if descriptor == stopEvent { continue }
            if descriptor == listener {
                let connection = accept(listener, nil, nil)
                // Out of descriptors: whoever waits in the backlog must not make this loop spin.
                if connection < 0, errno == EMFILE || errno == ENFILE { usleep(10_000) }
                if !isDraining.load(ordering: .relaxed) {
                    watch(listener, EPOLLIN.rawValue | EPOLLONESHOT.rawValue, EPOLL_CTL_MOD)
                }
                guard connection >= 0 else { continue }
                limitTransfers(connection)
                var byte: UInt8 = 0
                if recv(connection, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) < 0, errno == EAGAIN {
                    park(connection, isNew: true)
                } else {
                    serve(connection, request, handle, isNew: true)
                }
            } else {
                serve(descriptor, request, handle, isNew: false)
            }
        }
    }

    /// Another event than the stop event, which stays readable; waits a moment for requests under way.
    private func nextParked(_ event: inout epoll_event) -> Int32 {
        var events = [epoll_event](repeating: epoll_event(), count: 16)
        let deadline = monotonicSeconds() + 0.05
        repeat {
            let count = epoll_wait(poller, &events, 16, 0)
            // Parked connections are one-shot: one that is seen here and not taken would be lost, so take the first
            // and arm the others again.
            let parked = events.prefix(Int(max(0, count))).filter { $0.data.fd != stopEvent && $0.data.fd != listener }
            if let first = parked.first {
                for other in parked.dropFirst() { park(other.data.fd, isNew: false) }
                event = first
                return 1
            }
            usleep(2_000)
        } while monotonicSeconds() < deadline
        return 0
    }

    private func serve(
        _ connection: Int32, _ request: UnsafeMutablePointer<FCGX_Request>, _ handle: (FastCGIRequest) -> Void,
        isNew: Bool
    ) {
        request.pointee.ipcFd = connection
        // Accept first finishes the request before, and would close what we just put in.
        request.pointee.keepConnection = 1
        // Parses the records that are there. A malformed or ended connection is closed by libfcgi, which then tries to
        // accept another one, fails for lack of a socket and returns an error.
        guard FCGX_Accept_r(request) == 0 else {
            if request.pointee.ipcFd >= 0 { close(request.pointee.ipcFd) }
            request.pointee.ipcFd = -1
            return
        }
        handle(FastCGIRequest(request))
        FCGX_Finish_r(request)
        guard request.pointee.ipcFd >= 0 else { return }
        // The web server keeps the connection: park it, or close it when we are about to leave.
        request.pointee.ipcFd = -1
        if isDraining.load(ordering: .relaxed) { close(connection) } else { park(connection, isNew: isNew) }
    }

    private func park(_ connection: Int32, isNew: Bool) {
        let events = EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLONESHOT.rawValue
        if isNew { watch(connection, events) } else { watch(connection, events, EPOLL_CTL_MOD) }
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

private func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
