import Foundation
import JSON
import Messaging
import TestSupport
import Testing

@Suite struct TemplateLanguageTests {
    private let ada: JSONValue = [
        "name": "Ada", "first_name": "Ada", "email": .null, "tags": ["vip", "beta", "eu"], "timezone": "Europe/Berlin",
        "attributes": [
            "plan": "pro", "visits": 3, "score": 1234.565, "price": "1999.5", "debt": -0.001, "blank": " ", "none": [], "active": true,
            "left": false, "zero": 0, "city": "Köln", "bio": "Once upon a time", "born": "1815-12-10", "seen_at": "2026-01-31T23:30:00Z",
            "local": "2026-07-01 09:05", "epoch": 86_400, "odd": "a&b c/ü",
            "cart": [["name": "Pen", "price": 1.5], ["name": "Ink", "price": 12]], "grid": [[1, 2], [3, 4]],
            "home": ["city": "London"],
        ],
    ]

    @Test(arguments: [
        (
            "{{ bio | truncate: 8 }}|{{ bio | truncate: 5, \"…\" }}|{{ city | truncate: 9 }}|{{ bio | truncate: 2 }}",
            "Once...|Once…|Köln|..."
        ),
        ("{{ city | replace: \"öl\", \"oel\" | append: \"!\" | prepend: \"#\" }} {{ bio | remove: \" \" }}", "#Koeln! Onceuponatime"),
        ("{{ born | date: \"%d.%m.%Y %A %b %j\" }}", "10.12.1815 Sunday Dec 344"),
        (
            "{{ seen_at | date: \"%Y-%m-%d %H:%M\" }} {{ seen_at | date: \"%-d.%-m. %I:%M %p\", \"Europe/Berlin\" }}",
            "2026-01-31 23:30 1.2. 12:30 AM"
        ),
        ("{{ local | date: \"%e %B %y %-H:%M:%S 100%%\", \"Asia/Tokyo\" }} {{ epoch | date: \"%F\" }}", nil),
        ("{{ local | date: \"%e %B %y %-H:%M:%S 100%%\", \"Asia/Tokyo\" }} {{ epoch | date: \"%d\" }}", "1 July 26 9:05:00 100% 02"),
        ("{{ name | date: \"%d\" | default: \"soon\" }} {{ missing | date: \"%d\" }}", "soon"),
        (
            "{{ score | number: 2 }} {{ score | number: 0, \".\" }} {{ score | number: 1, \".\", \",\" }} {{ visits | number: 2 }}",
            "1234.57 1.235 1.234,6 3.00"
        ),
        ("{{ debt | number: 2 }} {{ name | number: 2 | default: \"-\" }} {{ \"999.995\" | number: 2, \",\" }}", "0.00 - 1,000.00"),
        ("{{ price | money: \"USD\" }} {{ price | money: \"JPY\" }} {{ \"-5\" | money: \"CHF\" }}", "$1,999.50 ¥2,000 -CHF 5.00"),
        ("{{ visits | plus: 1 }} {{ visits | minus: 0.1 }} {{ price | times: 2 }} {{ name | plus: 1 | default: 0 }}", "4 2.9 3999 0"),
        ("{{ odd | url_encode }}", "a%26b%20c%2F%C3%BC"),
        (
            "{{ tags | first }} {{ tags | last }} {{ tags | size }} {{ city | size }} {{ missing | size }} {{ tags | join: \" & \" }}",
            "vip eu 3 4 0 vip & beta & eu"
        ),
    ])
    func `filters write what the manual says`(_ text: String, _ expected: String?) throws {
        guard let expected else {
            #expect(throws: Faults.self) { _ = try TextTemplate(text) }
            return
        }
        #expect(try TextTemplate(text).render(ada) == expected)
    }

