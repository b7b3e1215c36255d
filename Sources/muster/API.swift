// The HTTP API as this command uses it.
import Glibc
import HTTPClient
import JSON
import Vocabulary

/// Calls one server with one key. Every answer but 2xx is an error that says what the server said.
struct API {
    let url: String
    let key: String
    private let client = HTTPClient(limits: HTTPLimits(connectSeconds: 5, totalSeconds: 300))

    init(url: String, key: String) {
        self.url = url
        self.key = key
    }

    func get(_ path: String) throws -> JSONValue { try send("GET", path, [], nil) }
    func post(_ path: String, _ body: JSONValue) throws -> JSONValue { try send("POST", path, Array(body.text.utf8), "application/json") }
    func post(_ path: String, _ body: [UInt8], _ type: String) throws -> JSONValue { try send("POST", path, body, type) }

    private func send(_ method: String, _ path: String, _ body: [UInt8], _ type: String?) throws -> JSONValue {
        var headers: [(name: String, value: String)] = key.isEmpty ? [] : [("Authorization", "Bearer \(key)")]
        if let type { headers.append(("Content-Type", type)) }
        switch client.send(HTTPRequest(method, url + path, headers: headers, body: body)) {
        case .failure(let failure): throw CommandError("\(method) \(path): \(failure.detail)")
        case .success(let answer):
            guard (200...299).contains(answer.status) else {
                throw CommandError("\(method) \(path): \(answer.status) \(words(of: answer.body))")
            }
            return answer.body.isEmpty ? .null : try JSONValue(parsing: answer.body, limits: .trusted)
        }
    }

    /// What a problem says, fault by fault; any other answer as it came.
    private func words(of body: [UInt8]) -> String {
        guard let problem = try? JSONValue(parsing: body, limits: .trusted), let detail = problem["detail"]?.string else {
            return String(decoding: body.prefix(2000), as: UTF8.self)
        }
        let faults = (problem["errors"]?.array ?? []).map { fault in
            ([fault["pointer"]?.string, fault["detail"]?.string].compactMap { $0 }.filter { !$0.isEmpty }).joined(separator: ": ")
        }
        return ([detail] + faults).joined(separator: "\n  ")
    }

    /// Waits for a job that an answer named.
    func finish(_ accepted: JSONValue, seconds: Double = 600) throws -> JSONValue {
        let id = accepted["job"]?["id"]?.string ?? ""
        let job = try wait(seconds: seconds, "the job \(id)") { () -> JSONValue? in
            let job = try get("/api/jobs/\(id)")
            return ["succeeded", "failed", "cancelled"].contains(job["state"]?.string) ? job : nil
        }
        guard job["state"]?.string == "succeeded" else {
            throw CommandError("the job \(id) \(job["state"]?.string ?? ""): \(job["problem"]?["detail"]?.string ?? "")")
        }
        return job
    }

    /// Asks again until there is an answer.
    func wait<T>(seconds: Double, _ what: String, _ ask: () throws -> T?) throws -> T {
        let deadline = Instant.now() + seconds
        while Instant.now() < deadline {
            if let answer = try ask() { return answer }
            usleep(100_000)
        }
        throw CommandError("waited \(Int(seconds)) s in vain for \(what)")
    }
}
