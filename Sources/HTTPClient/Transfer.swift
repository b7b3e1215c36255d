// One transfer of libcurl: its handle, what it sends, and what it has received.
internal import CCurl
internal import Glibc

/// libcurl must be initialised once per process.
let curlIsReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

/// Limits of every transfer.
public struct HTTPLimits: Sendable {
    public var connectSeconds = 5.0
    public var totalSeconds = 10.0
    /// Of mail: a server may look at it for long before it says that it has it, and losing that answer is worse than waiting.
    public var mailSeconds = 45.0
    public var responseBytes = 1_048_576
    /// A longer answer counts, cut off; otherwise it is refused.
    public var cutsOff = false
    /// Of all transfers of a client: so none of them takes a connection that was made under another policy.
    public var addresses = AddressPolicy.any
    public init(
        connectSeconds: Double = 5, totalSeconds: Double = 10, responseBytes: Int = 1_048_576, cutsOff: Bool = false,
        addresses: AddressPolicy = .any
    ) {
        self.connectSeconds = connectSeconds
        self.totalSeconds = totalSeconds
        self.responseBytes = responseBytes
        self.cutsOff = cutsOff
        self.addresses = addresses
    }
}

/// Owned by one thread; the handle keeps its connection for the next request.
final class Transfer {
    let handle: OpaquePointer
    private let limits: HTTPLimits
    private static let headerLimit = 65_536
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var sent: [UInt8] = []
    private var body: [UInt8] = []
    private var headers: [(name: String, value: String)] = []
    private var headerBytes = 0
    private var isTooLarge = false
    private var isCutOff = false
    private var metForbiddenAddress = false
    /// How often libcurl was about to send the request: more than once when a kept connection turned out dead.
    private var beginnings = 0
    private var mayRepeat = false
    /// Of a transfer of mail.
    private var mail: MailConversation?
    private var recipients: UnsafeMutablePointer<curl_slist>?

    init(_ limits: HTTPLimits) {
        precondition(curlIsReady, "libcurl cannot start")
        guard let handle = curl_easy_init() else { preconditionFailure("libcurl gives no handle") }
        self.handle = OpaquePointer(handle)
        self.limits = limits
    }

    deinit {
        curl_slist_free_all(headerList)
        curl_slist_free_all(recipients)
        curl_easy_cleanup(raw)
    }