    @Test(arguments: [
        ("plan == \"pro\"", true), ("plan == 'Pro'", false), ("plan != \"free\"", true), ("missing != \"free\"", true),
        ("visits == 3", true), ("visits == 3.0", true), ("price == 1999.50", true), ("visits > 2 and visits <= 3", true),
        ("missing < 5", false), ("missing >= 5", false), ("born < \"1900-01-01\"", true), ("price > 9", true), ("name < 5", false),
        ("tags contains \"vip\"", true), ("tags contains \"vi\"", false), ("bio contains \"upon\"", true), ("bio contains \"\"", false),
        ("plan", true), ("missing", false), ("blank", false), ("none", false), ("left", false), ("zero", true), ("email", false),
        ("left == false", true), ("active == true", true), ("email == null", true), ("blank == blank", true), ("missing == empty", true),
        ("name != blank", true), ("not left", true), ("not not left", false), ("not (plan == \"pro\" or left)", false),
        ("left and left or active", true), ("active or left and left", true), ("(active or left) and left", false),
        ("tags | size == 3", true), ("plan | upcase == \"PRO\" and home.city == \"London\"", true),
    ])
    func `conditions hold as the manual says`(_ condition: String, _ holds: Bool) throws {
        #expect(try TextTemplate("{% if \(condition) %}yes{% else %}no{% endif %}").render(ada) == (holds ? "yes" : "no"))
        #expect(try TextTemplate("{% unless \(condition) %}no{% else %}yes{% endunless %}").render(ada) == (holds ? "yes" : "no"))
    }

    @Test(arguments: [
        ("{% if left %}a{% elsif visits > 5 %}b{% elsif visits > 2 %}c{% else %}d{% endif %}", "c"),
        (
            "{% for item in cart %}{{ forloop.index }}/{{ forloop.length }} {{ item.name }} {{ item.price | money: \"EUR\" }};{% endfor %}",
            "1/2 Pen €1.50;2/2 Ink €12.00;"
        ),
        ("{% for tag in tags reversed limit: 2 %}{{ tag }}{% unless forloop.last %}, {% endunless %}{% endfor %}", "eu, beta"),
        ("{% for x in none %}a{% else %}nothing{% endfor %}{% for x in missing %}a{% endfor %}", "nothing"),
        (
            "{% for row in grid %}{% for cell in row %}{{ forloop.index0 }}{{ cell }}{% if forloop.first %},{% endif %}{% endfor %};{% endfor %}",
            "01,12;03,14;"
        ),
        ("{% for row in grid %}{% for x in tags limit: 1 %}{{ row | first }}{{ x }}{% endfor %}{% endfor %}", "1vip3vip"),
        ("{% for name in tags limit: 1 %}{{ name }}{% endfor %}{{ name }}", "vipAda"),
        ("{% for m in home %}{{ m.key }}={{ m.value }}{% endfor %}", "city=London"),
        ("a {%- if active -%} b {%- endif %} c {{- name -}} d", "ab cAdad"),
        ("a{% comment %} {{ | {% if %} \" {% endcomment %}b", "ab"),
        ("{{ \"{%\" }} 5 % {# stays #} %}", "{% 5 % {# stays #} %}"),
    ])
    func `blocks do what the manual says`(_ text: String, _ expected: String) throws {
        #expect(try TextTemplate(text).render(ada) == expected)
    }

    @Test(arguments: [
        ("{% if name %}", "template_unclosed", "Line 1, column 1:"), ("a\n{% endif %}", "template_unopened", "Line 2, column 4:"),
        ("{% for x in tags %}{% endif %}{% endfor %}", "template_unopened", "Line 1, column 23:"),
        ("{% else %}", "template_unopened", "Line 1, column 4:"),
        ("{% if a %}{% else %}{% else %}{% endif %}", "template_unopened", "Line 1, column 24:"),
        ("{% shout %}", "template_unknown_tag", "Line 1, column 4:"),
        ("{% if a = 1 %}{% endif %}", "template_unexpected", "Line 1, column 9:"),
        ("{% if %}{% endif %}", "template_unexpected", "Line 1, column 7:"),
        ("{% if (a %}{% endif %}", "template_unexpected", "Line 1, column 10:"),
        ("{% for x y %}{% endfor %}", "template_unexpected", "Line 1, column 10:"),
        ("{% for x in tags limit: 0 %}{% endfor %}", "template_bad_argument", "Line 1, column 25:"),
        ("{% for x in tags %}{{ forloop.colour }}{% endfor %}", "template_unexpected", "Line 1, column 23:"),
        ("{{ a | date: \"%Q\" }}", "template_bad_argument", "Line 1, column 14:"),
        ("{{ a | date: \"%d\", \"Mars\" }}", "template_bad_argument", "Line 1, column 20:"),
        ("{{ a | truncate }}", "template_bad_argument", "Line 1, column 17:"),
        ("{{ a | upcase: 1 }}", "template_bad_argument", "Line 1, column 16:"),
        ("{{ a | replace: \"\", \"b\" }}", "template_bad_argument", "Line 1, column 17:"),
        ("{{ a | money: \"usd\" }}", "template_bad_argument", "Line 1, column 15:"),
        ("{% comment %} never", "template_unclosed", "Line 1, column 1:"),
        ("{{ a | raw }}", "template_unknown_filter", "Line 1, column 8:"),
    ])
    func `a fault of a block says where it is`(_ text: String, _ code: String, _ place: String) throws {
        let faults = #expect(throws: Faults.self) { _ = try TextTemplate(text) }
        #expect(faults?.list.map(\.code) == [code], "\(faults?.list.map(\.detail) ?? [])")
        #expect(faults?.list.first?.detail.hasPrefix(place) == true, "\(faults?.list.first?.detail ?? "")")
    }

