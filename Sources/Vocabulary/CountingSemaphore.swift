// Waiting for another thread.
internal import Glibc

/// Counts what was posted and not yet waited for.
public final class CountingSemaphore: @unchecked Sendable {
    // The kernel knows both by their addresses.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let posted = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count = 0

    public init() {
        pthread_mutex_init(lock, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // By a clock that nobody sets; POSIX semaphores know the other one only.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(posted, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(posted)
        pthread_mutex_destroy(lock)
        posted.deallocate()
        lock.deallocate()
    }

    public func post() {
        pthread_mutex_lock(lock)
        count += 1
        pthread_cond_signal(posted)
        pthread_mutex_unlock(lock)
    }

    /// Until there is one to take.
    public func wait() {
        pthread_mutex_lock(lock)
        while count == 0 { pthread_cond_wait(posted, lock) }
        count -= 1
        pthread_mutex_unlock(lock)
    }

    /// - Returns: whether there was one to take in that time.
    public func wait(seconds: Double) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + Int((seconds - seconds.rounded(.down)) * 1e9)
        deadline.tv_sec += Int(seconds) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while count == 0 { if pthread_cond_timedwait(posted, lock, &deadline) == ETIMEDOUT, count == 0 { return false } }
        count -= 1
        return true
    }
}
