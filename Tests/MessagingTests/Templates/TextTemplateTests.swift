import JSON
import Messaging
import Testing

@Suite struct TextTemplateTests {
    private let ada: JSONValue = [
        "name": "Ada Lovelace", "first_name": "ada", "email": "ada@example.com", "country": .null, "tags": ["vip", "beta"],
        "attributes": ["city": " London ", "visits": 3, "score": 7.5, "whole": 8.0, "home": ["street": "St James's Sq"], "blank": "  "],
    ]

    @Test(arguments: [
        ("Hi {{ first_name }}!", "Hi ada!"),
        ("Hi {{first_name|capitalize}}", "Hi Ada"),
        ("{{ name | upcase }}", "ADA LOVELACE"),
        ("{{ name | downcase }}", "ada lovelace"),
        ("Hi {{ nickname | default: \"there\" }}", "Hi there"),
        ("Hi {{ country | default: 'nowhere' }}", "Hi nowhere"),
        ("Hi {{ blank | default: \"there\" }}", "Hi there"),
        ("Hi {{ missing }}!", "Hi !"),
        ("In {{ city | trim }}.", "In London."),
        ("In {{ attributes.city | trim | upcase }}.", "In LONDON."),
        ("{{ visits }} visits, {{ score }} points, {{ whole }}", "3 visits, 7.5 points, 8"),
        ("{{ attributes.home.street }}", "St James's Sq"),
        ("{{ tags }}", "vip, beta"),
        ("{{ \"{{\" }} stays", "{{ stays"),
        ("{{ missing | default: \"a \\\"b\\\" \\\\ c\" }}", "a \"b\" \\ c"),
        ("one } two }} three { four", "one } two }} three { four"),
        ("  spaces around  ", "spaces around"),
        ("{{ missing }}", ""),
        ("cafe\u{0301} {{ first_name }}", "caf\u{e9} ada"),
    ])
    func `a text is rendered from the contact`(_ text: String, _ expected: String) throws {
        let rendered = try TextTemplate(text).render(ada)
        #expect(Array(rendered.unicodeScalars) == Array(expected.unicodeScalars))
    }

    @Test(arguments: [
        ("Hi {{ name", "template_unclosed", "Line 1, column 4"),
        ("Hi\nthere {{ }}", "template_empty_variable", "Line 2, column 10"),
        ("{{ name | shout }}", "template_unknown_filter", "Line 1, column 11"),
        ("{{ name | default }}", "template_bad_argument", "Line 1, column 19"),
        ("{{ name | default: there }}", "template_bad_argument", "Line 1, column 20"),
        ("{{ name | default: \"there }}", "template_unclosed", "Line 1, column 20"),
        ("{{ first name }}", "template_unexpected", "Line 1, column 10"),
        ("{{ name | }}", "template_unexpected", "Line 1, column 11"),
        ("{{ 1st }}", "template_unexpected", "Line 1, column 4"),
        ("{{ attributes. }}", "template_unexpected", "Line 1, column 15"),
    ])
    func `a fault says where it is`(_ text: String, _ code: String, _ place: String) throws {
        let faults = #expect(throws: Faults.self) { _ = try TextTemplate(text) }
        #expect(faults?.list.map(\.code) == [code])
        #expect(faults?.list.first?.detail.hasPrefix(place) == true, "\(faults?.list.first?.detail ?? "")")
    }

    @Test func `all faults are told at once`() {
        let faults = #expect(throws: Faults.self) { _ = try TextTemplate("{{ }} {{ a | b }} {{ c {{ d }}") }
        #expect(faults?.list.map(\.code) == ["template_empty_variable", "template_unknown_filter", "template_unexpected"])
    }

    @Test func `a variable has a fallback only if each use of it has one`() throws {
        let variables = try TextTemplate("{{ city }} {{ attributes.city | default: 'x' }} {{ name | default: 'y' }}").variables
        #expect(variables.map(\.variable.description) == ["attributes.city", "name"])
        #expect(variables.map(\.hasFallback) == [false, true])
    }

    @Test func `in HTML a value is text, whatever it says, and what the author wrote stays`() throws {
        let eve: JSONValue = ["name": "<b title=\"x\">&'</b>", "first_name": "\u{338} onclick=x"]
        let template = try TextTemplate("<i>{{ name }}</i> <a title=\"\">{{ first_name | default: \"<\" }} {{ \"<\" }}", markup: .html)
        let expected = "<i>&lt;b title=&quot;x&quot;&gt;&amp;&#39;&lt;/b&gt;</i> <a title=\"\">\u{338} onclick=x &lt;"
        #expect(Array(template.render(eve).unicodeScalars) == Array(expected.unicodeScalars))
        #expect(try TextTemplate("<i>{{ name }}</i>").render(eve) == "<i><b title=\"x\">&'</b></i>")
    }
}
