// Which passwords are taken, after NIST SP 800-63B-4: long, any characters, nothing that attackers try first; no
// rules of composition.
internal import JSON
internal import Vocabulary

enum PasswordRules {
    /// Characters are Unicode scalars after normalisation.
    static let length = 15...256

    /// The password as it is hashed, so that every keyboard's way of writing `é` gives the same.
    static func normal(_ password: String) -> String { normalized(password) }

    /// - Parameters:
    ///   - password: normalised.
    ///   - email: of whom it is; its own address is the first guess.
    /// - Returns: `nil` when it may be used.
    static func fault(_ password: String, email: String, at pointer: String = "/password") -> Fault? {
        let count = password.unicodeScalars.count
        if count < length.lowerBound {
            return Fault(pointer: pointer, code: "too_short", detail: "At least \(length.lowerBound) characters.")
        }
        if count > length.upperBound {
            return Fault(pointer: pointer, code: "too_long", detail: "At most \(length.upperBound) characters.")
        }
        guard isGuessable(password.lowercased(), email: email) else { return nil }
        return Fault(pointer: pointer, code: "weak_password", detail: "This is among the first things that somebody would guess.")
    }

    private static func isGuessable(_ password: String, email: String) -> Bool {
        let local = email.prefix { $0 != "@" }
        let bare = password.filter { $0.isLetter || $0.isNumber }
        return password == email || common.contains(bare) || isRepetition(password) || isRow(password)
            || (local.count >= 4 && isRepetition(bare, of: local.filter { $0.isLetter || $0.isNumber }))
    }

    /// The same one to five characters over and over, a rest included: `abcabcabcabcabca`.
    private static func isRepetition(_ password: String) -> Bool {
        let scalars = Array(password.unicodeScalars)
        return (1...5).contains { period in scalars.indices.dropFirst(period).allSatisfy { scalars[$0] == scalars[$0 - period] } }
    }

    private static func isRepetition(_ password: String, of unit: String) -> Bool {
        guard !unit.isEmpty else { return false }
        var rest = Substring(password)
        while rest.hasPrefix(unit) { rest = rest.dropFirst(unit.count) }
        return rest.count < password.count && rest.allSatisfy(\.isNumber)
    }

    /// A run along digits, the alphabet or the rows of a keyboard, in either direction.
    private static func isRow(_ password: String) -> Bool {
        rows.contains { $0.contains(password) || String($0.reversed()).contains(password) }
    }
    private static let rows: [String] = [
        String(repeating: "1234567890", count: 26), String(repeating: "0123456789", count: 26),
        String(repeating: "abcdefghijklmnopqrstuvwxyz", count: 10), String(repeating: "qwertyuiopasdfghjklzxcvbnm", count: 10),
        String(repeating: "1qaz2wsx3edc4rfv5tgb6yhn7ujm", count: 10),
    ]

    /// Letters and digits of the long passwords that are in every leaked list.
    private static let common: Set<String> = [
        "passwordpassword", "password1password1", "password123password123", "password12345678", "password123456789",
        "password1234567890", "thisismypassword", "mypasswordispassword", "letmeinletmein", "letmeinletmeinletmein",
        "iloveyouiloveyou", "iloveyousomuch", "iloveyouforever", "iloveyoumorethan", "qwertyqwertyqwerty",
        "qwerty123456789", "qwertyuiop123456", "qwertyuiop1234567890", "adminadminadmin", "administrator123",
        "administratoradministrator", "changemechangeme", "changemechangemechangeme", "welcomewelcome", "welcome123welcome123",
        "correcthorsebatterystaple", "trustno1trustno1", "sunshinesunshine", "footballfootball", "baseballbaseball",
        "princessprincess", "dragondragondragon", "monkeymonkeymonkey", "supermansuperman", "abc123abc123abc123",
        "testtesttesttest", "secretsecretsecret", "mustermustermuster", "mustermustermann", "nobodyknowsthispassword",
        "averylongpassword", "thisisalongpassword", "thisisaverylongpassword", "longpassword123", "mysecretpassword",
    ]
}
