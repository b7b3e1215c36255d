internal import Web

/// Why a request for a link is not a person's. What the ledger has to be asked for is judged there (`record_hit`).
enum MachineReason: String {
    case headRequest = "head_request"
    case prefetch
    case knownAgent = "known_agent"
    /// Pictures that a mail provider fetches for everybody, read or not.
    case imageProxy = "image_proxy"
}

/// Who asks, as far as it is kept: the class of a program, not what it calls itself.
struct Visitor {
    let agent: String
    let reason: MachineReason?

    init(_ request: Request, isOpen: Bool) {
        let name = request.header("user-agent") ?? ""
        let lowered = name.lowercased()
        let isFetchedAhead = ["purpose", "sec-purpose", "x-purpose", "x-moz"].contains { header in
            let value = request.header(header)?.lowercased() ?? ""
            return value.contains("prefetch") || value.contains("preview")
        }
        let proxy = isOpen ? Visitor.proxies.first { lowered.contains($0) } ?? (name == "Mozilla/5.0" ? "apple mail" : nil) : nil
        // A make of telephone.
        let known = Visitor.machines.first { lowered.replacing("cubot", with: "").contains($0) }
        reason =
            if request.method == "HEAD" { .headRequest } else if isFetchedAhead { .prefetch } else if proxy != nil {
                .imageProxy
            } else if known
                != nil || name.isEmpty
            { .knownAgent } else { nil }
        agent = proxy ?? known ?? Visitor.families.first { lowered.contains($0) } ?? (name.isEmpty ? "none" : "other")
    }

    /// What programs that look at links before people do call themselves, in small letters: previews of messengers,
    /// scanners of mail gateways, crawlers, libraries. From their makers' pages and our own logs; add to it freely.
    static let machines: [String] = [
        "bot", "crawler", "spider", "scanner", "preview", "prefetch", "facebookexternalhit", "facebookcatalog", "meta-externalagent",
        "whatsapp/", "telegram", "skypeuripreview", "slack-imgproxy", "viber", "line-poker", "kakaotalk-scrap", "snapchat",
        "google-safety", "googleother", "google-read-aloud", "feedfetcher", "apis-google", "bingpreview", "yahoo! slurp", "baiduspider",
        "ms-office", "microsoft office", "microsoft-webdav", "safelinks", "barracuda", "proofpoint", "mimecast", "symantec", "messagelabs",
        "trendmicro", "trend micro", "sophos", "fireeye", "trellix", "forcepoint", "cisco-", "ironport", "zscaler", "checkpoint",
        "urlscan", "virustotal", "phishtank", "censys", "zgrab", "masscan", "nmap", "headless", "phantomjs", "selenium", "puppeteer",
        "playwright", "curl/", "wget/", "python", "go-http-client", "java/", "okhttp", "apache-httpclient", "libwww", "node-fetch", "axios",
        "ruby", "php/", "guzzle", "perl", "httpclient", "http_request", "dart/", "cfnetwork", "twilio",
    ]
    static let proxies: [String] = ["googleimageproxy", "yahoomailproxy", "ggpht.com"]
    /// The first that fits: Edge calls itself Chrome, and Chrome Safari.
    private static let families: [String] = [
        "edg", "opr/", "samsungbrowser", "firefox", "fxios", "crios", "chrome", "safari", "outlook", "thunderbird",
    ]
}
