/// Parameters as libpq wants them: one buffer of NUL-terminated texts and raw bytes, with pointers into it.
struct Parameters {
    private var buffer: [UInt8] = []
    private var offsets: [Int] = []
    private var lengths: [Int32] = []
    private var formats: [Int32] = []
    private var holdsNUL = false

    init() {}
    init(_ values: [SQLValue]) {
        for value in values { append(value) }
    }

    mutating func append(_ value: SQLValue) {
        switch value {
        case .null:
            offsets.append(-1)
            lengths.append(0)
            formats.append(0)
        case .text(let text):
            offsets.append(buffer.count)
            let before = buffer.count
            buffer.append(contentsOf: text.utf8)
            if buffer[before...].contains(0) { holdsNUL = true }
            lengths.append(Int32(buffer.count - before))
            formats.append(0)
            buffer.append(0)
        case .bytes(let bytes):
            offsets.append(buffer.count)
            buffer.append(contentsOf: bytes)
            lengths.append(Int32(bytes.count))
            formats.append(1)
            buffer.append(0)
        }
    }

    /// PostgreSQL's text cannot hold U+0000; libpq would silently end the parameter there.
    func check(_ sql: String) throws(PostgresError) {
        guard !holdsNUL else {
            throw .statement(.characterNotInRepertoire, Evidence(sql: sql, message: "a text holds U+0000"))
        }
    }

    /// - Parameter body: gets count, values, lengths and formats.
    func withPointers<T>(
        _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> T
    ) -> T {
        buffer.withUnsafeBytes { bytes in
            let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
            let pointers: [UnsafePointer<CChar>?] = offsets.map { $0 < 0 ? nil : base! + $0 }
            return body(Int32(offsets.count), pointers, lengths, formats)
        }
    }
}
