// What became of one attempt to hand a message to its provider.

/// The five things that an attempt can come to. Which answer is which is for the provider's client to say.
public enum SendOutcome: Sendable, Hashable {
    /// Accepted under the provider's id, with its first status and, where it says so, its own count of parts.
    case sent(sid: String, status: String, parts: Int?)
    /// Refused for good; the same message would be refused again.
    case rejected(code: Int, class: ErrorClass)
    /// Provably not processed: no connection, or turned away for load. Safe to try again.
    case retryLater(afterSeconds: Double?)
    /// The same for this message alone: its recipient's server puts it off. Others need not wait.
    case deferred(afterSeconds: Double)
    /// The request left and its answer is lost or says nothing. Never sent again by guessing.
    case unknown(reason: String)
    /// The credentials are not accepted: nothing of this sender will be.
    case authenticationFailed
}

/// What a provider's error code means for us (protocols of the provider, as data in its folder).
public enum ErrorClass: String, Sendable, Hashable, CaseIterable {
    /// The number cannot be reached, ever.
    case hard
    /// This time it did not work.
    case soft
    /// Carrier or provider blocks this recipient for now.
    case blocked
    /// The recipient has opted out of this sender.
    case optOut = "opt_out"
    /// The text was filtered.
    case content
    /// The account or the sender is not set up for this.
    case configuration
    /// The account is suspended.
    case account
    /// The provider is behind: slow down.
    case transient
    /// Too late: the validity period ran out.
    case expired
    /// We sent something that is not allowed.
    case bug
}
