// Waiting for another thread, by a POSIX semaphore: one word of memory, and no call of the kernel where nobody waits.
internal import Glibc

/// Counts what was posted and not yet waited for.
public final class CountingSemaphore: @unchecked Sendable {
    // The kernel knows it by its address.
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    public init(_ count: UInt32 = 0) { sem_init(semaphore, 0, count) }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    public func post() { sem_post(semaphore) }

    /// Until there is one to take.
    public func wait() { while sem_wait(semaphore) != 0 {} }
}
