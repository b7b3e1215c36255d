internal import JSON
public import Web

public let eventRoutes: [Route] = [
    .post(
        "/api/events", recordEvents, needs: .writeEvents, limit: .events, body: EventBatch.schema,
        "Record what contacts did: one event, or {\"events\": […]} with up to 1,000")
]
