// HTTP, and mail, through libcurl: one request at a time, or many at once on one thread. Connections are kept.
internal import CCurl
internal import Glibc

/// One request at a time. One owner, one thread.
public final class HTTPClient {
    private let transfer: Transfer
    public init(limits: HTTPLimits = HTTPLimits()) { transfer = Transfer(limits) }

    /// No redirect is followed; any status is an answer.
    public func send(_ request: HTTPRequest) -> Result<HTTPResponse, HTTPFailure> {
        if let refusal = request.refusal { return .failure(refusal) }
        transfer.prepare(request)
        return transfer.outcome(curl_easy_perform(UnsafeMutableRawPointer(transfer.handle)))
    }
}

/// Many requests at once on one thread, over kept connections: the send loop's.
public final class HTTPMultiClient {
    private let multi: OpaquePointer
    private let limits: HTTPLimits
    private var idle: [Transfer] = []
    private var running: [OpaquePointer: (transfer: Transfer, tag: Int)] = [:]
    /// Outcomes that needed no connection.
    private var refused: [(tag: Int, outcome: Result<HTTPResponse, HTTPFailure>)] = []
    /// From the first mail on.
    private var mails: MailThreads?

    /// - Parameter connections: how many are kept, at most.
    public init(connections: Int, limits: HTTPLimits = HTTPLimits()) {
        precondition(curlIsReady, "libcurl cannot start")
        guard let multi = curl_multi_init() else { preconditionFailure("libcurl gives no handle") }
        self.multi = OpaquePointer(multi)
        self.limits = limits
        _ = muster_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, connections)
        _ = muster_curl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections)
    }

    deinit {
        mails?.end()
        for (handle, _) in running { curl_multi_remove_handle(raw, UnsafeMutableRawPointer(handle)) }
        running.removeAll()
        curl_multi_cleanup(raw)
    }

    private var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(multi) }

    /// How many mails are handed over at once; more wait for one of them.
    public static let mailsAtOnce = MailThreads.most

    /// Requests under way.
    public var inFlight: Int { running.count + refused.count + (mails?.inFlight ?? 0) }

    /// Begins a request. Its tag comes back with its outcome.
    public func submit(_ request: HTTPRequest, tag: Int) {
        if let refusal = request.refusal { return refused.append((tag, .failure(refusal))) }
        let transfer = idle.popLast() ?? Transfer(limits)
        transfer.prepare(request)
        running[transfer.handle] = (transfer, tag)
        curl_multi_add_handle(raw, UnsafeMutableRawPointer(transfer.handle))
        var count: Int32 = 0
        curl_multi_perform(raw, &count)
    }

    /// Begins to hand over a mail, over a kept connection to its server where there is one.
    public func submit(_ mail: MailRequest, tag: Int) {
        if let refusal = mail.refusal { return refused.append((tag, .failure(refusal))) }
        // The one thing of a multi handle that other threads may touch.
        nonisolated(unsafe) let multi = raw
        let mails = mails ?? MailThreads(limits) { _ = curl_multi_wakeup(multi) }
        self.mails = mails
        mails.submit(mail, tag: tag)
    }

    /// Outcomes that have come in; waits for the first up to the time-out while anything is under way.
    public func wait(timeoutMilliseconds: Int) -> [(tag: Int, outcome: Result<HTTPResponse, HTTPFailure>)] {
        var done = collect()
        let deadline = milliseconds() + timeoutMilliseconds
        while done.isEmpty, !running.isEmpty || (mails?.inFlight ?? 0) > 0 {
            let left = deadline - milliseconds()
            guard left > 0 else { break }
            curl_multi_poll(raw, nil, 0, Int32(left), nil)
            done = collect()
        }
        return done
    }

    private func collect() -> [(tag: Int, outcome: Result<HTTPResponse, HTTPFailure>)] {
        var count: Int32 = 0
        curl_multi_perform(raw, &count)
        var done = refused + (mails?.collect() ?? [])
        refused.removeAll()
        var left: Int32 = 0
        while let message = curl_multi_info_read(raw, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
            let code = muster_curl_message_result(message)
            guard let (transfer, tag) = running.removeValue(forKey: OpaquePointer(easy)) else { continue }
            curl_multi_remove_handle(raw, easy)
            done.append((tag, transfer.outcome(code)))
            idle.append(transfer)
        }
        return done
    }
}

private func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