    @Test func `what is nested too deeply is refused, and so is what is too long`() throws {
        func codes(_ text: String) -> [String] {
            do { _ = try TextTemplate(text) } catch { return error.list.map(\.code) }
            return []
        }
        func nested(_ depth: Int) -> String {
            String(repeating: "{% if name %}", count: depth) + "x" + String(repeating: "{% endif %}", count: depth)
        }
        #expect(try TextTemplate(nested(10)).render(ada) == "x")
        #expect(codes(nested(11)) == ["template_too_deep"])
        #expect(codes(nested(10_000)) == ["template_too_deep"])
        let brackets = String(repeating: "(", count: 50_000)
        #expect(codes("{% if \(brackets) %}{% endif %}") == ["template_too_deep"])
        #expect(codes("{{ a" + String(repeating: " | trim", count: 21) + " }}") == ["template_too_deep"])
        #expect(codes(String(repeating: "x", count: 500_001)) == ["template_too_long"])
        #expect(codes(String(repeating: "{{", count: 100_000)).count <= 60)
    }

    @Test func `a variable that a text does without is no hole`() throws {
        func holes(_ text: String) throws -> [String] {
            try TextTemplate(text).variables.map { ($0.hasFallback ? "" : "!") + $0.variable.description }
        }
        #expect(try holes("{% if city %}x{% endif %}") == ["attributes.city"])
        #expect(try holes("{% if city %}{{ city }}{% endif %}") == ["attributes.city"])
        #expect(try holes("{% if city %}{% else %}{{ city }}{% endif %}") == ["!attributes.city"])
        #expect(try holes("{% if city and plan == \"pro\" %}{{ city }} {{ plan }}{% endif %}") == ["attributes.city", "attributes.plan"])
        #expect(try holes("{% if city or plan %}{{ city }}{% endif %}") == ["!attributes.city", "attributes.plan"])
        #expect(try holes("{% if plan != \"pro\" %}{{ plan }}{% endif %}") == ["!attributes.plan"])
        #expect(try holes("{% if plan != blank %}{{ plan }}{% endif %}") == ["attributes.plan"])
        #expect(try holes("{% unless plan %}{{ plan }}{% endunless %}") == ["!attributes.plan"])
        #expect(
            try holes("{% for item in cart %}{{ item.name }}{{ forloop.index }}{% endfor %}{{ item }}") == [
                "!attributes.cart", "!attributes.item",
            ])
        #expect(try holes("{% for item in cart %}{% else %}none{% endfor %}") == ["attributes.cart"])
        #expect(try holes("{{ tags | size }} {{ \"x\" }}") == ["tags"])
    }

    @Test func `neither loops nor filters grow without bound`() throws {
        let many: JSONValue = [
            "attributes": ["list": .array((0..<200).map { .integer($0) }), "a": .string(String(repeating: "a", count: 100_000))]
        ]
        let loop = "{% for x in list %}"
        #expect(try TextTemplate(loop + "{{ x }}{% endfor %}").text(for: many)?.count == 490)
        #expect(try TextTemplate(loop + loop + "x{% endfor %}{% endfor %}").text(for: many) == nil)
        #expect(try TextTemplate(loop + loop + "{% endfor %}{% endfor %}").text(for: many) == nil)
        #expect(try TextTemplate(String(repeating: "{{ a }}", count: 9)).text(for: many)?.utf8.count == 900_000)
        #expect(try TextTemplate(String(repeating: "{{ a }}", count: 11)).text(for: many) == nil)
        #expect(try TextTemplate("{{ a | replace: \"a\", \"aaaaaaaaaaa\" }}").text(for: many) == nil)
        #expect(try TextTemplate("{% if a contains \"\(String(repeating: "a", count: 5000))b\" %}x{% endif %}").text(for: many) == nil)
        let search = "{% if a contains \"b\" %}{% endif %}{% endfor %}"
        #expect(try TextTemplate("{% for x in list limit: 20 %}" + search).text(for: many) != nil)
        #expect(try TextTemplate(loop + search).text(for: many) == nil)
    }

    @Test(
        arguments: [
            "{{ n | times: 9 }}", "{{ n | times: NUMBER }}", "{{ n | number: 2, \",\" }}", "{{ s | size }}",
            "{{ s | date: \"%Y\" }}", "{% if s == s %}{% endif %}", "{% if s < s %}{% endif %}",
            "{% if w %}{% endif %}", "{{ w | default: \"x\" }}", "{{ o | first }}",
            "{% for y in o limit: 1 %}{% endfor %}",
        ])
    func `no filter, comparison or loop works for nothing`(_ step: String) throws {
        let contact: JSONValue = [
            "attributes": [
                "list": .array((0..<9_000).map { .integer($0) }), "n": .string(String(repeating: "7", count: 1000)),
                "s": .string(String(repeating: "s", count: 2000)), "w": .string(String(repeating: " ", count: 2000)),
                "o": .object((0..<500).reduce(into: JSONObject()) { $0["k\($1)"] = .integer(Int64($1)) }),
            ]
        ]
        let text = "{% for x in list %}\(step.replacing("NUMBER", with: String(repeating: "7", count: 15))){% endfor %}"
        #expect(try TextTemplate(text).text(for: contact) == nil)
        #expect(try TextTemplate(text.replacing("in list", with: "in list limit: 3")).text(for: contact) != nil)
    }

    @Test func `the manual has every filter`() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../../docs/templates.md")
        let manual = try String(contentsOf: file.standardizedFileURL, encoding: .utf8)
        let faults = #expect(throws: Faults.self) { _ = try TextTemplate("{{ a | nothing }}") }
        let names = try #require(faults?.list.first?.detail.split(separator: "there are ").last?.dropLast()).split(separator: ", ")
        #expect(names.count > 15)
        for name in names { #expect(manual.contains("`\(name)`"), "\(name)") }
    }

    @Test func `no text makes it hang or crash, and no value becomes a tag`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var dice = Seeded(seed)
        let words = [
            "{{", "}}", "{%", "%}", "-", "|", "\"", "'", ":", ",", "(", ")", ".", "\\", " ", "\n", "é", "\u{338}", "1", "20", "==", "<",
            ">=",
            "if", "elsif", "else", "endif", "unless", "endunless", "for", "in", "endfor", "limit", "reversed", "comment", "endcomment",
            "and",
            "or", "not", "contains", "blank", "forloop", "index", "x", "evil", "list", "name", "default", "truncate", "replace", "date",
            "number", "money", "times", "url_encode", "first", "join", "size", "upcase", "\"%d\"", "\"a\"",
        ]
        // Well-formed pieces as well: random words alone seldom make a text that parses.
        let pieces = [
            "{{ evil }}", "{{ evil | upcase | replace: \"a\", \"&\" }}", "{{ missing | default: \"'\" }}", "{{ list | join: \"<\" }}",
            "{% if evil %}", "{% endif %}", "{% for x in list %}", "{{ x }}", "{{ forloop.index }}", "{% endfor %}", "{% else %}",
            "{{ evil | truncate: 3 }}", "{{ evil | url_encode }}", "{% for x in deep %}", "{{ x.a | first }}", " text ",
        ]
        let evil = "<a href=\"x\" onclick='y'>&\u{338}"
        let contact: JSONValue = [
            "name": .string(evil),
            "attributes": ["evil": .string(evil), "list": [.string(evil), 2, .null, [.string(evil)]], "deep": ["a": .string(evil)]],
        ]
        var parsed = 0
        for round in 0..<3000 {
            let source = round % 2 == 0 ? words : pieces
            let text = (0..<Int.random(in: 0...14, using: &dice)).map { _ in source.randomElement(using: &dice)! }.joined()
            guard let template = try? TextTemplate(text, markup: .html) else { continue }
            parsed += 1
            guard let written = template.text(for: contact) else { continue }
            // The author's own marks stand outside of tags; these texts of pieces have none.
            if round % 2 == 1 {
                let isClean = !written.unicodeScalars.contains { ["<", ">", "\"", "'"].contains($0) }
                #expect(isClean, "seed \(seed): \(text)")
            }
        }
        #expect(parsed > 250, "seed \(seed)")
    }
}