    private var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(handle) }

    /// Makes the handle ready for a request.
    func prepare(_ request: HTTPRequest) {
        curl_easy_reset(raw)
        mail = nil
        body.removeAll(keepingCapacity: true)
        headers.removeAll(keepingCapacity: true)
        headerBytes = 0
        isTooLarge = false
        isCutOff = false
        metForbiddenAddress = false
        beginnings = 0
        mayRepeat = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(request.method)
        curl_slist_free_all(headerList)
        headerList = nil
        set(CURLOPT_URL, request.url)
        set(CURLOPT_CUSTOMREQUEST, request.method)
        set(CURLOPT_USERAGENT, "muster")
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_CONNECTTIMEOUT_MS, Int(limits.connectSeconds * 1000))
        set(CURLOPT_TIMEOUT_MS, Int(limits.totalSeconds * 1000))
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        // Wait for a connection that may be multiplexed rather than open another. TLS tells during its handshake;
        // without it only the first answer would, and everybody would wait for that.
        if request.url.hasPrefix("https:") { set(CURLOPT_PIPEWAIT, 1) }
        if let socket = request.unixSocket {
            set(CURLOPT_UNIX_SOCKET_PATH, socket)
            set(CURLOPT_NOPROXY, "*")
        }
        if let user = request.user {
            set(CURLOPT_HTTPAUTH, musterCurlAuthBasic)
            set(CURLOPT_USERNAME, user)
            set(CURLOPT_PASSWORD, request.password ?? "")
        }
        sent = request.body
        if request.method == "HEAD" { set(CURLOPT_NOBODY, 1) }
        if !sent.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method) {
            set(CURLOPT_POST, 1)
            set(CURLOPT_POSTFIELDSIZE_LARGE, sent.count)
            // COPYPOSTFIELDS takes its own copy, so that the array may move.
            sent.withUnsafeBytes {
                _ = muster_curl_set_pointer(raw, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: $0.baseAddress))
            }
            if sent.isEmpty { set(CURLOPT_COPYPOSTFIELDS, "") }
            // No "Expect: 100-continue": it costs a round trip or a second of waiting.
            headerList = curl_slist_append(headerList, "Expect:")
        }
        for (name, value) in request.headers {
            // libcurl's way to say that a header is empty: with a colon it would leave the header out.
            headerList = curl_slist_append(headerList, value.isEmpty ? "\(name);" : "\(name): \(value)")
        }
        _ = muster_curl_set_pointer(raw, CURLOPT_HTTPHEADER, headerList)
        let me = Unmanaged.passUnretained(self).toOpaque()
        if limits.addresses == .publicOnly {
            set(CURLOPT_NOPROXY, "*")
            _ = muster_curl_set_open_socket(
                raw,
                { transfer, _, address in
                    Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().openPublicSocket(&address!.pointee)
                }, me)
        }
        _ = muster_curl_set_pointer(raw, CURLOPT_WRITEDATA, me)
        _ = muster_curl_set_write(raw, CURLOPT_WRITEFUNCTION) { bytes, size, count, transfer in
            Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().receive(bytes!, size * count)
        }
        _ = muster_curl_set_pointer(raw, CURLOPT_HEADERDATA, me)
        _ = muster_curl_set_write(raw, CURLOPT_HEADERFUNCTION) { bytes, size, count, transfer in
            Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().receiveHeader(bytes!, size * count)
        }
        _ = muster_curl_set_prerequest(
            raw,
            { transfer, _, _, _, _ in
                Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().mayBegin() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
            }, me)
    }

    /// Makes the handle ready for a mail.
    func prepare(_ request: MailRequest) {
        curl_easy_reset(raw)
        mail = MailConversation(total: request.message.count)
        curl_slist_free_all(recipients)
        recipients = curl_slist_append(nil, "<\(request.to)>")
        sent = request.message
        set(CURLOPT_URL, request.url)
        set(CURLOPT_PROTOCOLS_STR, "smtp,smtps")
        set(CURLOPT_NOPROXY, "*")
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, Int(limits.connectSeconds * 1000))
        set(CURLOPT_TIMEOUT_MS, Int(limits.mailSeconds * 1000))
        // Leaving a server that does not answer to QUIT holds up everybody on this thread.
        set(CURLOPT_SERVER_RESPONSE_TIMEOUT, max(1, Int(limits.mailSeconds)))
        set(CURLOPT_SASL_IR, 1)
        if request.requiresTLS { set(CURLOPT_USE_SSL, musterCurlUseTLS) }
        if let user = request.user {
            set(CURLOPT_USERNAME, user)
            set(CURLOPT_PASSWORD, request.password ?? "")
        }
        set(CURLOPT_MAIL_FROM, "<\(request.from)>")
        _ = muster_curl_set_pointer(raw, CURLOPT_MAIL_RCPT, recipients)
        set(CURLOPT_UPLOAD, 1)
        set(CURLOPT_INFILESIZE_LARGE, sent.count)
        let me = Unmanaged.passUnretained(self).toOpaque()
        _ = muster_curl_set_pointer(raw, CURLOPT_READDATA, me)
        _ = muster_curl_set_write(raw, CURLOPT_READFUNCTION) { bytes, size, count, transfer in
            Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().give(bytes!, size * count)
        }
        _ = muster_curl_set_pointer(raw, CURLOPT_HEADERDATA, me)
        _ = muster_curl_set_write(raw, CURLOPT_HEADERFUNCTION) { bytes, size, count, transfer in
            let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
            Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().mail?.hear(line)
            return size * count
        }
        _ = muster_curl_set_debug(
            raw,
            { _, kind, bytes, count, transfer in
                let transfer = Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue()
                if kind == CURLINFO_HEADER_OUT { transfer.mail?.say(UnsafeRawBufferPointer(start: bytes, count: count)) }
                if kind == CURLINFO_DATA_OUT { transfer.mail?.left += count }
                return 0
            }, me)
        if !request.allowsPrivateAddress {
            _ = muster_curl_set_open_socket(
                raw,
                { transfer, _, address in
                    guard let address, let offset = MemoryLayout<curl_sockaddr>.offset(of: \.addr) else { return CURL_SOCKET_BAD }
                    let target = UnsafeRawPointer(address).advanced(by: offset).assumingMemoryBound(to: sockaddr.self)
                    guard IPAddress(target)?.isPublic == true else {
                        Unmanaged<Transfer>.fromOpaque(transfer!).takeUnretainedValue().mail?.isAddressRefused = true
                        return CURL_SOCKET_BAD
                    }
                    return socket(address.pointee.family, address.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), address.pointee.protocol)
                }, me)
        }
    }

    /// The next piece of a mail.
    private func give(_ bytes: UnsafeMutablePointer<CChar>, _ most: Int) -> Int {
        guard let taken = mail?.taken else { return 0 }
        let count = min(most, sent.count - taken)
        sent.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(start: bytes, count: most).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: $0[taken..<taken + count]))
        }
        mail?.taken += count
        return count
    }

    /// What came of a mail. A server that has not been told the end of the message has not taken it.
    private func outcome(_ mail: MailConversation, _ code: CURLcode) -> Result<HTTPResponse, HTTPFailure> {
        func answer(_ status: Int, _ phase: MailPhase) -> Result<HTTPResponse, HTTPFailure> {
            var response = HTTPResponse(status: status, body: mail.reply)
            response.mailPhase = phase
            return .success(response)
        }
        if code == CURLE_OK { return answer(mail.code, .message) }
        if mail.isAddressRefused { return answer(550, .refused) }
        if code == CURLE_USE_SSL_FAILED { return answer(530, .refused) }
        if mail.code >= 400 { return answer(mail.code, mail.phase) }
        if code == CURLE_LOGIN_DENIED { return answer(535, .refused) }
        return .failure(HTTPFailure(mail.isWhole ? .unknown : .notSent, String(cString: curl_easy_strerror(code))))
    }

    /// Asked when a connection stands and the request is about to leave.
    ///
    /// libcurl sends a request again by itself, a POST too, when a kept connection ends without an answer. The other
    /// side may have acted by then, so whatever is not idempotent (RFC 9110, section 9.2.2) leaves once.
    private func mayBegin() -> Bool {
        defer { beginnings += 1 }
        return beginnings == 0 || mayRepeat || bytesSent == 0
    }

    /// Bytes of the request that were given to a connection, over all tries.
    private var bytesSent: Int {
        var bytes = 0
        _ = muster_curl_get_long(raw, CURLINFO_REQUEST_SIZE, &bytes)
        return bytes
    }

    /// Asked for each address that a connection is tried to, with the one that it will have.
    private func openPublicSocket(_ address: inout curl_sockaddr) -> curl_socket_t {
        guard let ip = withUnsafePointer(to: &address.addr, { IPAddress($0) }), ip.isPublic else {
            metForbiddenAddress = true
            return curl_socket_t(-1)
        }
        return socket(address.family, address.socktype | Int32(SOCK_CLOEXEC.rawValue), address.protocol)
    }

    private func receive(_ bytes: UnsafeMutablePointer<CChar>, _ count: Int) -> Int {
        guard body.count + count <= limits.responseBytes else {
            if limits.cutsOff {
                body += UnsafeRawBufferPointer(start: bytes, count: limits.responseBytes - body.count)
                isCutOff = true
            } else {
                isTooLarge = true
            }
            return 0
        }
        body += UnsafeRawBufferPointer(start: bytes, count: count)
        return count
    }

    private func receiveHeader(_ bytes: UnsafeMutablePointer<CChar>, _ count: Int) -> Int {
        headerBytes += count
        guard headerBytes <= Transfer.headerLimit else {
            isTooLarge = true
            return 0
        }
        let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
        if line.hasPrefix("HTTP/") { headers.removeAll(keepingCapacity: true) }
        if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            headers.append((String(line[..<colon]), String(value.prefix { !$0.isNewline })))
        }
        return count
    }

    /// What came of it.
    func outcome(_ code: CURLcode) -> Result<HTTPResponse, HTTPFailure> {
        if let mail { return outcome(mail, code) }
        if code == CURLE_OK || isCutOff {
            var status = 0
            _ = muster_curl_get_long(raw, CURLINFO_RESPONSE_CODE, &status)
            return .success(HTTPResponse(status: status, headers: headers, body: body))
        }
        let detail =
            isTooLarge
            ? "the answer is too large"
            : metForbiddenAddress && beginnings == 0
                ? "the address is not one of the public internet" : String(cString: curl_easy_strerror(code))
        // Name look-up, connection and TLS all come before the first beginning.
        let nothingLeft = beginnings == 0 || (code == CURLE_SEND_ERROR && bytesSent == 0)
        return .failure(HTTPFailure(nothingLeft ? .notSent : .unknown, detail))
    }

    private func set(_ option: CURLoption, _ value: Int) { _ = muster_curl_set_long(raw, option, value) }
    private func set(_ option: CURLoption, _ value: String) { _ = muster_curl_set_string(raw, option, value) }
}
