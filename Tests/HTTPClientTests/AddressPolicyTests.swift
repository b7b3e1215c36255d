import Foundation
import HTTPClient
import TestSupport
import Testing

@Suite struct AddressPolicyTests {
    /// First and last address of each special block, and those beside it (RFC 6890 and IANA's registries).
    @Test(
        arguments: [
            ("0.0.0.0", "0.255.255.255", nil, "1.0.0.0"), ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"), ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
            ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
            ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
            ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"), ("224.0.0.0", "239.255.255.255", "223.255.255.255", nil),
            ("240.0.0.0", "255.255.255.255", nil, nil),
            ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil, "2000::"),
            ("2001::", "2001:1ff:ffff::", "2000:ffff:ffff::", "2001:200::"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"),
            ("2002::", "2002:ffff:ffff:ffff::", "2001:ffff:ffff::", "2003::"), ("3fff::", "3fff:fff:ffff::", "3ffe:ffff::", "3fff:1000::"),
            ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:ffff:ffff::", nil),
        ] as [(String, String, String?, String?)])
    func `blocks with a special purpose are not public, their neighbours are`(first: String, last: String, before: String?, after: String?)
        throws
    {
        #expect(try !#require(IPAddress(first)).isPublic && !#require(IPAddress(last)).isPublic)
        for neighbour in [before, after].compactMap({ $0 }) { #expect(try #require(IPAddress(neighbour)).isPublic, "\(neighbour)") }
    }

    @Test(arguments: [
        "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "fe80::1", "fec0::1", "fc00::1", "fd12:3456::1",
        "ff02::1", "5f00::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::1", "169.254.169.254", "fd00:ec2::254",
        "10.1.2.3", "100.64.0.1", "127.0.0.1", "172.16.0.1", "192.0.0.8", "192.168.1.1", "198.18.0.1", "224.0.0.1", "::", "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "::ffff:1.1.1.1", "64:ff9b::a00:1", "64:ff9b::101:101", "2002:a00:1::", "fd12::1", "2001:db8::1", "::7f00:1",
    ])
    func `what holds another address or leads nowhere outside is not public`(address: String) throws {
        #expect(try !#require(IPAddress(address)).isPublic)
    }

    @Test(arguments: ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:80e::200e", "192.31.196.1", "2620:4f:8000::1", "2a00::1"])
    func `a host of the internet is public`(address: String) throws {
        #expect(try #require(IPAddress(address)).isPublic)
    }

    @Test(arguments: [
        "", "1", "127.1", "0x7f.0.0.1", "0177.0.0.1", "1.2.3.04", "1.2.3.256", "1.2.3.4 ", "fe80::1%eth0", "[::1]", "::1\0", "1.2.3.4\0",
    ])
    func `no other notation is an address`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]"])
    func `whatever the notation or the name, no connection is made to one that is not public`(host: String) throws {
        let server = try ScriptedServer { _, _ in .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
        defer { server.stop() }
        let port = try #require(server.url.split(separator: ":").last)
        let client = HTTPClient(limits: HTTPLimits(addresses: .publicOnly))
        let failure = try #require(throws: HTTPFailure.self) {
            try client.send(HTTPRequest("POST", "http://\(host):\(port)/", body: [1])).get()
        }
        #expect(failure.kind == .notSent && failure.detail == "the address is not one of the public internet", "\(host): \(failure.detail)")
        #expect(server.connectionCount == 0)
    }

    @Test func `many at once obey it as well, a socket of this machine is no way around it, and without it they are served`() throws {
        let server = try ScriptedServer { _, _ in .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
        defer { server.stop() }
        func statuses(_ addresses: AddressPolicy) -> [Int?] {
            let client = HTTPMultiClient(connections: 4, limits: HTTPLimits(addresses: addresses))
            for tag in 0..<5 { client.submit(HTTPRequest("GET", server.url), tag: tag) }
            var statuses: [Int?] = []
            while client.inFlight > 0 { statuses += client.wait(timeoutMilliseconds: 1000).map { try? $0.outcome.get().status } }
            return statuses
        }
        #expect(statuses(.publicOnly) == [nil, nil, nil, nil, nil] && server.connectionCount == 0)
        #expect(statuses(.any) == [200, 200, 200, 200, 200])
        let path = "/tmp/muster-policy.\(getpid()).sock"
        let local = try ScriptedServer(unixSocket: path) { _, _ in .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") }
        defer { local.stop() }
        let client = HTTPClient(limits: HTTPLimits(addresses: .publicOnly))
        #expect(throws: HTTPFailure.self) { try client.send(HTTPRequest("GET", local.url, unixSocket: path)).get() }
        #expect(local.connectionCount == 0)
    }

    @Test func `a long answer is refused, or cut off where its beginning is enough`() throws {
        let server = try ScriptedServer { _, _ in
            .send("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + String(repeating: "x", count: 9000))
        }
        defer { server.stop() }
        let refusing = HTTPClient(limits: HTTPLimits(responseBytes: 4096))
        #expect(throws: HTTPFailure.self) { try refusing.send(HTTPRequest("GET", server.url)).get() }
        let cutting = HTTPClient(limits: HTTPLimits(responseBytes: 4096, cutsOff: true))
        let answer = try cutting.send(HTTPRequest("GET", server.url)).get()
        #expect(answer.status == 200 && answer.body.count == 4096)
    }
}
