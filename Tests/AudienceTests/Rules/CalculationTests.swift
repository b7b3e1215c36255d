// What a calculation writes: membership, its history, its instant.
@testable import Audience
import JSON
import PostgreSQL
import TestSupport
import Testing
import Vocabulary

@Suite struct CalculationTests {
    private static let state =
        "SELECT state || ' ' || member_count || ' ' || (calculated_at >= $2::timestamptz) FROM segments WHERE id = $1"

    @Test func `whoever waits for a calculation learns when it was, also if it changed nothing`() throws {
        try withWorld { world in
            try world.contact("a")
            let id = try world.db.one(WorldSQL.segment, "all", ["version": 1, "match": ["all": []]])
            for entered in [1, 0] {
                let asked = Instant.now()
                var calculation = SegmentCalculation(isRefresh: false) { try $0(world.db) }
                #expect(try calculation.calculate(id)?.entered == entered)
                #expect(try world.db.value(Self.state, id.sqlValue, asked.sqlValue) == "ready 1 true")
            }
            #expect(try world.db.value("SELECT count(*) FROM segment_changes WHERE segment_id = $1", id.sqlValue) == 1)
        }
    }

    @Test func `a refresh that changes nothing writes nothing`() throws {
        try withWorld { world in
            try world.contact("a")
            let id = try world.db.one(WorldSQL.segment, "all", ["version": 1, "match": ["all": []]])
            var first = SegmentCalculation(isRefresh: true) { try $0(world.db) }
            _ = try first.calculate(id)
            let row: String = try world.db.value("SELECT xmin || ' ' || ctid || s FROM segments s WHERE id = $1", id.sqlValue)
            var second = SegmentCalculation(isRefresh: true) { try $0(world.db) }
            #expect(try second.calculate(id)?.isEmpty == true)
            #expect(try world.db.value("SELECT xmin || ' ' || ctid || s FROM segments s WHERE id = $1", id.sqlValue) == row)
        }
    }
}
