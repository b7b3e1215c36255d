internal import JSON
internal import PostgreSQL
internal import Runtime
internal import Vocabulary
internal import Web

enum PreferenceSQL {
    /// A person's addresses, and what holds for each. Of somebody who has none on the channel `$2` any more, or was deleted, but not
    /// erased, the one that their last message there went to: under another name it may be written to again.
    static let standings = Statement<Standing, ContactID, Channel>(
        """
        SELECT coalesce(w.settings ->> 'brand', w.name) AS brand, h.channel, h.address, s.reason, s.source,
               h.is_former,
               h.is_former OR k.state = 'opted_in' OR k.state IS NULL AND w.settings ->> 'consent_mode' = 'opt_out' AS is_agreed,
               w.settings ->> 'consent_mode' = 'opt_out'
               OR EXISTS (SELECT FROM consent_events e
                           WHERE e.workspace_id = current_workspace() AND e.contact_id = $1 AND e.channel = h.channel
                             AND e.purpose = 'marketing' AND e.state = 'opted_in') AS has_agreed
          FROM (SELECT a.channel, a.address, false AS is_former FROM contacts c
                 CROSS JOIN LATERAL (VALUES ('sms', c.phone), ('email', c.email)) AS a (channel, address)
                 WHERE c.workspace_id = current_workspace() AND c.id = $1 AND a.address IS NOT NULL
                UNION ALL
                SELECT l.channel, l.to_address, true
                  FROM (SELECT m.channel, m.to_address FROM messages m
                         WHERE m.workspace_id = current_workspace() AND m.contact_id = $1 AND m.channel = $2 AND m.kind <> 'test'
                           AND m.started_at IS NOT NULL
                         ORDER BY m.created_at DESC LIMIT 1) l
                 WHERE NOT EXISTS (SELECT FROM contacts c
                                    WHERE c.workspace_id = current_workspace() AND c.id = $1
                                      AND CASE $2 WHEN 'sms' THEN c.phone ELSE c.email END IS NOT NULL)
                   AND NOT is_erased(l.channel, l.to_address)) h
          JOIN workspaces w ON w.id = current_workspace()
          LEFT JOIN consents k ON k.workspace_id = current_workspace() AND k.contact_id = $1 AND k.channel = h.channel
          LEFT JOIN suppressions s ON s.workspace_id = current_workspace() AND s.channel = h.channel AND s.address = h.address
         ORDER BY h.channel
        """)
    static let change = Statement<String, ContactID, Channel, Bool, String?, String?, String?, JSONText>(
        """
        SELECT change_preference($1, $2, $3, $4, $5, $6, $7::jsonb)
        """)
}

/// What holds for one address of a person.
struct Standing: RowDecodable {
    let brand: String
    let channel: Channel
    let address: String
    let reason: String?
    let source: String?
    let isAgreed: Bool
    /// Whether they have ever opted in on this channel, or nobody needs to here.
    let hasAgreed: Bool
    /// An address that is nobody's under this link's name any more: it can be left, and no more.
    let isFormer: Bool
    init(_ row: borrowing Row) throws(PostgresError) {
        brand = try row["brand"]
        channel = try row["channel"]
        address = try row["address"]
        reason = try row["reason"]
        source = try row["source"]
        isAgreed = (try row["is_agreed"] as Bool?) ?? false
        hasAgreed = (try row["has_agreed"] as Bool?) ?? false
        isFormer = try row["is_former"]
    }

    var isReached: Bool { isAgreed && reason == nil }
    /// A STOP by text is kept by the provider, too: only a START to it ends that.
    var needsStart: Bool { channel == .sms && reason == "opt_out" && (source == "inbound" || source == "provider") }
    /// As in `change_preference`: what the team or a provider said besides is not the person's to lift.
    var canReturn: Bool {
        guard let reason, let source else { return true }
        return reason == "opt_out" && ["preferences", "consent", "review", "inbound", "provider"].contains(source) && !needsStart
    }
    /// Whoever holds a link has what it came by, and nothing else: it begins no channel that they had not agreed to before.
    func canStart(by link: Channel) -> Bool { canReturn && !isFormer && (channel == link || hasAgreed) }
}

func showPreferences(_ call: Call) throws -> Response {
    guard let token = PreferenceToken(call.pathText("token"), key: call.configuration.sealingKey) else { return PreferencePage.nowhere }
    return try call.db.transaction(readOnly: true) { db in
        try db.setWorkspace(token.workspace)
        return try page(token, nil, db)
    }
}

/// One transaction: when the answer arrives, no message starts any more. Repeated, it changes nothing.
func changePreferences(_ call: Call) throws -> Response {
    guard let token = PreferenceToken(call.pathText("token"), key: call.configuration.sealingKey) else { return PreferencePage.nowhere }
    guard let wish = PreferenceWish(try call.rawBody(limit: 16_384), call.request.mediaType, token.channel) else {
        return PreferencePage.notUnderstood
    }
    var evidence = personEvidence(call, page: "/u")
    evidence["one_click"] = .bool(wish.isOneClick)
    do {
        return try change(token, wish, evidence, call.db)
    } catch let error as PostgresError where error.sqlState == .deadlockDetected {
        // Two links to the same addresses at once: nobody presses again because of that.
        return try change(token, wish, evidence, call.db)
    }
}

