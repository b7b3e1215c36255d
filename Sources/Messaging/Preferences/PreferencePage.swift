// The page itself: one document, no script, nothing from elsewhere, no whole address.
internal import Secrets
internal import Vocabulary
internal import Web

enum PreferencePage {
    /// The same for a wrong token, for somebody who is gone, and for another workspace's.
    static var nowhere: Response {
        document(
            404, "This link does not work",
            """
            <h1>This link does not work</h1>
            <p>It may have been cut off on its way. Open it from the message again, or answer the message.</p>
            """)
    }
    static var notUnderstood: Response {
        document(400, "Not understood", "<h1>Not understood</h1>\n<p>Nothing was changed. Open the link from the message again.</p>")
    }

    /// - Parameter link: the channel that their link came by.
    static func show(_ brand: String, _ standings: [Standing], _ done: PreferenceWish?, by link: Channel) -> Response {
        var body = "<h1>Messages from \(markupEscaped(brand))</h1>\n"
        if let done {
            let reached = standings.filter { done.channels.contains($0.channel) && $0.isReached && !$0.isFormer }
            let text =
                if done.wants {
                    reached.isEmpty ? "That could not be changed here." : "You will get our messages again."
                } else {
                    "Done. You will not get these messages any more."
                }
            body += "<p class=\"done\" role=\"status\">\(text)</p>\n"
        }
        for standing in standings { body += section(standing, by: link) }
        let reached = standings.filter(\.isReached)
        if !reached.isEmpty { body += stopForm(reached) }
        return document(200, "Messages from \(brand)", body)
    }

    /// What somebody agrees to who presses the button: it is kept with their consent.
    static func agreement(_ standing: Standing) -> String {
        switch standing.channel {
        case .sms: "Send me text messages from \(standing.brand). Message and data rates may apply. Reply STOP to end at any time."
        case .email: "Send me e-mail from \(standing.brand). Every e-mail has a link to end it."
        }
    }

    private static func section(_ standing: Standing, by link: Channel) -> String {
        var html = """
            <section>
            <h2>\(name(standing.channel))</h2>
            <p>\(markupEscaped(masked(standing.address, standing.channel))): <strong>\(standing.isReached ? "you get them" : "you do not get them")</strong></p>

            """
        if standing.needsStart {
            html += "<p>You ended them by text. To get them again, text START to our number.</p>\n"
        } else if !standing.isReached, standing.canStart(by: link) {
            html += """
                <form method="post">
                <p>\(markupEscaped(agreement(standing)))</p>
                <button name="action" value="start:\(standing.channel.rawValue)">Get \(name(standing.channel).lowercased())</button>
                </form>

                """
        } else if !standing.isReached, standing.canReturn {
            if !standing.isFormer { html += "<p>To get them, sign up with us.</p>\n" }
        } else if !standing.isReached {
            html += "<p>This cannot be changed here. Please write to us.</p>\n"
        }
        return html + "</section>\n"
    }

    private static func stopForm(_ reached: [Standing]) -> String {
        var html = "<form method=\"post\">\n<fieldset>\n<legend>Why? You need not say.</legend>\n"
        for (value, label) in PreferenceWish.reasons {
            html += "<label><input type=\"radio\" name=\"reason\" value=\"\(value)\"> \(label)</label>\n"
        }
        html +=
            "<label for=\"text\">In your own words</label>\n<textarea id=\"text\" name=\"reason_text\" rows=\"2\" maxlength=\"500\"></textarea>\n</fieldset>\n"
        for standing in reached {
            html +=
                "<button name=\"action\" value=\"stop:\(standing.channel.rawValue)\">Stop \(name(standing.channel).lowercased())</button>\n"
        }
        if reached.count > 1 { html += "<button name=\"action\" value=\"stop:all\">Stop everything</button>\n" }
        return html + "</form>\n"
    }

    private static func name(_ channel: Channel) -> String { channel == .sms ? "Text messages" : "E-mail" }

    /// Enough for its owner to know it: the end of a number, the first letters of an e-mail address.
    static func masked(_ address: String, _ channel: Channel) -> String {
        guard channel == .email, let at = address.lastIndex(of: "@") else { return "•••" + address.suffix(2) }
        let domain = address[address.index(after: at)...]
        let end = domain.lastIndex(of: ".").map { String(domain[$0...]) } ?? ""
        return "\(address.prefix(1))•••@\(domain.prefix(1))•••\(end)"
    }

    private static let style = """
        body{margin:0 auto;max-width:34rem;padding:1.5rem;font:1.05rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff}
        h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin:0 0 .25rem}p{margin:.25rem 0 .75rem}
        section,fieldset{border:1px solid #c8c8c8;border-radius:.5rem;padding:1rem;margin:0 0 1rem}
        legend{padding:0 .25rem}label{display:block;padding:.35rem 0}
        textarea{box-sizing:border-box;width:100%;font:inherit;padding:.5rem;border:1px solid #767676;border-radius:.25rem}
        button{display:block;width:100%;margin:0 0 .75rem;padding:.75rem;font:inherit;font-weight:600;color:#fff;background:#1f4fa3;border:0;border-radius:.5rem}
        .done{padding:.75rem 1rem;border-radius:.5rem;color:#0b4a22;background:#dff3e5}
        :focus-visible{outline:3px solid #e08600;outline-offset:2px}
        @media (prefers-color-scheme:dark){body{color:#eee;background:#16181c}section,fieldset{border-color:#4a4f57}textarea{color:#eee;background:#22252b}button{background:#3b6fd0}.done{color:#c9f0d6;background:#123d22}}
        """
    /// Only this style, and forms to this page: nothing that somebody managed to write into it could run or call out.
    private static let policy =
        "default-src 'none'; style-src 'sha256-\(base64Encode(Hash.sha256(Array(style.utf8))))'; form-action 'self'; base-uri 'none'; "
        + "frame-ancestors 'none'"

    static func document(_ status: Int, _ title: String, _ body: String) -> Response {
        Response.text(
            """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="robots" content="noindex">
            <title>\(markupEscaped(title))</title>
            <style>\(style)</style>
            </head>
            <body>
            <main>
            \(body)</main>
            </body>
            </html>

            """, contentType: "text/html; charset=utf-8", status: status
        )
        .with("Content-Security-Policy", policy).with("X-Robots-Tag", "noindex, nofollow").with("Referrer-Policy", "no-referrer")
        .with("X-Content-Type-Options", "nosniff")
    }
}
