// One request of the web server, read where libfcgi keeps it. C: FCGX_Request.
internal import CFastCGI
internal import Glibc

public enum FastCGIError: Error, Sendable, Equatable {
    /// Content-Length is larger than what the caller takes; nothing was read.
    case tooLarge
    /// The body ended before its Content-Length, or has none where one is needed.
    case aborted
    /// The client left; what is written goes nowhere.
    case clientGone
    /// File descriptor 0 is no listening socket.
    case notListening
}

/// A request and its answer. Valid until the handler returns, on the thread that got it.
public final class FastCGIRequest {
    private let request: UnsafeMutablePointer<FCGX_Request>
    private var bodyBytesRead = 0

    init(_ request: UnsafeMutablePointer<FCGX_Request>) { self.request = request }

    // MARK: Parameters

    /// The first parameter of that name; `nil` when there is none.
    public func parameter(_ name: String) -> String? {
        var found: String?
        each(named: name) { value in
            found = value
            return false
        }
        return found
    }

    /// All parameters of that name: web servers pass repeated headers as repeated parameters.
    public func parameters(_ name: String) -> [String] {
        var found: [String] = []
        each(named: name) { value in
            found.append(value)
            return true
        }
        return found
    }

    /// All parameters in the order in which they came.
    public var parameters: [(name: String, value: String)] {
        var all: [(name: String, value: String)] = []
        var entry = request.pointee.envp
        while let text = entry?.pointee {
            let pair = String(cString: text)
            if let equals = pair.firstIndex(of: "=") {
                all.append((String(pair[..<equals]), String(pair[pair.index(after: equals)...])))
            }
            entry = entry?.advanced(by: 1)
        }
        return all
    }

    private func each(named name: String, _ body: (String) -> Bool) {
        var name = name
        name.withUTF8 { name in
            var entry = request.pointee.envp
            while let text = entry?.pointee {
                if strncmp(text, name.baseAddress!, name.count) == 0, text[name.count] == CChar(UInt8(ascii: "=")) {
                    if !body(String(cString: text + name.count + 1)) { return }
                }
                entry = entry?.advanced(by: 1)
            }
        }
    }

    // MARK: Body

    /// `nil` without one, and for one that is not a number.
    public var contentLength: Int? { parameter("CONTENT_LENGTH").flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil } }

    /// The whole body, exactly Content-Length bytes.
    public func readBody(limit: Int) throws(FastCGIError) -> [UInt8] {
        let length = contentLength ?? 0
        guard length <= limit else { throw .tooLarge }
        let body = try read(length)
        takeEndOfBody()
        return body
    }

    /// The body in pieces of at most `chunk` bytes.
    /// - Throws: `.aborted` when fewer bytes came than were announced; what was consumed must then be discarded.
    public func streamBody(chunk: Int, _ consume: ([UInt8]) throws -> Void) throws {
        var left = (contentLength ?? 0) - bodyBytesRead
        while left > 0 {
            let piece = try read(min(chunk, left))
            left -= piece.count
            if left == 0 { takeEndOfBody() }
            try consume(piece)
        }
    }

    private func read(_ count: Int) throws(FastCGIError) -> [UInt8] {
        guard count > 0 else { return [] }
        var got: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            got = FCGX_GetStr(
                UnsafeMutableRawPointer(buffer.baseAddress!).assumingMemoryBound(to: CChar.self), Int32(count),
                request.pointee.in)
            initialized = max(0, Int(got))
        }
        guard Int(got) == count, FCGX_GetError(request.pointee.in) == 0 else { throw .aborted }
        bodyBytesRead += count
        return bytes
    }

    /// The record that ends the body may come a moment after the body. An answer that overtakes it would have to close
    /// the connection, into which the web server is about to write it.
    private func takeEndOfBody() { _ = FCGX_GetChar(request.pointee.in) }

    // MARK: Answer

    /// Appends to the answer; libfcgi sends it in pieces of 8 KiB.
    public func write(_ bytes: [UInt8]) throws(FastCGIError) {
        guard !bytes.isEmpty else { return }
        let written = bytes.withUnsafeBytes {
            FCGX_PutStr($0.baseAddress!.assumingMemoryBound(to: CChar.self), Int32($0.count), request.pointee.out)
        }
        guard written >= 0 else { throw .clientGone }
    }

    /// Sends what was written so far.
    public func flush() throws(FastCGIError) {
        guard FCGX_FFlush(request.pointee.out) == 0 else { throw .clientGone }
    }

    /// Cuts the answer off, so that the web server sees it as incomplete instead of as short.
    public func abort() { shutdown(request.pointee.ipcFd, Int32(SHUT_RDWR)) }
}
