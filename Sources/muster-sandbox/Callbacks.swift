// Signed callbacks, sent from a thread of their own over kept connections.
import Glibc
import HTTPClient
import Messaging
import Secrets
import Synchronization
import Vocabulary

/// Callbacks that wait for their moment.
final class Callbacks: Sendable {
    private struct Pending {
        var due: Int64
        let order: Int
        let sid: String
        let status: String
        /// The message takes the status on, and nobody is told.
        let isSilent: Bool
        var tries = 1
    }
    /// SendGrid tells an event again until it is taken, for a day; here for ten seconds.
    private static let mostTries = 100
    private struct State {
        var queue: [Pending] = []
        var order = 0
    }
    static let shared = Callbacks()
    private let state = Mutex(State())
    private let started = Atomic<Bool>(false)

    /// Plans a message's callbacks by the fault plan.
    func plan(_ message: SandboxMessage, _ faults: FaultPlan) {
        if let mail = message.mail {
            if mail.eventsURL != nil { enqueue(message, mail.events(message.to, faults), faults) }
            return
        }
        guard message.callbackURL != nil, Ledger.shared.token(message.account) != nil else { return }
        var statuses = ["queued", "sent"]
        if FaultPlan.hits(faults.failed, message.to, "failed") {
            statuses = ["queued", "failed"]
        } else if FaultPlan.hits(faults.undelivered, message.to, "undelivered") {
            statuses.append("undelivered")
        } else {
            statuses.append("delivered")
        }
        enqueue(message, statuses, faults)
    }

    private func enqueue(_ message: SandboxMessage, _ planned: [String], _ faults: FaultPlan) {
        let isSilent = FaultPlan.hits(faults.dropCallbacks, message.to, "drop")
        let statuses = faults.reorder ? planned.reversed() : planned
        let now = milliseconds()
        state.withLock { state in
            for (index, status) in statuses.enumerated() {
                for _ in 0...faults.duplicates {
                    state.order += 1
                    state.queue.append(
                        Pending(
                            due: now + Int64((index + 1) * faults.callbackDelayMilliseconds), order: state.order, sid: message.sid,
                            status: status, isSilent: isSilent))
                }
            }
        }
        if !started.exchange(true, ordering: .acquiringAndReleasing) { startThread { self.run() } }
    }

    private func run() {
        let client = HTTPMultiClient(connections: 16)
        var underWay: [Int: Pending] = [:]
        var tag = 0
        while true {
            let now = milliseconds()
            let due = state.withLock { state in
                let due = state.queue.filter { $0.due <= now }.sorted { ($0.due, $0.order) < ($1.due, $1.order) }.prefix(200)
                if !due.isEmpty {
                    let taken = Set(due.map(\.order))
                    state.queue.removeAll { taken.contains($0.order) }
                }
                return Array(due)
            }
            for callback in due {
                guard let request = request(callback.sid, callback.status), !callback.isSilent else { continue }
                tag += 1
                underWay[tag] = callback
                client.submit(request, tag: tag)
                // A bound on what is in flight keeps the receiver's backlog short.
                while client.inFlight >= 32 { collect(client, &underWay, 1000) }
            }
            if client.inFlight > 0 { collect(client, &underWay, 5) } else if due.isEmpty { usleep(2000) }
        }
    }

    private func collect(_ client: HTTPMultiClient, _ underWay: inout [Int: Pending], _ wait: Int) {
        for (tag, outcome) in client.wait(timeoutMilliseconds: wait) {
            guard let callback = underWay.removeValue(forKey: tag) else { continue }
            let answer = if case .success(let response) = outcome { response.status } else { 0 }
            Ledger.shared.update(callback.sid) { $0.callbacks.append((callback.status, answer)) }
            let isTaken = (200..<300).contains(answer)
            if !isTaken, callback.tries < Self.mostTries, Ledger.shared.message(callback.sid)?.mail != nil { repeatLater(callback) }
        }
    }

    private func repeatLater(_ callback: Pending) {
        var again = callback
        again.tries += 1
        again.due = milliseconds() + 100
        state.withLock { $0.queue.append(again) }
    }

    /// The callback of a status, which the message takes on.
    private func request(_ sid: String, _ status: String) -> HTTPRequest? {
        let faults = Ledger.shared.plan
        if let mail = Ledger.shared.message(sid)?.mail { return mail.request(sid, event: status) }
        Ledger.shared.update(sid) { message in
            if !["delivered", "undelivered", "failed"].contains(message.status) {
                message.status = status
                if status == "undelivered" { message.errorCode = faults.undeliveredCode }
                if status == "failed" { message.errorCode = faults.failedCode }
            }
        }
        guard let message = Ledger.shared.message(sid), let url = message.callbackURL, let token = Ledger.shared.token(message.account)
        else {
            return nil
        }
        var form: [(name: String, value: String)] = [
            ("SmsSid", sid), ("SmsStatus", status), ("MessageStatus", status), ("To", message.to), ("MessageSid", sid),
            ("AccountSid", message.account), ("From", message.from), ("ApiVersion", "2010-04-01"),
        ]
        if status == "undelivered" || status == "failed", let code = message.errorCode { form.append(("ErrorCode", String(code))) }
        return signedForm(url, form, token)
    }
}

/// A form post signed as Twilio signs.
func signedForm(_ url: String, _ form: [(name: String, value: String)], _ token: String) -> HTTPRequest {
    HTTPRequest(
        "POST", url,
        headers: [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Twilio-Signature", TwilioSignature.sign(url: url, form: form, token: token)),
        ], body: formEncoded(form.map { ($0.name, $0.value) }))
}

func milliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
