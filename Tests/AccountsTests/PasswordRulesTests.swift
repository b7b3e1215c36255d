import JSON
import Testing

@testable import Accounts

@Suite struct PasswordRulesTests {
    private func code(_ password: String, email: String = "ada@example.com") -> String? {
        PasswordRules.fault(PasswordRules.normal(password), email: email)?.code
    }

    @Test(arguments: ["fifteen letters", "wind over nine wet roofs", "ünïcödé räïnböws", "一二三四五六七八九十天地玄黄宇", "9f8e7d6c5b4a3021!"])
    func `long passwords of any kind are taken`(password: String) { #expect(code(password) == nil) }

    @Test func `length counts characters after normalisation`() {
        let decomposed = String(repeating: "e\u{301}", count: 14)
        #expect(code(decomposed) == "too_short")
        #expect(code("only fourteen.") == "too_short")
        #expect(code(String(repeating: "0f9x", count: 64) + "!") == "too_long")
        #expect(code("lorem ipsum " + String(repeating: "0f9x", count: 61)) == nil)
    }

    @Test func `two ways of typing the same letters are the same password`() {
        #expect(Array(PasswordRules.normal("cafe\u{301}").utf8) == Array("café".utf8))
    }

    @Test(arguments: [
        "aaaaaaaaaaaaaaa", "abcabcabcabcabcab", "12345123451234512", "123456789012345", "098765432109876", "qwertyuiopasdfgh",
        "PasswordPassword", "password-password", "correct horse battery staple", "ChangeMe!ChangeMe!",
    ])
    func `first guesses are refused`(password: String) { #expect(code(password) == "weak_password") }

    @Test func `the own address is a first guess, others' are not`() {
        #expect(code("ada.lovelace@example.com", email: "ada.lovelace@example.com") == "weak_password")
        #expect(code("AdaLovelaceAdaLovelace1", email: "ada.lovelace@example.com") == "weak_password")
        #expect(code("ada.lovelace@example.com", email: "charles@example.com") == nil)
    }
}
