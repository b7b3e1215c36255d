// The page on which somebody confirms, without signing in: the token is the credential.
internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

func showConfirmation(_ call: Call) throws -> Response {
    guard let token = ConfirmationToken(call.pathText("token"), key: call.configuration.sealingKey) else { return PreferencePage.nowhere }
    return try call.db.transaction(readOnly: true) { db in
        try db.setWorkspace(token.workspace)
        return try page(token, db)
    }
}

/// Once: pressed again it shows what holds, and records nothing.
func confirmConsent(_ call: Call) throws -> Response {
    guard let token = ConfirmationToken(call.pathText("token"), key: call.configuration.sealingKey) else { return PreferencePage.nowhere }
    guard isConfirmation(try call.rawBody(limit: 16_384), call.request.mediaType) else { return PreferencePage.notUnderstood }
    return try call.db.transaction { db in
        try db.setWorkspace(token.workspace)
        _ = try db.one(ConsentRequestSQL.confirm, token.request, JSONText(.object(personEvidence(call, page: "/c"))))
        return try page(token, db)
    }
}

/// The form of the page, and nothing that a program might send by itself.
private func isConfirmation(_ body: [UInt8], _ mediaType: String) -> Bool {
    mediaType == "application/x-www-form-urlencoded"
        && formBytes(body).contains { $0.name.elementsEqual("action".utf8) && $0.value.elementsEqual("confirm".utf8) }
}

private func page(_ token: ConfirmationToken, _ db: Connection) throws -> Response {
    guard let request = try db.first(ConsentRequestSQL.shown, token.request), request.channel == .email else {
        return PreferencePage.nowhere
    }
    return ConfirmationPage.show(request)
}

enum ConfirmationPage {
    static func show(_ request: ShownRequest) -> Response {
        let brand = markupEscaped(request.brand)
        switch request.state {
        case "pending":
            return PreferencePage.document(
                200, "Messages from \(request.brand)",
                """
                <h1>Messages from \(brand)</h1>
                <section>
                <p>\(markupEscaped(PreferencePage.masked(request.address, request.channel)))</p>
                <p>\(markupEscaped(request.wording))</p>
                <form method="post">
                <button name="action" value="confirm">Confirm</button>
                </form>
                <p>If you did not ask for this, you need not do anything.</p>
                </section>

                """)
        case "confirmed" where !request.isInForce:
            return PreferencePage.document(
                200, "Messages from \(request.brand)",
                """
                <h1>Messages from \(brand)</h1>
                <p class="done" role="status">This was confirmed, and has ended since: no such messages go to this address.</p>

                """)
        case "confirmed":
            return PreferencePage.document(
                200, "Messages from \(request.brand)",
                "<h1>Messages from \(brand)</h1>\n<p class=\"done\" role=\"status\">Thank you. It is confirmed.</p>\n")
        default:
            return PreferencePage.document(
                410, "This link has ended",
                "<h1>This link has ended</h1>\n<p>Nothing was changed. If you still want messages from \(brand), ask for them anew.</p>\n")
        }
    }
}
