public final class FastCGIRequest {
  public func parameter(_ n: String) -> String? { nil }
  public func parameters(_ n: String) -> [String] { [] }
  public func readBody(limit: Int) throws(FastCGIError) -> [UInt8] { [] }
  public func streamBody(chunk: Int, _ c: ([UInt8]) throws -> Void) throws {}
  public func write(_ b: [UInt8]) throws(FastCGIError) {}
  public func abort() {}
}
public enum FastCGIError: Error { case tooLarge, aborted, clientGone, notFastCGI }
public struct FastCGIServer { public init(threads: Int, descriptor: Int32 = 0) {}
 public func run(drainSeconds: Double = 10, makeHandler: @escaping @Sendable () -> ((FastCGIRequest) -> Void)) throws {} }
