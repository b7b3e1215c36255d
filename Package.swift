// swift-tools-version: 6.1
import PackageDescription

/// Debian packages stand beside each system library, so that SwiftPM can name what is missing.
func system(_ name: String, pkgConfig: String? = nil, apt: String) -> Target {
    .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

/// An executable of a few lines: it names the routes, jobs or chores that it runs.
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: "Sources/\(name)")
}

/// `data`: folders of files that the tests find beside their source, through `#filePath`.
func tests(_ name: String, _ dependencies: [Target.Dependency], data: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"], path: "Tests/\(name)", exclude: data)
}

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "muster",
    dependencies: [
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // C libraries: a module map and a header each.
        system("CFastCGI", apt: "libfcgi-dev"),
        system("CPostgreSQL", pkgConfig: "libpq", apt: "libpq-dev"),
        system("CJansson", pkgConfig: "jansson", apt: "libjansson-dev"),
        system("CSodium", pkgConfig: "libsodium", apt: "libsodium-dev"),
        system("CCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev"),
        system("CWideText", apt: "libc6-dev"),
        .target(
            name: "CPhoneNumber", path: "Sources/CPhoneNumber",
            linkerSettings: [.linkedLibrary("phonenumber")]),

        // Wrappers: each hides one C library or one protocol.
        .target(name: "Vocabulary", dependencies: ["CWideText"]),
        .target(name: "FastCGI", dependencies: ["CFastCGI", "Vocabulary"]),
        .target(name: "JSON", dependencies: ["CJansson", "Vocabulary"]),
        .target(name: "PostgreSQL", dependencies: ["CPostgreSQL", "JSON", "Secrets", "Vocabulary"]),
        .target(name: "Secrets", dependencies: ["CSodium", crypto]),
        .target(name: "HTTPClient", dependencies: ["CCurl", "Vocabulary"]),

        // What every feature needs, learned once.
        .target(name: "Runtime", dependencies: ["JSON", "Secrets", "Vocabulary"]),
        .target(name: "Web", dependencies: ["FastCGI", "JSON", "PostgreSQL", "Runtime", "Secrets", "Vocabulary"]),
        .target(name: "Jobs", dependencies: ["JSON", "PostgreSQL", "Runtime", "Vocabulary"]),

        // Features: rules, SQL and handlers. They never import each other.
        .target(name: "Accounts", dependencies: ["Web", "Jobs", "HTTPClient"]),
        .target(name: "Audience", dependencies: ["Web", "Jobs", "CPhoneNumber"]),
        .target(name: "Messaging", dependencies: ["Web", "Jobs", "HTTPClient"]),
        .target(name: "Analytics", dependencies: ["Web", "Jobs"]),

        // Processes.
        program("muster-accounts", ["Accounts"]),
        program("muster-segments", ["Audience"]),
        program("muster-campaigns", ["Messaging"]),
        program("muster-webhooks", ["Messaging"]),
        program("muster-analytics", ["Analytics"]),
        program("muster-worker", ["Accounts", "Audience", "Messaging", "Analytics"]),
        program("muster-maintenance", ["Accounts", "Audience", "Messaging", "Analytics", arguments]),
        program("muster", ["Accounts", "Audience", "Messaging", "Analytics", "HTTPClient", arguments]),
        .target(name: "CSpawn", path: "Sources/CSpawn"),
        program("muster-supervise", ["CSpawn", "Runtime", "Vocabulary"]),
        program("muster-sandbox", ["Web", "HTTPClient", "Messaging"]),

        .target(
            name: "TestSupport",
            dependencies: ["CSodium", "HTTPClient", "JSON", "Jobs", "PostgreSQL", "Runtime", "Secrets", "Vocabulary", "Web"],
            path: "Tests/TestSupport"),
        tests("FastCGITests", ["FastCGI"]),
        tests("HTTPClientTests", ["HTTPClient"]),
        tests("JSONTests", ["JSON"]),
        tests("PostgreSQLTests", ["PostgreSQL"]),
        tests("RuntimeTests", ["JSON", "Runtime", "Secrets"]),
        tests("WebTests", ["Web", "Secrets"]),
        tests("JobsTests", ["Jobs"]),
        tests("AccountsTests", ["Accounts", "HTTPClient"], data: ["Resources"]),
        .target(name: "RuleInput", dependencies: ["Audience"], path: "Tests/RuleInput"),
        tests("AudienceTests", ["Audience", "RuleInput"], data: ["Rules/Corpus"]),
        tests("MessagingTests", ["Messaging"], data: ["Resources"]),
        tests("AnalyticsTests", ["Analytics"]),
        .executableTarget(name: "bench-client", dependencies: ["HTTPClient", "Jobs", "Messaging"], path: "Tests/BenchClient"),
        tests("SystemTests", ["Accounts", "Audience", "Messaging", "Analytics", "FastCGI"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)

// Only for `make fuzz`: it links with libFuzzer, which wants everything built for it.
if Context.environment["MUSTER_FUZZ"] != nil {
    package.targets += [
        .systemLibrary(name: "CFuzzer", path: "Tests/CFuzzer"),
        .executableTarget(name: "rule-fuzz", dependencies: ["CFuzzer", "RuleInput"], path: "Tests/RuleFuzz", exclude: ["rules.dict"]),
    ]
}
