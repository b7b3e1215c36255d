// Passwords: argon2id through libsodium, as PHC strings.
internal import CSodium
internal import Glibc
internal import Synchronization

public enum Password {
    public enum Failure: Error { case outOfMemory }

    /// libsodium's INTERACTIVE cost: 64 MiB and two passes, above OWASP's minimum of 19 MiB and two.
    private static let operations = UInt64(crypto_pwhash_OPSLIMIT_INTERACTIVE)
    private static let memory = Int(crypto_pwhash_MEMLIMIT_INTERACTIVE)
    /// At 64 MiB each, hashes at once are bounded for the whole process.
    private static let gate = Gate(2)

    public static func hash(_ password: String) throws(Failure) -> String {
        _ = Sodium.ready
        gate.enter()
        defer { gate.leave() }
        var text = [CChar](repeating: 0, count: Int(crypto_pwhash_STRBYTES))
        guard crypto_pwhash_str(&text, password, UInt64(password.utf8.count), operations, memory) == 0 else {
            throw .outOfMemory
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    public static func verify(_ password: String, against hash: String) -> Bool {
        _ = Sodium.ready
        gate.enter()
        defer { gate.leave() }
        return crypto_pwhash_str_verify(hash, password, UInt64(password.utf8.count)) == 0
    }

    /// Whether the cost has been raised since this hash was made.
    public static func needsRehash(_ hash: String) -> Bool {
        crypto_pwhash_str_needs_rehash(hash, operations, memory) != 0
    }

    /// The work of a verification, for people that do not exist: the time of sign-in must not tell.
    public static func verifyNobody(_ password: String) { _ = verify(password, against: nobody) }
    private static let nobody: String = {
        do { return try hash("nobody has this password") } catch { return "" }
    }()
}

/// Lets a bounded number of threads through.
private final class Gate: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    init(_ count: UInt32) { sem_init(semaphore, 0, count) }
    func enter() { while sem_wait(semaphore) != 0 {} }
    func leave() { sem_post(semaphore) }
}
