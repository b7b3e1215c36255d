import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@testable import Messaging

@Suite struct LocalScheduleTests {
    private static let zones = [
        "America/New_York", "America/Phoenix", "America/Havana", "America/Santiago", "America/St_Johns", "Antarctica/Troll",
        "Europe/Berlin", "Africa/Casablanca", "Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
    ]
    private static let days = [
        "2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-05", "2026-09-06", "2026-10-04", "2026-02-15", "2028-02-29",
    ]

    @Test func `a local time is the first minute at which every clock shows it or a later one`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        try withDatabase { db throws in
            for _ in 0..<150 {
                let names = Array(Self.zones.shuffled(using: &random).prefix(Int.random(in: 1...2, using: &random)))
                let minute = Int.random(in: 0...48, using: &random) * 5
                let text = "\(Self.days.randomElement(using: &random)!)T0\(minute / 60):\(minute % 60 < 10 ? "0" : "")\(minute % 60)"
                let wanted = try #require(LocalMinute(text)).time
                // Clocks differ from UTC by 14 hours at most.
                let expected = names.map { name in
                    let zone = TimeZoneRules(named: name)!
                    var moment = Instant(microseconds: wanted.microseconds) + -15 * 3600
                    while zone.local(moment) < wanted { moment = moment + 60 }
                    return moment
                }.max()
                let told: String = try db.value("SELECT rfc3339(local_instant($1, $2::text::timestamp))", names.sqlValue, text.sqlValue)
                #expect(Instant(rfc3339: told) == expected, "\(names) \(text): \(told), seed \(seed)")
            }
        }
    }

    @Test func `contacts get it by their own zone, else when the time has come wherever their number may be, else by the workspace's`()
        throws
    {
        try withDatabase { db throws in
            let workspace = try db.createWorkspace(timezone: "Asia/Tokyo")
            try db.act(as: .worker)
            try db.setWorkspace(workspace)
            let moments: JSONValue = try db.value("SELECT local_instants('2026-12-24T09:00')")
            #expect(moments["Europe/Berlin"] == "2026-12-24T08:00:00+00:00")
            #expect(moments["+1202"] == "2026-12-24T14:00:00+00:00")
            // The later of Indiana's two.
            #expect(moments["+1812"] == "2026-12-24T15:00:00+00:00")
            #expect(moments["+1"] == "2026-12-24T19:00:00+00:00")
            #expect(moments["+49"] == "2026-12-24T08:00:00+00:00")
            #expect(moments[""] == "2026-12-24T00:00:00+00:00")
        }
    }

    /// Freezes a campaign for an hour from now by the clock of UTC, for contacts west and east of it.
    private func freeze(late: String, _ db: Connection) throws -> [String: String] {
        let scene = try Scene(db, contacts: 6)
        let zones = ["Etc/GMT", "Etc/GMT+2", "Etc/GMT-3", "Etc/GMT-9", "Nowhere/Else", ""]
        for (contact, zone) in zip(scene.contacts, zones) {
            try db.runDynamic("UPDATE contacts SET timezone = nullif($2, '') WHERE id = $1", [contact.sqlValue, zone.sqlValue])
        }
        try db.runDynamic("UPDATE contacts SET phone = '+882160000001' WHERE id = $1", [scene.contacts[5].sqlValue])
        try db.runDynamic(
            "UPDATE campaigns SET scheduled_local = (now() AT TIME ZONE 'UTC') + interval '1 hour', late = $1", [late.sqlValue])
        try scene.freeze(db)
        let rows: [JSONValue] = try db.dynamic(
            """
            SELECT json_build_object('zone', coalesce(c.timezone, ''), 'what', coalesce(m.skip_reason,
                       m.state || ' ' || round(extract(epoch FROM m.due_at - now()) / 3600)))
              FROM messages m JOIN contacts c ON c.id = m.contact_id
            """, [])
        return Dictionary(uniqueKeysWithValues: rows.map { ($0["zone"]!.string!, $0["what"]!.string!) })
    }

    @Test func `who is east has had the time already and gets it at once, up to six hours late, or never`() throws {
        try withDatabase { db throws in
            let sent = try freeze(late: "send", db)
            #expect(sent["Etc/GMT"] == "pending 1" && sent["Etc/GMT+2"] == "pending 3")
            #expect(sent["Etc/GMT-3"] == "pending -2" && sent["Etc/GMT-9"] == "too_late")
            // No zone that there is: the number's, in Washington. No place for the number: the workspace's, UTC.
            #expect(["pending 5", "pending 6"].contains(sent["Nowhere/Else"]) && sent[""] == "pending 1")
        }
        try withDatabase { db throws in
            let skipped = try freeze(late: "skip", db)
            #expect(skipped["Etc/GMT"] == "pending 1" && skipped["Etc/GMT-3"] == "too_late" && skipped["Etc/GMT-9"] == "too_late")
        }
    }

    @Test func `whose time comes when the campaign's is over does not get it`() throws {
        try withDatabase { db throws in
            try db.execute("RESET ROLE; SET LOCAL track_functions = 'all'")
            try db.act(as: .owner)
            let scene = try Scene(db, contacts: 4)
            for (contact, zone) in zip(scene.contacts, ["Etc/GMT-1", "Etc/GMT", "Etc/GMT+1", "Etc/GMT+2"]) {
                try db.runDynamic("UPDATE contacts SET timezone = $2 WHERE id = $1", [contact.sqlValue, zone.sqlValue])
            }
            try db.execute(
                """
                UPDATE campaigns SET scheduled_local = (now() AT TIME ZONE 'UTC') + interval '2 hours', late = 'send',
                                     send_until = now() + interval '3 hours'
                """)
            try scene.freeze(db)
            let kept: [String] = try db.dynamic(
                "SELECT c.timezone FROM messages m JOIN contacts c ON c.id = m.contact_id WHERE m.state = 'pending' ORDER BY m.due_at", [])
            // The hour at which it ends is over.
            #expect(kept == ["Etc/GMT-1", "Etc/GMT"])
            #expect(try scene.states(db)["skipped/too_late"] == 2)
            // All clocks are asked once, not for every contact.
            let calls: Int = try db.value("SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'local_instants'")
            #expect(calls == 1)
        }
    }

    @Test func `only those whose time has come are claimed, and the campaign waits for the others`() throws {
        try withDatabase { db throws in
            let scene = try Scene(db)
            for (contact, zone) in zip(scene.contacts, ["Etc/GMT-1", "Etc/GMT+1", "Etc/GMT"]) {
                try db.runDynamic("UPDATE contacts SET timezone = $2 WHERE id = $1", [contact.sqlValue, zone.sqlValue])
            }
            try db.execute("UPDATE campaigns SET scheduled_local = (now() AT TIME ZONE 'UTC') - interval '1 minute', late = 'send'")
            try scene.freeze(db)
            try scene.work(db)
            #expect(try scene.startAll(db).count == 2)
            #expect(try db.run(LedgerSQL.finish, scene.campaign) == 0)
            #expect(try scene.states(db) == ["started": 2, "pending": 1])
        }
    }

    @Test func `a campaign is scheduled for everybody's own clock, put off, taken back, or started for all at once`() throws {
        try withMessagingSite { site throws in
            let schedule = site.campaign + "/schedule"
            let tomorrow = String((Instant.now() + 2 * 86_400).description.prefix(10)) + "T09:00"
            let scheduled = try site.post(schedule, ["at_local": .string(tomorrow)])
            #expect(scheduled.status == 200 && scheduled.json["scheduled_local"]?.string == tomorrow && scheduled.json["late"] == "send")
            let freezing = try #require(scheduled.json["scheduled_at"]?.string.flatMap { Instant(rfc3339: $0) })
            #expect(freezing == LocalMinute(tomorrow)!.freezing)
            let other = try site.post(schedule, ["at_local": .string(tomorrow), "late": "skip"])
            #expect(other.json["late"] == "skip")
            // Its time has come on some islands, and not everywhere.
            let now = String((Instant.now() + 3600).description.prefix(16))
            #expect(try site.post(schedule, ["at_local": .string(now)]).json["status"] == "scheduled")
            #expect(try site.post(schedule, ["at": .string((Instant.now() + 60).description)]).json["scheduled_local"]?.isNull == true)
            _ = try site.post(schedule, ["at_local": .string(tomorrow)])
            let draft = try site.post(site.campaign + "/unschedule")
            #expect(draft.json["scheduled_local"]?.isNull == true && draft.json["late"]?.isNull == true)
            _ = try site.post(schedule, ["at_local": .string(tomorrow)])
            #expect(try site.post(site.campaign + "/start").json["scheduled_local"]?.isNull == true)
        }
    }

    @Test func `one by local time is late only when the last clocks on earth are`() throws {
        try withMessagingSite { site throws in
            // How many hours ago the hour came in Greenwich, what becomes of the campaign, and why.
            let cases: [(hours: Int, status: JSONValue, reason: JSONValue)] = [
                (19, "draft", "missed_its_time"), (17, "freezing", .null),
            ]
            for (hours, status, reason) in cases {
                try site.owner.runDynamic(
                    """
                    UPDATE campaigns SET status = 'scheduled', scheduled_local = (now() AT TIME ZONE 'UTC') - make_interval(hours => $1),
                                         scheduled_at = now() - make_interval(hours => $1 + 14), late = 'send'
                    """, [hours.sqlValue])
                let worker = try site.database.connect(as: .worker)
                try DueCampaign.start(site.scene.campaign, in: site.scene.workspace, worker)
                let now = try site.get(site.campaign).json
                #expect(now["status"] == status && now["status_reason"] == reason, "\(hours): \(now.text)")
            }
        }
    }

    @Test func `a local time that is none, or has passed everywhere, is refused`() throws {
        try withMessagingSite { site throws in
            func code(_ body: JSONValue) throws -> String? { try site.post(site.campaign + "/schedule", body).code }
            for text in ["2026-02-30T09:00", "2026-12-24T24:00", "2026-12-24 09:00", "2026-12-24T9:000"] as [JSONValue] {
                #expect(try code(["at_local": text]) == "bad_format", "\(text)")
            }
            #expect(try code(["at_local": "2020-01-01T00:00"]) == "out_of_range")
            #expect(try code(["at_local": "2099-01-01T00:00"]) == "out_of_range")
            #expect(try code([:]) == "one_of_two")
            #expect(try code(["at_local": "2099-01-01T00:00", "at": "2099-01-01T00:00:00Z"]) == "one_of_two")
        }
    }
}
