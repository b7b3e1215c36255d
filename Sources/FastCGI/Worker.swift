// What one thread needs to serve connections one after another: libfcgi's request and room for a head.
internal import CFastCGI
internal import Glibc

/// Owned by one thread.
final class Worker {
    enum Outcome {
        /// The connection is ready for its next request.
        case keep
        case close
        /// libfcgi has closed it.
        case closed
    }

    private let request: UnsafeMutablePointer<FCGX_Request>
    private let head = UnsafeMutableRawBufferPointer.allocate(byteCount: RequestHead.maximumBytes, alignment: 8)
    private let threads: Int

    /// How long a client may go on sending what nobody wants to read.
    private static let lingerSeconds = 1.0

    init(threads: Int) {
        self.threads = threads
        // libfcgi's streams remember the address of their request, so it never moves.
        request = .allocate(capacity: 1)
        // No listening socket: libfcgi must never accept by itself.
        FCGX_InitRequest(request, -1, 0)
    }

    deinit {
        request.deallocate()
        head.deallocate()
    }

    /// One request of a connection that has bytes.
    func serve(_ connection: Int32, _ handle: (FastCGIRequest) -> Void) -> Outcome {
        switch readHead(connection) {
        case nil: return .keep
        case .complete(let isWhole): return serve(connection, isWhole: isWhole, handle)
        case .management(let type, let names, let length):
            let answer = RequestHead.answer(toManagement: type, names, threads: threads)
            guard recv(connection, head.baseAddress, length, 0) == length else { return .close }
            return send(connection, answer, answer.count, Int32(MSG_NOSIGNAL)) == answer.count ? .keep : .close
        case .unknownRole(let id):
            let refusal = RequestHead.refusal(ofRole: id)
            _ = send(connection, refusal, refusal.count, Int32(MSG_NOSIGNAL))
            linger(connection)
            return .close
        case .incomplete, .malformed: return .close
        }
    }

    /// Looks without taking, until the head is whole: libfcgi takes it then.
    /// - Returns: `nil` when there is not one byte.
    private func readHead(_ connection: Int32) -> RequestHead? {
        let deadline = monotonicSeconds() + Double(FastCGIServer.transferTimeoutSeconds)
        var hasLeft = false
        while true {
            let count = recv(connection, head.baseAddress, head.count, Int32(MSG_PEEK | MSG_DONTWAIT))
            if count < 0, errno == EAGAIN { return nil }
            guard count > 0 else { return .incomplete }
            let verdict = RequestHead(UnsafeRawBufferPointer(rebasing: head[..<count]))
            guard verdict == .incomplete, !hasLeft, monotonicSeconds() < deadline else { return verdict }
            // There is something to read all the time, so only the other side's leaving wakes this up. (POLLRDHUP has
            // the same value, but is no name that Swift sees.)
            var leaving = pollfd(fd: connection, events: Int16(EPOLLRDHUP.rawValue), revents: 0)
            hasLeft = poll(&leaving, 1, 1) > 0
        }
    }

    private func serve(_ connection: Int32, isWhole: Bool, _ handle: (FastCGIRequest) -> Void) -> Outcome {
        request.pointee.ipcFd = connection
        // Accept first finishes the request before, and would close what we just put in.
        request.pointee.keepConnection = 1
        // When libfcgi closes, it does so at once. Else it waits for the client to go first, up to two seconds a byte.
        request.pointee.detached = 1
        guard FCGX_Accept_r(request) == 0 else {
            if request.pointee.ipcFd >= 0 { Glibc.close(request.pointee.ipcFd) }
            request.pointee.ipcFd = -1
            return .closed
        }
        handle(FastCGIRequest(request))
        let hasEnded = takeRestOfBody(isWhole: isWhole)
        let isKept = request.pointee.keepConnection != 0
        request.pointee.keepConnection = 1
        FCGX_Finish_r(request)
        // Closed, when the answer could not be written.
        guard request.pointee.ipcFd >= 0 else { return .closed }
        request.pointee.ipcFd = -1
        if !hasEnded { linger(connection) }
        return hasEnded && isKept ? .keep : .close
    }

    /// The next request begins behind this one's body, also where the handler did not read it. Waits for nothing: a body
    /// that is still being sent ends the connection instead.
    private func takeRestOfBody(isWhole: Bool) -> Bool {
        guard let body = request.pointee.in else { return false }
        let flags = fcntl(request.pointee.ipcFd, F_GETFL)
        if body.pointee.isClosed == 0 {
            if !isWhole { _ = fcntl(request.pointee.ipcFd, F_SETFL, flags | O_NONBLOCK) }
            let room = head.baseAddress!.assumingMemoryBound(to: CChar.self)
            while FCGX_GetStr(room, Int32(head.count), body) == Int32(head.count) {}
            if !isWhole { _ = fcntl(request.pointee.ipcFd, F_SETFL, flags) }
        }
        defer { FCGX_ClearError(body) }
        return FCGX_GetError(body) == 0
    }

    /// Lets the client take the answer: closing what it still sends to would destroy the answer on its way.
    private func linger(_ connection: Int32) {
        shutdown(connection, Int32(SHUT_WR))
        let deadline = monotonicSeconds() + Self.lingerSeconds
        while case let left = deadline - monotonicSeconds(), left > 0 {
            var arriving = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
            guard poll(&arriving, 1, Int32(left * 1000) + 1) > 0, recv(connection, head.baseAddress, head.count, 0) > 0 else { return }
        }
    }
}
