public struct Configuration: Sendable { public var publicURL = "", publicOrigin = "", database = ""; public var threads = 8; public var allowedOrigins: Set<String> = []; public var logLevel = LogLevel.info
 public static func load() throws -> Configuration { .init() }
 public func derivedKey(_ s: String) -> [UInt8] { [] } }
public enum LogLevel: Int, Comparable, Sendable { case debug, info, notice, warning, error; public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue } }
public enum LogValue { case string(String), integer(Int), real(Double) }
public enum Log { public static func info(_ m: String, _ f: [(String, LogValue)]) {}; public static func error(_ m: String, _ f: [(String, LogValue)]) {} }
