// Where providers call us. Verify over the raw bytes, store, commit, answer; what it means is settled later.
public import Web

public let webhookRoutes: [Route] = [
    .post(
        "/webhooks/twilio/{sender_id}/status", receiveStatus, needs: .anyone, limit: .unlimited, openQuery: true,
        "A message's status, signed by Twilio; `m` is our message id"),
    .post(
        "/webhooks/twilio/{sender_id}/inbound", receiveInbound, needs: .anyone, limit: .unlimited, openQuery: true,
        "A person's reply, signed by Twilio"),
    // Numbers can be set up to be called by GET: the same, with the form in the query.
    .get(
        "/webhooks/twilio/{sender_id}/inbound", receiveInbound, needs: .anyone, limit: .unlimited, openQuery: true,
        "A person's reply, signed by Twilio"),
    .post(
        "/webhooks/sendgrid/{sender_id}/events", receiveSendGridEvents, needs: .anyone, limit: .unlimited,
        "What became of mail and what people did with it, signed by SendGrid"),
]
