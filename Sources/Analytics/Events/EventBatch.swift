internal import JSON
internal import Vocabulary
internal import Web

/// What a request holds: one event, or a batch in which each stands for itself.
struct EventBatch {
    /// Events without a fault, with their place in the batch.
    private(set) var events: [(index: Int, event: EventDraft)] = []
    /// What is wrong with the others.
    private(set) var rejected: [(index: Int, faults: [Fault])] = []
    let isBatch: Bool

    static let mostEvents = 1000
    static let schema: Schema = .oneOf([
        EventDraft.schema,
        .object([.required("events", .array(EventDraft.schema, min: 1, max: mostEvents), "Up to 1,000")]),
        .array(EventDraft.schema, min: 1, max: mostEvents),
    ])

    /// - Throws: 422 for what concerns all of the request, and for a single event with a fault.
    init(_ body: JSONValue, now: Instant) throws {
        let (list, pointer) = try Self.list(body)
        isBatch = list != nil
        guard let list else {
            events = [(0, try EventDraft(body, at: "", now: now))]
            return
        }
        // Length and kind of the list only: what is in it is looked at one by one.
        let faults = Schema.array(.any, min: 1, max: Self.mostEvents).validate(.array(list), at: pointer)
        if !faults.isEmpty { throw Problem.validation(faults) }
        for (index, value) in list.enumerated() {
            do {
                events.append((index, try EventDraft(value, at: jsonPointer(pointer, index), now: now)))
            } catch {
                rejected.append((index, error.list))
            }
        }
    }

    /// The list and where it stands; `nil` for a single event.
    private static func list(_ body: JSONValue) throws -> ([JSONValue]?, String) {
        if let list = body.array { return (list, "") }
        guard let member = body["events"] else { return (nil, "") }
        let faults = Schema.object([.required("events", .array(.any, max: .max), "Events")]).validate(body)
        guard faults.isEmpty, let list = member.array else { throw Problem.validation(faults) }
        return (list, "/events")
    }

    /// Moves an event whose contact does not exist to the rejected ones.
    mutating func reject(_ index: Int) {
        events.removeAll { $0.index == index }
        rejected.append((index, [unknownContact(at: isBatch ? "/events/\(index)" : "")]))
    }

    /// `{"index":3,"errors":[{"pointer","code","detail"}]}`, in the order of the batch.
    var rejections: JSONValue {
        .array(
            rejected.sorted { $0.index < $1.index }.map { rejected in
                [
                    "index": JSONValue(rejected.index),
                    "errors": .array(
                        rejected.faults.map {
                            ["pointer": .string($0.pointer), "code": .string($0.code), "detail": .string($0.detail)]
                        }),
                ]
            })
    }
}

func unknownContact(at pointer: String) -> Fault {
    Fault(pointer: jsonPointer(pointer, "contact"), code: "unknown_contact", detail: "There is no such contact.")
}
