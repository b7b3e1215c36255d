// Named places where a process can be made to die, so that a test can ask what is left behind.
internal import Glibc
internal import Synchronization

/// Kills the process without any farewell when `MUSTER_CRASH_AT` names this point: `after_start`, `after_start:3` at the
/// third time. With a path instead, while there is a file that says `after_start 20` or `any 50`: at this point, or at any,
/// once in so many times by chance. In release builds this is nothing.
@inlinable @inline(__always)
public func crashPoint(_ name: StaticString) {
    #if DEBUG
        passCrashPoint(name)
    #endif
}

#if DEBUG
    @usableFromInline func passCrashPoint(_ name: StaticString) {
        switch CrashPoint.armed {
        case .none: break
        case .named(let armed, let passes) where armed == name.description: CrashPoint.pass(passes)
        case .named: break
        case .file(let path): CrashPoint.chance(name.description, path)
        }
    }

    private enum CrashPoint: Sendable {
        case none
        case named(String, Int)
        case file(String)

        private static let passed = Atomic<Int>(0)

        static let armed: CrashPoint = {
            guard let value = getenv("MUSTER_CRASH_AT").map({ String(cString: $0) }), !value.isEmpty else { return .none }
            if value.hasPrefix("/") { return .file(value) }
            let parts = value.split(separator: ":")
            return .named(String(parts[0]), parts.count > 1 ? Int(parts[1]) ?? 1 : 1)
        }()

        static func pass(_ passes: Int) {
            if passed.wrappingAdd(1, ordering: .relaxed).newValue == passes { kill(getpid(), SIGKILL) }
        }

        static func chance(_ name: String, _ path: String) {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { return }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: 128)
            let count = read(file, &bytes, bytes.count)
            let words = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
            guard words.count == 2, words[0] == "any" || words[0] == name, let times = Int(words[1]), times > 0 else { return }
            guard Int.random(in: 0..<times) == 0 else { return }
            // Whoever armed it counts who died.
            let deaths = open(path + ".deaths", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
            if deaths >= 0 { _ = write(deaths, name + "\n", name.utf8.count + 1) }
            kill(getpid(), SIGKILL)
        }
    }
#endif
