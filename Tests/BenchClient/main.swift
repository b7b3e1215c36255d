// What figures of `make bench` are made with that no script can: the bare HTTP client, and a worker whose jobs do nothing.
//
//     bench-client send URL ACCOUNT USER PASSWORD FROM COUNT      prints messages per second
//     bench-client jobs                                           until SIGTERM; configured like muster-worker
import Glibc
import HTTPClient
import Jobs
import Messaging
import Vocabulary

/// The requests of the send loop, as many at once as it has under way, and nothing else: no queue, no ledger.
func send(_ url: String, _ account: String, _ user: String, _ password: String, _ from: String, _ count: Int) {
    let connections = 64
    let client = HTTPMultiClient(connections: connections)
    var (next, answered, refused) = (0, 0, 0)
    let started = Instant.now()
    while answered < count {
        while next < count, client.inFlight < connections {
            let callback = "http://localhost/webhooks/twilio/\(UUID.v7())/status?m=\(UUID.v7())&a=1#rc=3&rp=ct,rt,5xx&rt=4000"
            let form = [
                ("To", "+1202\(5_000_000 + next)"), ("Body", "Hi Reader \(next), news for you."), ("StatusCallback", callback),
                ("From", from),
            ]
            client.submit(
                HTTPRequest(
                    "POST", "\(url)/2010-04-01/Accounts/\(account)/Messages.json",
                    headers: [("Content-Type", "application/x-www-form-urlencoded")], body: formEncoded(form), user: user,
                    password: password),
                tag: next)
            next += 1
        }
        for (_, outcome) in client.wait(timeoutMilliseconds: 20) {
            answered += 1
            if case .success(let answer) = outcome, answer.status == 201 { continue }
            refused += 1
        }
    }
    guard refused == 0 else {
        print("\(refused) of \(count) were not taken")
        exit(1)
    }
    print(Double(count) / Instant.now().seconds(since: started))
}

let arguments = CommandLine.arguments
switch (arguments.dropFirst().first, arguments.count) {
case ("send", 8):
    guard let count = Int(arguments[7]) else { exit(64) }
    send(arguments[2], arguments[3], arguments[4], arguments[5], arguments[6], count)
case ("jobs", 2):
    runWorker(
        handlers: [JobHandler("bench_single") { _ in [:] }, JobHandler("bench_batch", mostAtOnce: 100) { _ in [:] }], loops: [])
default:
    exit(64)
}
