import Glibc
import Runtime
import Secrets

/// A configuration as a process would load it, with a sealing key of its own.
/// - Parameter variables: further `MUSTER_*` variables.
public func testConfiguration(database: String, _ variables: [String: String] = [:]) throws -> Configuration {
    var template = Array("/tmp/muster-key.XXXXXX".utf8CString)
    let file = mkstemp(&template)
    guard file >= 0 else { throw TestSupportError("cannot make a file for the key") }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    let key = Array(base64Encode(Random.bytes(32)).utf8)
    _ = write(file, key, key.count)
    close(file)
    return try Configuration.load(
        ["MUSTER_DATABASE": database, "MUSTER_SEALING_KEY_FILE": path].merging(variables) { _, given in given })
}
