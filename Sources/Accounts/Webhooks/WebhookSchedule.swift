// When a delivery is tried again, and what an answer means.
internal import HTTPClient

enum WebhookSchedule {
    /// Seconds before each attempt, from the one before: three days in all (the example of Standard Webhooks 1.0.0).
    static let pauses: [Double] = [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    static var attempts: Int { pauses.count }

    /// - Parameters:
    ///   - attempts: that were made, from 1.
    ///   - retryAfter: what the receiver asked for, in seconds; a day at most is granted.
    ///   - chance: `0..<1`: up to a tenth longer, so that those that failed together do not come back together.
    /// - Returns: seconds until the next attempt; `nil` after the last.
    static func pause(after attempts: Int, retryAfter: Double? = nil, chance: Double) -> Double? {
        guard attempts < pauses.count else { return nil }
        return max(pauses[attempts], min(retryAfter ?? 0, 86_400)) * (1 + chance / 10)
    }
}

/// What came of an attempt.
struct WebhookOutcome: Equatable {
    enum Verdict: Equatable {
        case delivered
        /// 410: it asked never to be called again.
        case gone
        /// - Parameter rest: seconds for which it wants no deliveries at all; `nil` when it did not say so.
        case failed(rest: Double?)
    }
    let verdict: Verdict
    let status: Int?
    /// For whoever reads the log.
    let error: String?
    /// The beginning of the answer.
    let answer: String?
    static let answerLimit = 1024
    /// How long a receiver rests that is overloaded and does not say for how long.
    private static let usualRest = 30.0

    init(_ result: Result<HTTPResponse, HTTPFailure>) {
        switch result {
        case .failure(let failure):
            verdict = .failed(rest: nil)
            status = nil
            error = "No answer: \(failure.detail)."
            answer = nil
        case .success(let response):
            status = response.status
            let text = String(decoding: response.body.prefix(Self.answerLimit), as: UTF8.self)
            // What is stored as JSON holds no U+0000.
            answer = text.isEmpty ? nil : String(String.UnicodeScalarView(text.unicodeScalars.filter { $0 != "\0" }))
            switch response.status {
            case 200...299:
                verdict = .delivered
                error = nil
            case 410:
                verdict = .gone
                error = "It answered 410, gone: the webhook is disabled."
            case 300...399:
                verdict = .failed(rest: nil)
                error = "It answered \(response.status), a redirection; those are not followed."
            case 429, 502, 503, 504:
                let wanted = response.header("retry-after").flatMap { Double($0) }.flatMap { $0.isFinite && $0 >= 0 ? $0 : nil }
                verdict = .failed(rest: min(wanted ?? Self.usualRest, 3600))
                error = "It answered \(response.status): too busy."
            default:
                verdict = .failed(rest: nil)
                error = "It answered \(response.status)."
            }
        }
    }
}