private func change(_ token: PreferenceToken, _ wish: PreferenceWish, _ evidence: JSONObject, _ db: Connection) throws -> Response {
    try db.transaction { db in
        try db.setWorkspace(token.workspace)
        let known = try db.all(PreferenceSQL.standings, token.contact, token.channel)
        guard !known.isEmpty else { return PreferencePage.nowhere }
        var hasLeft = false
        for channel in wish.channels {
            let standing = known.first { $0.channel == channel }
            // Without an address now, they still leave those that their messages went to.
            guard wish.wants ? standing?.canStart(by: token.channel) == true : standing != nil || channel == token.channel else { continue }
            let wording = wish.wants ? standing.map(PreferencePage.agreement) : nil
            let outcome = try db.one(
                PreferenceSQL.change, token.contact, channel, wish.wants, wish.reason, wish.reasonText, wording,
                JSONText(.object(evidence)))
            if outcome != "refused" { hasLeft = true }
        }
        if wish.isOneClick { return hasLeft ? .text("You are unsubscribed.\n") : PreferencePage.nowhere }
        return try page(token, wish, db)
    }
}

/// What is known of somebody who pressed a button of ours without signing in.
func personEvidence(_ call: Call, page: String) -> JSONObject {
    var evidence: JSONObject = ["page": .string(page), "ip": .string(call.request.remoteAddress)]
    evidence["user_agent"] = JSONValue(call.request.header("user-agent").flatMap { kept($0, atMost: 300) })
    return evidence
}

private func page(_ token: PreferenceToken, _ done: PreferenceWish?, _ db: Connection) throws -> Response {
    let standings = try db.all(PreferenceSQL.standings, token.contact, token.channel)
    guard let brand = standings.first?.brand else { return PreferencePage.nowhere }
    // What the message came by is what they came for.
    let sorted = standings.filter { $0.channel == token.channel } + standings.filter { $0.channel != token.channel }
    return PreferencePage.show(brand, sorted, done, by: token.channel)
}

/// What a form asks for.
struct PreferenceWish {
    let channels: [Channel]
    let wants: Bool
    let reason: String?
    let reasonText: String?
    let isOneClick: Bool

    static let reasons = [
        ("too_many", "Too many messages"), ("not_relevant", "They are not for me"), ("never_signed_up", "I never signed up"),
        ("other", "Something else"),
    ]

    /// - Parameter channel: that of the link, which one click ends.
    /// - Returns: `nil` for a form that is not one of ours and no one-click (RFC 8058, section 3.2).
    init?(_ body: [UInt8], _ mediaType: String, _ channel: Channel) {
        var form: [String: String] = [:]
        switch mediaType {
        case "application/x-www-form-urlencoded":
            for (name, value) in formBytes(body) { form[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self) }
        case "multipart/form-data":
            // One part with a fixed name and a fixed content: nothing else comes this way.
            let text = String(decoding: body, as: UTF8.self)
            let lines = text.split(omittingEmptySubsequences: true) { $0.isNewline }
            let isNamed = lines.contains {
                $0.lowercased().hasPrefix("content-disposition:") && $0.lowercased().contains("list-unsubscribe")
            }
            if isNamed, lines.contains("One-Click") { form["List-Unsubscribe"] = "One-Click" }
        default: return nil
        }
        isOneClick = form["List-Unsubscribe"] == "One-Click"
        if isOneClick {
            (channels, wants, reason, reasonText) = ([channel], false, nil, nil)
            return
        }
        let words = (form["action"] ?? "").split(separator: ":").map(String.init)
        guard words.count == 2, words[0] == "stop" || words[0] == "start" else { return nil }
        wants = words[0] == "start"
        if words[1] == "all", !wants {
            channels = Channel.allCases
        } else {
            guard let one = Channel(rawValue: words[1]) else { return nil }
            channels = [one]
        }
        let given = wants ? nil : form["reason"].flatMap { reason in Self.reasons.first { $0.0 == reason }?.0 }
        let text = wants ? nil : form["reason_text"].flatMap { kept($0, atMost: 500) }
        // Words without a choice are another reason.
        reason = given ?? (text == nil ? nil : "other")
        reasonText = text
    }
}

/// What a stranger sent, as it can be stored: no U+0000, nothing around it. `nil` when nothing is left.
private func kept(_ text: String, atMost most: Int) -> String? {
    let scalars = text.unicodeScalars.filter { $0.value != 0 }.drop { $0.properties.isWhitespace }.prefix(most)
    var text = String(String.UnicodeScalarView(scalars))
    while text.last?.isWhitespace == true { text.removeLast() }
    return text.isEmpty ? nil : text
}
