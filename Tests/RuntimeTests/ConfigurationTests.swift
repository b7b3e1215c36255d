import Foundation
import Runtime
import Secrets
import TestSupport
import Testing

/// What is wrong with an environment, fault by fault. The sealing key is not looked for.
private func faults(_ environment: [String: String]) -> [String] {
    do {
        _ = try Configuration.load(environment, withSealingKey: false)
        return []
    } catch { return error.faults }
}

@Suite struct ConfigurationTests {
    @Test func `an empty environment gives the defaults`() throws {
        let configuration = try Configuration.load([:], withSealingKey: false)
        #expect(configuration.database == "dbname=muster")
        #expect(configuration.threads == 8)
        #expect(configuration.workerThreads == 4)
        #expect(configuration.logLevel == .info)
        #expect(configuration.allowsSignUp)
        #expect(configuration.allowedOrigins.isEmpty)
    }

    @Test func `origins are compared as browsers write them`() throws {
        let configuration = try Configuration.load(
            [
                "MUSTER_PUBLIC_URL": "https://Muster.example.com:443/",
                "MUSTER_ALLOWED_ORIGINS": "https://App.example.com/,http://localhost:80,http://[::1]:8080",
            ], withSealingKey: false)
        #expect(configuration.publicOrigin == "https://muster.example.com")
        #expect(configuration.allowedOrigins == ["https://app.example.com", "http://localhost", "http://[::1]:8080"])
    }

    @Test func `every default is what its variable accepts`() {
        let defaults = Configuration.variables.compactMap { variable in variable.standard.map { (variable.name, $0) } }
        #expect(faults(Dictionary(uniqueKeysWithValues: defaults)) == [])
    }

    @Test(arguments: [
        ("MUSTER_THREADS", "0"), ("MUSTER_THREADS", "many"), ("MUSTER_WORKER_THREADS", "65"), ("MUSTER_LOG_LEVEL", "loud"),
        ("MUSTER_PUBLIC_URL", "example.com"), ("MUSTER_PUBLIC_URL", "https://example.com/path"), ("MUSTER_PUBLIC_URL", "https://"),
        ("MUSTER_ALLOWED_ORIGINS", "https://a.example,b"), ("MUSTER_SIGN_UP", "maybe"), ("MUSTER_TWILIO_URL", "twilio"),
    ])
    func `a wrong value is named with its variable and what was expected`(_ name: String, _ value: String) throws {
        let fault = try #require(faults([name: value]).first)
        #expect(fault.hasPrefix(name))
        #expect(fault.contains(value))
        #expect(fault.contains("expected"))
    }

    @Test func `all faults are told at once`() {
        #expect(faults(["MUSTER_THREADS": "x", "MUSTER_SIGN_UP": "x", "MUSTER_LOG_LEVEL": "x"]).count == 3)
    }

    @Test func `an unknown variable is refused and the nearest is named, but those of scripts pass`() throws {
        let fault = try #require(faults(["MUSTER_TREADS": "4"]).first)
        #expect(fault.contains("MUSTER_TREADS") && fault.contains("MUSTER_THREADS"))
        #expect(faults(["MUSTER_URL": "x", "MUSTER_API_KEY": "x", "PATH": "/bin"]) == [])
    }

    @Test func `a wrong connection string is not repeated, because it may hold a password`() {
        for fault in faults(["MUSTER_DATABASE": ""]) { #expect(!fault.contains("\"\"")) }
    }

    @Test func `the sealing key comes from a credential or a file, and must be 32 bytes`() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("key-\(Foundation.UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/sealing-key"
        func load(_ contents: String?, _ environment: [String: String]) throws -> Configuration {
            try? FileManager.default.removeItem(atPath: file)
            try contents?.write(toFile: file, atomically: true, encoding: .utf8)
            return try Configuration.load(environment)
        }
        let good = base64Encode([UInt8](repeating: 7, count: 32)) + "\n"
        let byFile = try load(good, ["MUSTER_SEALING_KEY_FILE": file])
        let byCredential = try load(good, ["CREDENTIALS_DIRECTORY": folder])
        #expect(byFile.derivedKey("a") == byCredential.derivedKey("a"))
        #expect(byFile.derivedKey("a") != byFile.derivedKey("b"))
        for wrong in [nil, "", "not base 64!", base64Encode([1, 2, 3])] {
            #expect(throws: ConfigurationError.self) { try load(wrong, ["MUSTER_SEALING_KEY_FILE": file]) }
        }
        #expect(throws: ConfigurationError.self) { try load(good, [:]) }
    }
}
