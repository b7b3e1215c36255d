internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Secrets
internal import Vocabulary
internal import Web

func listSenders(_ call: Call) throws -> Response {
    let paging = try call.paging()
    let (createdAt, id) = try paging.newestFirst(SenderID.self)
    return try call.page(SenderSQL.page, paging, call.configuration.publicURL, createdAt, id, paging.fetchLimit)
}

func createSender(_ call: Call) throws -> Response {
    let draft = try call.body(SenderDraft.self)
    try draft.credentials.check(call.configuration)
    let id = SenderID.new()
    return try call.transaction { db in
        let sealed = draft.credentials.sealed(
            with: call.configuration.sealingKey, workspace: call.actor.workspace, sender: id)
        let publicURL = call.configuration.publicURL
        let stored =
            if let account = draft.credentials.accountSID {
                try db.one(SenderSQL.insert, publicURL, id, draft.name, draft.from, draft.service, draft.rate, account, sealed)
            } else {
                try db.one(
                    EmailSQL.insertSender, publicURL, id, draft.name, draft.provider, draft.mail.address!, draft.mail.name,
                    draft.mail.replyTo, draft.rate, sealed)
            }
        try call.audit("sender.created", "sender", id.uuid, in: db)
        return .created(stored, at: "/api/senders/\(id)")
    }
}

func readSender(_ call: Call) throws -> Response {
    let id: SenderID = try call.pathID("id")
    return .resource(try call.read { db in try db.one(SenderSQL.read, call.configuration.publicURL, id) })
}

func changeSender(_ call: Call) throws -> Response {
    let id: SenderID = try call.pathID("id")
    let change = try call.body(SenderChange.self)
    return try call.transaction { db in
        let sender = try db.one(SenderSQL.lock, id)
        try call.checkIfMatch(sender.version)
        let credentials = try change.credentials(for: sender.provider)
        try credentials?.check(call.configuration)
        let sealed = credentials?.sealed(with: call.configuration.sealingKey, workspace: call.actor.workspace, sender: id)
        if sender.provider != "twilio" {
            try db.run(EmailSQL.changeOrigin, id, change.mail.address, change.mail.name, change.mail.replyTo)
        }
        let stored = try db.one(
            SenderSQL.change, call.configuration.publicURL, id, change.name, change.from, change.service, change.rate,
            credentials?.accountSID, sealed, change.reactivates)
        try call.audit("sender.changed", "sender", id.uuid, details: ["credentials": .bool(sealed != nil)], in: db)
        return .resource(stored)
    }
}

func deleteSender(_ call: Call) throws -> Response {
    let id: SenderID = try call.pathID("id")
    return try call.transaction { db in
        try call.checkIfMatch(try db.one(SenderSQL.lock, id).version)
        try db.run(SenderSQL.delete, id)
        try call.audit("sender.deleted", "sender", id.uuid, in: db)
        return .noContent
    }
}
