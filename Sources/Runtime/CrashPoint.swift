// Named places where a worker can be made to die, so that a test can ask what is left behind.
internal import Glibc
internal import Synchronization

/// Kills the process without any farewell when `MUSTER_CRASH_AT` names this point; `after_start:3` at the third time.
/// In release builds this is nothing.
@inlinable @inline(__always)
public func crashPoint(_ name: StaticString) {
    #if DEBUG
        passCrashPoint(name)
    #endif
}

#if DEBUG
    @usableFromInline func passCrashPoint(_ name: StaticString) {
        if let armed = CrashPoint.armed, armed.name == name.description { armed.pass() }
    }

    private struct CrashPoint: Sendable {
        let name: String
        private let passes: Int
        private static let passed = Atomic<Int>(0)

        static let armed: CrashPoint? = {
            guard let value = getenv("MUSTER_CRASH_AT").map({ String(cString: $0) }), !value.isEmpty else { return nil }
            let parts = value.split(separator: ":")
            return CrashPoint(name: String(parts[0]), passes: parts.count > 1 ? Int(parts[1]) ?? 1 : 1)
        }()

        func pass() {
            if Self.passed.wrappingAdd(1, ordering: .relaxed).newValue == passes { kill(getpid(), SIGKILL) }
        }
    }
#endif
