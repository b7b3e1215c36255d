import Foundation

/// Runs `work` on `count` threads at once and gives their results in order.
/// - Throws: the first error.
public func inParallel<T: Sendable>(_ count: Int, _ work: @escaping @Sendable (Int) throws -> T) throws -> [T] {
    let results = Results<T>()
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread.detachNewThread {
            results.set(index, Result { try work(index) })
            group.leave()
        }
    }
    group.wait()
    return try results.all(count)
}

private final class Results<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var results: [Int: Result<T, any Error>] = [:]
    func set(_ index: Int, _ result: Result<T, any Error>) { lock.withLock { results[index] = result } }
    func all(_ count: Int) throws -> [T] { try (0..<count).map { try results[$0]!.get() } }
}
