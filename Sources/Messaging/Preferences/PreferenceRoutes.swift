// A person's own page: reached by a link in a message, without signing in. GET only shows, because scanners follow every
// link; POST acts.
public import Web

public let preferenceRoutes: [Route] =
    [
        .get(
            "/u/{token}", showPreferences, needs: .anyone, limit: .unlimited, openQuery: true,
            "A person's page: what they get, and how to change it"),
        .post(
            "/u/{token}", changePreferences, needs: .anyone, limit: .unlimited, openQuery: true,
            "Change what a person gets; also one-click unsubscribing by a mail program (RFC 8058)"),
    ] + confirmationRoutes
