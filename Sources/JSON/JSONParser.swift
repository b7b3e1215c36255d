// Reading: jansson does the grammar, we add depth, size and exact places.
internal import CJansson

/// How large and how deep a document may be.
public struct JSONLimits: Sendable {
    public var maximumBytes: Int
    public var maximumDepth: Int
    /// Integers beyond 64 bits become reals instead of an error. PostgreSQL writes 1e20 without its exponent.
    public var takesLongIntegers: Bool
    public init(maximumBytes: Int = 1_048_576, maximumDepth: Int = 32, takesLongIntegers: Bool = false) {
        self.maximumBytes = maximumBytes
        self.maximumDepth = maximumDepth
        self.takesLongIntegers = takesLongIntegers
    }
    /// What a request body may be.
    public static let body = JSONLimits()
    /// What we wrote ourselves.
    public static let trusted = JSONLimits(maximumBytes: 256 << 20, maximumDepth: 512, takesLongIntegers: true)
}

/// Why a text is not JSON that we take, and where: line and column from 1, offset in bytes from 0, all of the first
/// character of what is wrong.
public struct JSONError: Error, Sendable {
    /// `json_syntax`, `json_too_deep`, `json_too_large`, `json_duplicate_key` or `json_encoding`.
    public let code: String
    public let line: Int
    public let column: Int
    public let offset: Int
    public let detail: String
}

extension JSONValue {
    /// Parses one document. Duplicate keys, invalid UTF-8, NaN and (unless the limits take them) integers beyond
    /// 64 bits are errors.
    public init(parsing bytes: [UInt8], limits: JSONLimits = .body) throws(JSONError) {
        guard bytes.count <= limits.maximumBytes else {
            throw JSONError(
                code: "json_too_large", line: 1, column: 1, offset: limits.maximumBytes,
                detail: "The document has \(bytes.count) bytes; at most \(limits.maximumBytes) are taken.")
        }
        try preScan(bytes, limits.maximumDepth)
        var failure = json_error_t()
        var root = load(bytes, &failure)
        if root == nil, limits.takesLongIntegers {
            var second = json_error_t()
            root = load(withLongIntegersAsReals(bytes), &second)
        }
        guard let root else { throw JSONError(failure, in: bytes) }
        self = value(of: root)
        muster_json_decref(root)
    }

    public init(parsing text: String, limits: JSONLimits = .body) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), limits: limits)
    }
}

private func load(_ bytes: [UInt8], _ failure: inout json_error_t) -> UnsafeMutablePointer<json_t>? {
    let flags = size_t(JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)
    return bytes.withUnsafeBytes {
        json_loadb($0.baseAddress?.assumingMemoryBound(to: CChar.self) ?? emptyText, $0.count, flags, &failure)
    }
}

/// The same document with an exponent of zero behind each integer beyond 64 bits: reals to jansson.
private func withLongIntegersAsReals(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count + 16)
    var inString = false
    var escaped = false
    var digits = 0
    // Of the number with its sign, in `out`.
    var start = 0
    var isInteger = true
    func endNumber() {
        if isInteger, digits >= 19, Int64(String(decoding: out[start...], as: UTF8.self)) == nil { out += "e0".utf8 }
        digits = 0
        isInteger = true
    }
    for byte in bytes {
        if inString {
            if escaped {
                escaped = false
            } else if byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                inString = false
            }
        } else {
            switch byte {
            case 48...57: digits += 1
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isInteger = false
            case UInt8(ascii: "+"), UInt8(ascii: "-"): break
            default:
                endNumber()
                inString = byte == UInt8(ascii: "\"")
                start = out.count + 1
            }
        }
        out.append(byte)
    }
    endNumber()
    return out
}

nonisolated(unsafe) private let emptyText: UnsafePointer<CChar> = {
    let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    text.pointee = 0
    return UnsafePointer(text)
}()

/// jansson recurses as deep as the document does, so the depth is known before it starts. And it overlooks a zero byte
/// behind a number or a word.
private func preScan(_ bytes: [UInt8], _ limit: Int) throws(JSONError) {
    var depth = 0
    var inString = false
    var escaped = false
    for (offset, byte) in bytes.enumerated() {
        if inString {
            if escaped {
                escaped = false
            } else if byte == UInt8(ascii: "\\") {
                escaped = true
            } else if byte == UInt8(ascii: "\"") {
                inString = false
            }
            continue
        }
        switch byte {
        case UInt8(ascii: "\""): inString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            depth += 1
            if depth > limit { throw JSONError("json_too_deep", offset, in: bytes, "Objects and arrays may be nested \(limit) deep.") }
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        case 0: throw JSONError("json_syntax", offset, in: bytes, "control character 0x0.")
        default: break
        }
    }
}

extension JSONError {
    fileprivate init(_ code: String, _ offset: Int, in bytes: [UInt8], _ detail: String) {
        (line, column) = position(offset, in: bytes)
        (self.code, self.offset, self.detail) = (code, offset, detail)
    }

    fileprivate init(_ failure: json_error_t, in bytes: [UInt8]) {
        var failure = failure
        let message = withUnsafePointer(to: &failure.text) {
            $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
        }
        let kind = muster_json_error_code(&failure)
        offset = offsetOfFault(in: bytes, read: Int(failure.position), message: message)
        (line, column) = position(offset, in: bytes)
        switch kind {
        case MUSTER_JSON_DUPLICATE_KEY: code = "json_duplicate_key"
        case MUSTER_JSON_INVALID_UTF8: code = "json_encoding"
        default: code = "json_syntax"
        }
        // jansson quotes what stood near the fault, which may be somebody's data.
        detail = message.split(separator: " near ", maxSplits: 1).first.map { String($0) + "." } ?? "The text is not JSON."
    }
}

private func value(of json: UnsafeMutablePointer<json_t>) -> JSONValue {
    switch json.pointee.type {
    case JSON_OBJECT:
        var members: [(key: String, value: JSONValue)] = []
        members.reserveCapacity(json_object_size(json))
        var iterator = json_object_iter(json)
        while let current = iterator {
            let key = UnsafeRawBufferPointer(start: json_object_iter_key(current), count: json_object_iter_key_len(current))
            members.append((String(decoding: key, as: UTF8.self), value(of: json_object_iter_value(current))))
            iterator = json_object_iter_next(json, current)
        }
        return .object(JSONObject(unique: members))
    case JSON_ARRAY:
        return .array((0..<json_array_size(json)).map { value(of: json_array_get(json, $0)) })
    case JSON_STRING:
        let bytes = UnsafeRawBufferPointer(start: json_string_value(json), count: json_string_length(json))
        return .string(String(decoding: bytes, as: UTF8.self))
    case JSON_INTEGER: return .integer(Int64(json_integer_value(json)))
    case JSON_REAL: return .real(json_real_value(json))
    case JSON_TRUE: return .bool(true)
    case JSON_FALSE: return .bool(false)
    default: return .null
    }
}
