import Foundation
import PostgreSQL
import Synchronization
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct FairnessTests {
    @Test func `two campaigns of one sender progress alike`() throws {
        try withSending(contacts: 60, rate: 40) { sending throws in
            let other = try sending.scene.withAnotherCampaign(sending.db)
            try other.freeze(sending.db)
            try sending.run()
            // The first four fifths that were started, in the order in which they were.
            let shares: [Int] = try sending.db.dynamic(
                """
                SELECT count(*) FROM (SELECT campaign_id FROM messages WHERE started_at IS NOT NULL ORDER BY started_at, id LIMIT 80) first
                 GROUP BY campaign_id
                """, [])
            #expect(shares.count == 2 && shares.allSatisfy { (25...55).contains($0) }, "\(shares)")
        }
    }

    @Test func `ten campaigns of one workspace leave half to the one of another`() throws {
        try withSending(
            contacts: 200,
            script: { _, _ in
                // As long as a provider takes, so that connections are what is scarce.
                Thread.sleep(forTimeInterval: 0.01)
                return .accept
            }
        ) { sending throws in
            let crowd = try Scene(sending.db, contacts: 100)
            try crowd.freeze(sending.db)
            for _ in 1..<10 { try crowd.withAnotherCampaign(sending.db).freeze(sending.db) }
            try sending.run()
            #expect(try sending.status() == "finished")
            let crowded: Int = try sending.db.value(
                """
                SELECT count(*) FROM messages
                 WHERE workspace_id = $1
                   AND started_at <= (SELECT max(o.started_at) FROM messages o WHERE o.campaign_id = $2)
                """, crowd.workspace.sqlValue, sending.scene.campaign.sqlValue)
            // As many as the other's 200, and what a turn more or less makes; in turns of campaigns it would be all 1,000.
            #expect((50...400).contains(crowded), "\(crowded)")
        }
    }

    @Test func `relays of one workspace that hang leave half of the threads to the mail of others`() throws {
        try withSending(contacts: 1) { sending throws in
            let hanging = try HangingRelay()
            defer { hanging.stop() }
            sending.allowRelays(at: "127.0.0.1")
            let relay = SMTPCredentials(host: "127.0.0.1", port: hanging.port, security: .none, username: nil, password: nil)
            let (crowd, other) = (try Scene(sending.db, contacts: 5), try Scene(sending.db, contacts: 5))
            for (scene, relays) in [(crowd, 6), (other, 1)] {
                try scene.becomeMail(sending.db)
                for _ in 0..<relays { try scene.withAnotherRelay(sending.db, relay).freeze(sending.db, .email) }
            }
            func underWay(_ scene: Scene) throws -> Int {
                try sending.db.value(
                    "SELECT count(*) FROM messages WHERE workspace_id = $1 AND channel = 'email' AND state = 'started'",
                    scene.workspace.sqlValue)
            }
            try sending.race(workers: 1) {
                defer { hanging.stop() }
                try waitUntil("both have mail on its way") { try underWay(crowd) == 4 && underWay(other) == 2 }
                #expect(hanging.connections == 6)
            }
        }
    }
}

/// Takes connections and says nothing to them.
private final class HangingRelay: Sendable {
    let port: Int
    private let listener: Int32
    private let open = Mutex<[Int32]>([])

    init() throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, size) == 0 && listen(listener, 128) == 0 && getsockname(listener, $0, &size) == 0
            }
        }
        guard isListening else { throw TestSupportError("cannot listen") }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        startThread { [self] in
            defer { close(listener) }
            while case let connection = accept(listener, nil, nil), connection >= 0 { open.withLock { $0.append(connection) } }
        }
    }

    var connections: Int { open.withLock { $0.count } }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        open.withLock { open in
            for connection in open { close(connection) }
            open = []
        }
    }
}
