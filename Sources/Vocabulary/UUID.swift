// 128-bit identifiers, without Foundation: half of a responder's memory would be its Unicode tables.

/// A UUID (RFC 9562). Compares as PostgreSQL does, byte by byte.
public struct UUID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The 36-character form, in any case; `nil` for anything else.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        guard let uuid = text.withUTF8({ UUID(utf8: $0) }) else { return nil }
        self = uuid
    }

    public init?(utf8: UnsafeBufferPointer<UInt8>) {
        guard utf8.count == 36, utf8[8] == 45, utf8[13] == 45, utf8[18] == 45, utf8[23] == 45 else { return nil }
        var halves: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for (index, byte) in utf8.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 { continue }
            let digit: UInt8
            switch byte {
            case 48...57: digit = byte - 48
            case 97...102: digit = byte - 87
            case 65...70: digit = byte - 55
            default: return nil
            }
            if digits < 16 { halves.0 = halves.0 << 4 | UInt64(digit) } else { halves.1 = halves.1 << 4 | UInt64(digit) }
            digits += 1
        }
        (high, low) = halves
    }

    /// Version 7: 48 bits of milliseconds, then 74 random bits.
    public static func v7(at instant: Instant = .now()) -> UUID {
        var generator = SystemRandomNumberGenerator()
        let milliseconds = UInt64(bitPattern: instant.microseconds / 1000) & 0xFFFF_FFFF_FFFF
        return UUID(
            high: milliseconds << 16 | 0x7000 | (generator.next() & 0x0FFF),
            low: 0x8000_0000_0000_0000 | (generator.next() >> 2))
    }

    public static func < (a: UUID, b: UUID) -> Bool { (a.high, a.low) < (b.high, b.low) }

    public var description: String {
        String(unsafeUninitializedCapacity: 36) { buffer in
            var position = 0
            func put(_ half: UInt64) {
                for shift in stride(from: 60, through: 0, by: -4) {
                    if position == 8 || position == 13 || position == 18 || position == 23 {
                        buffer[position] = 45
                        position += 1
                    }
                    let digit = UInt8(truncatingIfNeeded: half >> UInt64(shift)) & 15
                    buffer[position] = digit < 10 ? 48 + digit : 87 + digit
                    position += 1
                }
            }
            put(high)
            put(low)
            return 36
        }
    }
}

/// An identifier of one kind of thing, so that a contact's id cannot be passed as a campaign's.
public struct ID<Of>: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let uuid: UUID
    public init(_ uuid: UUID) { self.uuid = uuid }
    public init?(_ text: some StringProtocol) {
        guard let uuid = UUID(text) else { return nil }
        self.uuid = uuid
    }
    public static func new() -> ID { ID(.v7()) }
    public static func < (a: ID, b: ID) -> Bool { a.uuid < b.uuid }
    public var description: String { uuid.description }
}

/// The kinds of things that have ids.
public enum Entity {
    public enum Workspace {}
    public enum User {}
    public enum Session {}
    public enum APIKey {}
    public enum Invitation {}
    public enum Contact {}
    public enum Segment {}
    public enum SegmentAction {}
    public enum List {}
    public enum Import {}
    public enum Job {}
    public enum Template {}
    public enum Sender {}
    public enum Campaign {}
    public enum Message {}
    public enum Receipt {}
    public enum Event {}
    public enum Suppression {}
    public enum Inbound {}
    public enum ScoreModel {}
    public enum Notice {}
    public enum Webhook {}
    public enum WebhookDelivery {}
    public enum LinkHit {}
    public enum ConsentRequest {}
    public enum RecurringCampaign {}
}

public typealias WorkspaceID = ID<Entity.Workspace>
public typealias UserID = ID<Entity.User>
public typealias SessionID = ID<Entity.Session>
public typealias APIKeyID = ID<Entity.APIKey>
public typealias InvitationID = ID<Entity.Invitation>
public typealias ContactID = ID<Entity.Contact>
public typealias SegmentID = ID<Entity.Segment>
public typealias SegmentActionID = ID<Entity.SegmentAction>
public typealias ListID = ID<Entity.List>
public typealias ImportID = ID<Entity.Import>
public typealias JobID = ID<Entity.Job>
public typealias TemplateID = ID<Entity.Template>
public typealias LinkHitID = ID<Entity.LinkHit>
public typealias SenderID = ID<Entity.Sender>
public typealias CampaignID = ID<Entity.Campaign>
public typealias RecurringCampaignID = ID<Entity.RecurringCampaign>
public typealias MessageID = ID<Entity.Message>
public typealias ReceiptID = ID<Entity.Receipt>
public typealias InboundID = ID<Entity.Inbound>
public typealias EventID = ID<Entity.Event>
public typealias SuppressionID = ID<Entity.Suppression>
public typealias ScoreModelID = ID<Entity.ScoreModel>
public typealias NoticeID = ID<Entity.Notice>
public typealias ConsentRequestID = ID<Entity.ConsentRequest>
public typealias WebhookID = ID<Entity.Webhook>
public typealias WebhookDeliveryID = ID<Entity.WebhookDelivery>
