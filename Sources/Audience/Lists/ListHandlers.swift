internal import JSON
internal import PostgreSQL
internal import Vocabulary
internal import Web

func pageOfLists(_ call: Call) throws -> Response {
    let paging = try call.paging()
    return try call.page(
        ListSQL.page, paging, try paging.after(0, from: TimestampText.infinity),
        try paging.after(1, from: ListID(UUID(high: .max, low: .max))), paging.fetchLimit)
}

func createList(_ call: Call) throws -> Response {
    let draft = try call.body(ListDraft.self)
    let list = try namingTaken {
        try call.transaction { db in
            let list = try db.one(ListSQL.insert, draft.name)
            try call.audit("list.created", "list", list.id.uuid, in: db)
            return list
        }
    }
    return .created(list.json, at: "/api/lists/\(list.id)").etag(version: list.version)
}

func readList(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    guard let list = try call.read({ db in try db.first(ListSQL.read, id) }) else { throw Problem.notFound("list") }
    return .json(list.json).etag(version: list.version)
}

func renameList(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    let draft = try call.body(ListDraft.self)
    let list = try namingTaken {
        try call.transaction { db in
            try call.checkIfMatch(try version(of: id, db))
            return try db.one(ListSQL.rename, id, draft.name)
        }
    }
    return .json(list.json).etag(version: list.version)
}

func deleteList(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    try call.transaction { db in
        try call.checkIfMatch(try version(of: id, db))
        try db.run(ListSQL.delete, id)
        try call.audit("list.deleted", "list", id.uuid, in: db)
    }
    return .noContent
}

func pageOfMembers(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    let paging = try call.paging(sorts: ["id"])
    let after = try paging.after(0, from: ContactID(UUID(high: 0, low: 0)))
    return try call.transaction { db in
        guard try db.first(ListSQL.exists, id) != nil else { throw Problem.notFound("list") }
        return try call.page(ListSQL.members, paging, id, after, paging.fetchLimit)
    }
}

/// Contacts that are on the list already, or that nobody knows here, count as nothing and are no error: two scripts
/// may do the same.
func addMembers(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    let members = try call.body(ListMembers.self)
    return try call.transaction { db in
        _ = try version(of: id, db)
        let added = try db.run(ListSQL.add, id, members.contacts)
        let unknown = try db.all(ListSQL.unknown, members.contacts)
        return .json(["added": JSONValue(added), "unknown": .array(unknown.map { .string($0.description) })])
    }
}

func removeMembers(_ call: Call) throws -> Response {
    let id: ListID = try call.pathID("id")
    let members = try call.body(ListMembers.self)
    return try call.transaction { db in
        _ = try version(of: id, db)
        return .json(["removed": JSONValue(try db.run(ListSQL.remove, id, members.contacts))])
    }
}

/// Locks the list's row.
private func version(of id: ListID, _ db: Connection) throws -> Int {
    guard let version = try db.first(ListSQL.lock, id) else { throw Problem.notFound("list") }
    return version
}

private func namingTaken<T>(_ work: () throws -> T) throws -> T {
    do { return try work() } catch let error as PostgresError where error.constraint == "list_name_is_unique" {
        throw Problem.conflict("name_taken", "Another list has this name.")
    }
}
